/**
 * Texts and conversations to ids, so that what is trained on is what the model reads when it generates: prompts are
 * encoded as `generate` encodes them, and what a user wrote is text even where it spells a special token.
 */
import { SettingError } from '../../errors.ts';
import {
  type ChatMessage,
  type ChatSegment,
  type ChatTemplate,
  ChatTemplateError,
  splitSpecialTokens,
} from '../../prompts/index.ts';
import type { Segment, Tokenizer } from '../../tokenizers/index.ts';
import { type Example, type Origin, recordError, requireLearned } from './example.ts';

/** What is needed of a model. An open model has it. */
export interface ExampleModel {
  readonly tokenizer: Tokenizer | null;
  readonly chatTemplate: ChatTemplate | null;
  /** Texts of the special tokens by role (`bos_token` …), for the chat template. */
  readonly specialTokens?: Readonly<Record<string, string>>;
}

/** `assistant`: all its turns (a completion). `last`: its last one. `all`: everything, prompts too. */
export const learnables = ['assistant', 'last', 'all'] as const;
export type Learnable = (typeof learnables)[number];

export interface CodecOptions {
  /** Default `assistant`. */
  readonly learn?: Learnable;
  /** What ends a text that no chat template ends; null for nothing. Default: the tokenizer's eos. */
  readonly end_token?: number | null;
  /** The moment that a template's `strftime_now` sees. Default: when the codec is made. */
  readonly now?: Date;
  /** Variables for the chat template, such as `enable_thinking`. */
  readonly template_variables?: Readonly<Record<string, unknown>>;
}

/** A prompt and what follows it. */
export interface Continuation {
  readonly prompt: Int32Array;
  readonly completion: Int32Array;
}

export class ExampleCodec {
  readonly tokenizer: Tokenizer;
  readonly learn: Learnable;
  /** What the records had that this model has no use for, with how many had it. */
  readonly notes = new Map<string, number>();
  private readonly end: readonly number[];
  /** What stands before a text: its begin token. */
  private readonly begin: Int32Array;
  private readonly now: Date;
  private readonly specials: readonly string[];

  /** @throws SettingError for a model without a tokenizer, an unknown `learn` or an `end_token` that is none. */
  constructor(
    private readonly model: ExampleModel,
    private readonly options: CodecOptions = {},
  ) {
    const { tokenizer } = model;
    if (!tokenizer) throw new SettingError('data', 'text', 'needs a tokenizer, and this model has none');
    this.tokenizer = tokenizer;
    this.learn = options.learn ?? 'assistant';
    if (!learnables.includes(this.learn)) {
      throw new SettingError('learn', this.learn, `must be one of ${learnables.join(', ')}`);
    }
    const end = options.end_token === undefined ? (tokenizer.special.eos ?? null) : options.end_token;
    if (end !== null && !(Number.isInteger(end) && end >= 0 && end < tokenizer.vocabSize)) {
      throw new SettingError('end_token', end, `must be a token of the vocabulary: 0 to ${tokenizer.vocabSize - 1}`);
    }
    this.end = end === null ? [] : [end];
    this.begin = beginOf(tokenizer);
    this.now = options.now ?? new Date();
    this.specials = tokenizer.addedTokens.map(({ content }) => content);
  }

  /** True where the model has a chat template. */
  get hasTemplate(): boolean {
    return this.model.chatTemplate !== null;
  }

  /** True where the chat template reads a variable or a field of messages. */
  templateReads(name: 'tools' | 'tool_calls'): boolean {
    return new RegExp(`\\b${name}\\b`).test(this.model.chatTemplate?.source ?? '');
  }

  /** Counts what a record has and the model does not use. */
  note(what: string): void {
    this.notes.set(what, (this.notes.get(what) ?? 0) + 1);
  }

  /** A text, all of which is learned, with its end token. */
  text(text: string, origin?: Origin): Example {
    const ids = join(this.promptText(text), this.end);
    return requireLearned({ ids, learn: allButFirst(ids.length), origin });
  }

  /** The ids of a prompt, as a text. */
  promptText(prompt: string): Int32Array {
    return join(this.begin, this.tokenizer.encodeIds(prompt, { add_special_tokens: false }));
  }

  /** A prompt and its completion as texts, with the end token. */
  continuationText(prompt: string, completion: string): Continuation {
    const before = this.promptText(prompt);
    const body = this.tokenizer.encodeIds(prompt + completion, { add_special_tokens: false });
    const rest = after(before, join(this.begin, body)) ?? this.inside([completion]);
    return { prompt: before, completion: join(rest, this.end) };
  }

