/**
 * Chat templates: the Jinja programs that come with a model and turn a list of messages into the text it was trained on.
 *
 * The environment is that of transformers (`apply_chat_template`): trim_blocks, lstrip_blocks, loop controls,
 * `{% generation %}`, `raise_exception`, `strftime_now`, `tojson` without escapes, an immutable sandbox.
 * https://huggingface.co/docs/transformers/main/en/chat_templating
 *
 * A template is a stranger's program. It reaches nothing but the values given to it (no JavaScript object, prototype or
 * function is ever visible), and it may take a bounded number of steps and make bounded text: see `maxSteps`.
 *
 * And what a user writes must never become a special token. Every string given to a template remembers where it came
 * from through all that the template does to it; `renderSegments` tells, and `splitSpecialTokens` cuts accordingly.
 */
import { SettingError } from '../errors.ts';
import type { Stmt } from './jinja/ast.ts';
import { DataReader } from './jinja/data.ts';
import { ChatTemplateError, Failure } from './jinja/errors.ts';
import { renderTree } from './jinja/interpreter.ts';
import { trimEnd } from './jinja/lexer.ts';
import { FROM_USER, GENERATION_STEP, runs, type Str, substring } from './jinja/marked.ts';
import { parseTemplate } from './jinja/parser.ts';
import type { Value } from './jinja/values.ts';

/** One message. Templates read `role` and `content` (a text or a list of parts), often `tool_calls`, `name` and more. */
export interface ChatMessage {
  readonly role: string;
  readonly content?: unknown;
  readonly [key: string]: unknown;
}

export interface ChatTemplateOptions {
  /** How error messages call the template. Default "chat template". */
  readonly name?: string;
  /**
   * What a rendering may cost before it is refused: one step for every node, item and eight characters, roughly; 16 more
   * steps are granted for every character of the input. The default of 4,000,000 takes up to about half a second.
   */
  readonly maxSteps?: number;
}

/** Everything but the messages. Names other than these are passed to the template as they are (`enable_thinking`, …). */
export interface RenderOptions {
  readonly tools?: readonly unknown[] | null;
  readonly documents?: readonly unknown[] | null;
  /** End with the opening of the assistant's turn. Default false. */
  readonly add_generation_prompt?: boolean;
  /** End inside the last message, so that the model goes on with it. Default false. */
  readonly continue_final_message?: boolean;
  /** The moment that `strftime_now` sees. Default: now. */
  readonly now?: Date;
  /** `bos_token`, `eos_token` and so on, as texts: trusted, unlike everything else given here. */
  readonly tokens?: Readonly<Record<string, string | readonly string[] | undefined>>;
  readonly [variable: string]: unknown;
}

/** A stretch of the rendered text. */
export interface ChatSegment {
  readonly text: string;
  /** `user`: came with the request (messages, tools, documents, extra variables), so no special token in it is meant. */
  readonly from: 'template' | 'user';
  /** Printed inside `{% generation %}`: what the assistant says, for masks in training. */
  readonly isGenerated: boolean;
}

const RESERVED = new Set(['tools', 'documents', 'add_generation_prompt', 'continue_final_message', 'now', 'tokens']);
const DEFAULT_STEPS = 4_000_000;
const STEPS_PER_CHARACTER = 16;
/** Appended to the last message to find its end again, as transformers does; the blank tells whether it was trimmed. */
const CONTINUE_TAG = 'CONTINUE_FINAL_MESSAGE_TAG ';

/** A template, read once and rendered often. */
export class ChatTemplate {
  private readonly body: readonly Stmt[];
  private readonly name: string;
  private readonly maxSteps: number;

