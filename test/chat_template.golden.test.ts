import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { type ChatMessage, ChatTemplate, ChatTemplateError, type RenderOptions } from '../src/prompts/index.ts';

/** Renderings and errors of transformers 5.23.0 (shared/golden, made by make_golden.py). */
interface Golden {
  now: string;
  special_tokens: Record<string, string>;
  templates: Record<string, string>;
  conversations: ChatMessage[][];
  cases: {
    template: string;
    conversation: number;
    kwargs: RenderOptions;
    rendered?: string;
    error_type?: string;
    error?: string;
    generation_char_spans?: [number, number][];
  }[];
}

const golden = JSON.parse(
  readFileSync(new URL('./golden/chat_templates/chat_templates.json', import.meta.url), 'utf8'),
) as Golden;

describe('chat templates as transformers renders them', () => {
  for (const [index, golden_case] of golden.cases.entries()) {
    const { template, conversation, kwargs } = golden_case;
    const { return_assistant_tokens_mask: _mask, ...variables } = kwargs;
    const options = { ...variables, now: new Date(golden.now), tokens: golden.special_tokens };
    it(`case ${index}: ${template}, conversation ${conversation}, ${JSON.stringify(kwargs).slice(0, 60)}`, () => {
      const messages = golden.conversations[conversation];
      const render = (): string => new ChatTemplate(golden.templates[template]).render(messages, options);
      if (golden_case.rendered === undefined) {
        const error = caught(render);
        expect(error).toBeInstanceOf(ChatTemplateError);
        expect({ type: error.errorType, reason: error.reason }).toEqual({
          type: golden_case.error_type,
          reason: golden_case.error,
        });
        expect(error.message).toContain(golden_case.error);
        return;
      }
      expect(render()).toBe(golden_case.rendered);
      const segments = new ChatTemplate(golden.templates[template]).renderSegments(messages, options);
      expect(segments.map((segment) => segment.text).join('')).toBe(golden_case.rendered);
      if (!golden_case.generation_char_spans) return;
      const spans: [number, number][] = [];
      let at = 0;
      for (const segment of segments) {
        const end = at + [...segment.text].length;
        if (segment.isGenerated) {
          if (spans.at(-1)?.[1] === at) spans[spans.length - 1][1] = end;
          else spans.push([at, end]);
        }
        at = end;
      }
      expect(spans).toEqual(golden_case.generation_char_spans);
    });
  }
});

function caught(run: () => unknown): ChatTemplateError {
  try {
    run();
  } catch (error) {
    return error as ChatTemplateError;
  }
  throw new Error('nothing was thrown');
}