  /** The ids of a conversation that the model is to answer. @throws FileFormatError when the template fails. */
  promptChat(messages: readonly ChatMessage[], tools: readonly unknown[] | null, origin?: Origin): Int32Array {
    return this.encodeSegments(this.render(messages, tools, origin, true));
  }

  /**
   * A conversation and the message that answers it, up to the token that ends the turn.
   * @throws FileFormatError when the template fails, or does not print the conversation first.
   */
  continuationChat(
    messages: readonly ChatMessage[],
    answer: ChatMessage,
    tools: readonly unknown[] | null,
    origin?: Origin,
  ): Continuation {
    const before = this.render(messages, tools, origin, true);
    const whole = this.render([...messages, answer], tools, origin, false);
    const [start, text] = [textOf(before).length, textOf(whole)];
    if (!text.startsWith(textOf(before))) throw unstable(origin, messages.length);
    const upTo = cutSegments(whole, 0, this.turnEnd(whole, start, text.length));
    const prompt = this.encodeSegments(before);
    const completion =
      after(prompt, this.encodeSegments(upTo)) ?? this.inside(this.parts(cutSegments(upTo, start, text.length)));
    return { prompt, completion };
  }

  /** One example of a prompt and its completion: the completion is learned, or all of it. */
  example({ prompt, completion }: Continuation, origin?: Origin): Example {
    const ids = join(prompt, completion);
    const learn = this.learn === 'all' ? allButFirst(ids.length) : new Uint8Array(ids.length).fill(1, prompt.length);
    if (prompt.length === 0 && ids.length > 0) learn[0] = 0;
    return requireLearned({ ids, learn, origin });
  }

  /**
   * A whole conversation. Learned are the assistant's turns with the token that ends each, and not what the template
   * prints after it. A token counts by where it ends.
   * @throws FileFormatError when the template fails or it cannot be told where turns begin, and without such a turn.
   */
  conversation(messages: readonly ChatMessage[], tools: readonly unknown[] | null, origin?: Origin): Example {
    const segments = this.render(messages, tools, origin, false);
    if (this.learn === 'all') {
      const ids = this.encodeSegments(segments);
      return requireLearned({ ids, learn: allButFirst(ids.length), origin });
    }
    const spans = this.spans(messages, tools, segments, origin);
    const { ids, offsets } = this.tokenizer.encode(this.parts(segments), { add_special_tokens: false });
    const learn = new Uint8Array(ids.length);
    let next = 0;
    for (let i = 1; i < ids.length; i++) {
      const end = offsets[2 * i + 1];
      while (next < spans.length && spans[next].end < end) next++;
      if (next < spans.length && spans[next].start < end) learn[i] = 1;
    }
    return requireLearned({ ids, learn, origin });
  }

