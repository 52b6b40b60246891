import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { type ChatMessage, ChatTemplate, ChatTemplateError } from '../src/prompts/index.ts';

/** What Jinja itself gives, made by golden/chat_templates/make_jinja_cases.py. */
interface Cases {
  now: string;
  data: { messages: ChatMessage[]; [name: string]: unknown };
  cases: { template: string; rendered?: string; error_type?: string; error?: string }[];
}

const golden = JSON.parse(
  readFileSync(new URL('./golden/chat_templates/jinja_cases.json', import.meta.url), 'utf8'),
) as Cases;

/** Errors whose words are ours: Jinja's speak of loaders, of tags, or of Python's classes. */
const OWN_WORDS =
  /^\{% (include|import|extends|if true|set true|set d)|1\. \}\}|nosuch(filter|test)|undefined\.get|\{:d\}/;

describe('the template language as Jinja 3.1 speaks it', () => {
  for (const { template, rendered, error_type, error } of golden.cases) {
    it(JSON.stringify(template), () => {
      const { messages, ...variables } = golden.data;
      const render = (): string =>
        new ChatTemplate(template).render(messages, { ...variables, now: new Date(golden.now) });
      if (rendered !== undefined) {
        expect(render()).toBe(rendered);
        return;
      }
      let caught: unknown;
      try {
        render();
      } catch (thrown) {
        caught = thrown;
      }
      expect(caught).toBeInstanceOf(ChatTemplateError);
      if (OWN_WORDS.test(template)) return;
      expect(caught).toMatchObject({ errorType: error_type, reason: error });
    });
  }
});