  /** @throws ChatTemplateError (TemplateSyntaxError) with the line. */
  constructor(
    readonly source: string,
    options: ChatTemplateOptions = {},
  ) {
    this.name = options.name ?? 'chat template';
    this.maxSteps = options.maxSteps ?? DEFAULT_STEPS;
    try {
      this.body = parseTemplate(source, this.name);
    } catch (error) {
      if (error instanceof RangeError)
        throw new ChatTemplateError('Limit', 'the template nests too deeply', 0, this.name);
      throw error;
    }
  }

  /**
   * The text of a conversation.
   * @throws ChatTemplateError with the template's own words when it calls `raise_exception`, and whenever it fails.
   */
  render(messages: readonly ChatMessage[], options: RenderOptions = {}): string {
    return this.renderMarked(messages, options).text;
  }

  /** As `render`, cut where the origin of the text changes. Joined, the texts are what `render` gives. */
  renderSegments(messages: readonly ChatMessage[], options: RenderOptions = {}): ChatSegment[] {
    return runs(this.renderMarked(messages, options)).map(({ text, tag }) => ({
      text,
      from: (tag & FROM_USER) !== 0 ? 'user' : 'template',
      isGenerated: tag >= GENERATION_STEP,
    }));
  }

  private renderMarked(messages: readonly ChatMessage[], options: RenderOptions): Str {
    const continues = options.continue_final_message === true;
    if (continues && options.add_generation_prompt) {
      throw new SettingError('continue_final_message', true, 'cannot go with add_generation_prompt; choose one');
    }
    const reader = new DataReader();
    const variables = new Map<string, Value>();
    const given: Record<string, unknown> = {
      messages: continues ? withContinueTag(messages) : messages,
      tools: options.tools ?? null,
      documents: options.documents ?? null,
      add_generation_prompt: options.add_generation_prompt ?? false,
    };
    for (const [name, value] of Object.entries(options)) if (!RESERVED.has(name)) given[name] = value;
    try {
      for (const [name, value] of Object.entries(options.tokens ?? {})) {
        if (value !== undefined) variables.set(name, reader.read(value, 0));
      }
      for (const [name, value] of Object.entries(given)) {
        if (value !== undefined) variables.set(name, reader.read(value));
      }
    } catch (error) {
      if (error instanceof Failure) throw new ChatTemplateError(error.errorType, error.message, 0, this.name);
      throw error;
    }
    const rendered = renderTree(this.body, variables, {
      now: options.now ?? new Date(),
      steps: this.maxSteps + STEPS_PER_CHARACTER * reader.size,
      file: this.name,
    });
    return continues ? cutAtContinueTag(rendered) : rendered;
  }
}

function withContinueTag(messages: readonly ChatMessage[]): readonly ChatMessage[] {
  const last = messages.at(-1);
  const refuse = (problem: string): never => {
    throw new SettingError('continue_final_message', true, problem);
  };
  if (!last) return refuse('there is no message to continue');
  const { content } = last;
  if (typeof content === 'string') return [...messages.slice(0, -1), { ...last, content: content + CONTINUE_TAG }];
  if (!Array.isArray(content)) return refuse('the last message has no text to continue');
  const parts: unknown[] = [...content];
  const index = parts.findLastIndex(hasText);
  const part = parts[index];
  if (!hasText(part)) return refuse('the last message has no text to continue');
  parts[index] = { ...part, text: part.text + CONTINUE_TAG };
  return [...messages.slice(0, -1), { ...last, content: parts }];
}

const hasText = (part: unknown): part is { text: string } =>
  typeof part === 'object' && part !== null && 'text' in part && typeof part.text === 'string';

function cutAtContinueTag(rendered: Str): Str {
  const at = rendered.text.lastIndexOf(CONTINUE_TAG.trim());
  if (at < 0) {
    throw new SettingError(
      'continue_final_message',
      true,
      'the template does not print the end of the last message, so it cannot be continued',
    );
  }
  const before = substring(rendered, 0, at);
  return rendered.text.startsWith(CONTINUE_TAG, at) ? before : substring(before, 0, trimEnd(before.text).length);
}