  /** Where the turns that are learned stand in the text of a conversation, in order. */
  private spans(
    messages: readonly ChatMessage[],
    tools: readonly unknown[] | null,
    segments: readonly ChatSegment[],
    origin: Origin | undefined,
  ): Span[] {
    const turns = [...messages.keys()].filter((i) => messages[i].role === 'assistant');
    const wanted = this.learn === 'last' ? turns.slice(-1) : turns;
    const taught = wanted.filter((i) => messages[i].weight !== 0);
    if (/\{%[-+]?\s*generation\b/.test(this.model.chatTemplate?.source ?? '')) {
      const marked = markedSpans(segments);
      if (taught.length === turns.length) return marked;
      if (marked.length === turns.length) return marked.filter((_, i) => taught.includes(turns[i]));
      throw recordError(
        origin,
        null,
        `the chat template marks ${marked.length} stretches as generated for ${turns.length} turns of the assistant`,
        'Which of them is which turn cannot be told: learn from all turns ("assistant")',
      );
    }
    const text = textOf(segments);
    return taught.map((i) => {
      const start = textOf(this.render(messages.slice(0, i), tools, origin, true));
      const end =
        i + 1 === messages.length ? text : textOf(this.render(messages.slice(0, i + 1), tools, origin, false));
      // Some templates end every rendering with the end token; it is not there when the conversation goes on.
      const eos = this.model.specialTokens?.eos_token ?? '';
      const stop = text.startsWith(end) || eos === '' || !end.endsWith(eos) ? end : end.slice(0, -eos.length);
      if (!text.startsWith(start) || !text.startsWith(stop) || stop.length < start.length) throw unstable(origin, i);
      return { start: start.length, end: this.turnEnd(segments, start.length, stop.length) };
    });
  }

  /** Where a turn ends: after its last special token, when only white space follows; else at the end of its text. */
  private turnEnd(segments: readonly ChatSegment[], start: number, end: number): number {
    const parts = splitSpecialTokens(cutSegments(segments, start, end), this.specials);
    const last = parts.findLastIndex(({ kind }) => kind === 'special');
    if (last < 0) return end;
    const rest = parts.slice(last + 1).map((part) => (part.kind === 'text' ? part.text : part.token));
    const tail = rest.join('');
    return tail.trim() === '' ? end - tail.length : end;
  }

  private render(
    messages: readonly ChatMessage[],
    tools: readonly unknown[] | null,
    origin: Origin | undefined,
    add_generation_prompt: boolean,
  ): ChatSegment[] {
    const { chatTemplate, specialTokens } = this.model;
    if (!chatTemplate) {
      throw new SettingError('data', 'messages', 'needs a chat template, and this model has none: give texts');
    }
    try {
      const variables = this.options.template_variables ?? {};
      const options = { ...variables, tools, add_generation_prompt, tokens: specialTokens, now: this.now };
      return chatTemplate.renderSegments(messages, options);
    } catch (error) {
      if (!(error instanceof ChatTemplateError)) throw error;
      throw recordError(origin, null, `the chat template refuses it: ${error.message}`);
    }
  }

  private parts(segments: readonly ChatSegment[]): Segment[] {
    return splitSpecialTokens(segments, this.specials).map((part) =>
      part.kind === 'special' ? { special: part.token } : part.text,
    );
  }

  private encodeSegments(segments: readonly ChatSegment[]): Int32Array {
    return this.tokenizer.encodeIds(this.parts(segments), { add_special_tokens: false });
  }

  /** The ids of what stands inside a text, not at its beginning. */
  private inside(parts: readonly Segment[]): Int32Array {
    return this.tokenizer.encodeIds([{ id: 0 }, ...parts], { add_special_tokens: false }).subarray(1);
  }
}

/** Places in a text, in UTF-16 units: from `start` to before `end`. */
interface Span {
  readonly start: number;
  readonly end: number;
}

function markedSpans(segments: readonly ChatSegment[]): Span[] {
  const spans: { start: number; end: number }[] = [];
  let at = 0;
  for (const { text, isGenerated } of segments) {
    const last = spans.at(-1);
    if (isGenerated && last?.end === at) last.end = at + text.length;
    else if (isGenerated) spans.push({ start: at, end: at + text.length });
    at += text.length;
  }
  return spans;
}

const textOf = (segments: readonly ChatSegment[]) => segments.map(({ text }) => text).join('');

/** The part of a rendering from `start` to before `end`. */
function cutSegments(segments: readonly ChatSegment[], start: number, end: number): ChatSegment[] {
  let at = 0;
  return segments.flatMap((segment) => {
    const [from, to] = [Math.max(0, start - at), Math.min(segment.text.length, end - at)];
    at += segment.text.length;
    return from < to ? [{ ...segment, text: segment.text.slice(from, to) }] : [];
  });
}

/** What follows `before` in `whole`, or null where a token lies across the border. */
function after(before: Int32Array, whole: Int32Array): Int32Array | null {
  return before.length <= whole.length && before.every((id, i) => whole[i] === id)
    ? whole.subarray(before.length)
    : null;
}

/** The tokens that a tokenizer puts before a text. */
function beginOf(tokenizer: Tokenizer): Int32Array {
  const probe = 'a';
  const [full, bare] = [tokenizer.encodeIds(probe), tokenizer.encodeIds(probe, { add_special_tokens: false })];
  for (let k = 0; k + bare.length <= full.length; k++) {
    if (bare.every((id, i) => full[k + i] === id)) return full.slice(0, k);
  }
  return new Int32Array(0);
}

function allButFirst(length: number): Uint8Array {
  return new Uint8Array(length).fill(1, 1);
}

function join(...parts: readonly ArrayLike<number>[]): Int32Array {
  const ids = new Int32Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    ids.set(part, at);
    at += part.length;
  }
  return ids;
}

function unstable(origin: Origin | undefined, message: number): Error {
  return recordError(
    origin,
    null,
    `the chat template prints the messages before message ${message + 1} in another way when that message follows, so where it begins cannot be told`,
    'Give a chat template with {% generation %} marks around what the assistant says, or learn from its "last" turn or from "all"',
  );
}
