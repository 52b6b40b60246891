/** Records of what was liked and what was not, and prompts to be answered in training. */
import type { ExampleCodec } from './codec.ts';
import { holdsMessages } from './conversation.ts';
import type { LabelledExample, PreferenceExample, PromptExample } from './example.ts';
import { FormatDetector, labelledFormats, preferenceFormats, promptFormats } from './formats.ts';
import { continuationOf, conversationOf, encodePromptOf, promptOf, type RecordPrompt } from './prompts.ts';
import { DataRecord, kindOf } from './record.ts';
import type { RecordOptions } from './supervised.ts';

export type PreferenceFormat = keyof typeof preferenceFormats;
export type LabelledFormat = keyof typeof labelledFormats;
export type PromptFormat = keyof typeof promptFormats;

/** Pairs of answers to one prompt (DPO, IPO, ORPO). */
export class PreferenceReader {
  readonly formats: FormatDetector<PreferenceFormat>;

  /** @throws SettingError for an unknown format. */
  constructor(
    private readonly codec: ExampleCodec,
    private readonly options: RecordOptions<PreferenceFormat> = {},
  ) {
    this.formats = new FormatDetector(preferenceFormats, options.format);
  }

  /** @throws FileFormatError with file, line and field. */
  read(given: DataRecord): PreferenceExample {
    const { codec, options } = this;
    const whole = options.fields ? given.renamed(options.fields) : given;
    const format = this.formats.formatOf(whole);
    const [record, prompt] =
      format === 'pair' ? sharedPrompt(whole, codec) : [whole, promptOf(whole, format, codec, options)];
    const chosen = continuationOf(prompt, record, 'chosen', codec);
    const rejected = continuationOf(prompt, record, 'rejected', codec);
    const { completion } = chosen;
    if (
      completion.length === rejected.completion.length &&
      completion.every((id, i) => rejected.completion[i] === id)
    ) {
      codec.note('have equal answers as chosen and rejected, from which nothing is learned');
    }
    return { prompt: chosen.prompt, chosen: completion, rejected: rejected.completion, origin: record.origin };
  }
}

/** Whole conversations as chosen and rejected: their prompt is what both begin with, and one message follows it. */
function sharedPrompt(record: DataRecord, codec: ExampleCodec): [DataRecord, RecordPrompt] {
  for (const field of ['chosen', 'rejected']) {
    if (holdsMessages(record.value(field))) continue;
    throw record.error(field, `is ${kindOf(record.value(field))}, and there is no "prompt" that it answers`);
  }
  const { messages: chosen, tools } = conversationOf(record, 'chosen', codec);
  const { messages: rejected } = conversationOf(record, 'rejected', codec);
  const [a, b] = [chosen, rejected].map((list) => list.slice(0, -1).map((message) => JSON.stringify(message)));
  if (a.join() !== b.join() || a.length === 0) {
    throw record.error('rejected', 'does not begin as "chosen" does up to its last message', 'Give the "prompt" apart');
  }
  const answers = { chosen: [chosen.at(-1)], rejected: [rejected.at(-1)] };
  const prompt: RecordPrompt = { kind: 'chat', messages: chosen.slice(0, -1), tools };
  return [new DataRecord(record.origin, answers), prompt];
}

/** Single answers that were liked or not (KTO). */
export class LabelledReader {
  readonly formats: FormatDetector<LabelledFormat>;

  /** @throws SettingError for an unknown format. */
  constructor(
    private readonly codec: ExampleCodec,
    private readonly options: RecordOptions<LabelledFormat> = {},
  ) {
    this.formats = new FormatDetector(labelledFormats, options.format);
  }

  /** @throws FileFormatError with file, line and field. */
  read(given: DataRecord): LabelledExample {
    const { codec, options } = this;
    const record = options.fields ? given.renamed(options.fields) : given;
    const format = this.formats.formatOf(record);
    const { origin } = record;
    const label = truthOf(record);
    if (format === 'messages' || format === 'sharegpt') {
      const field = format === 'messages' ? 'messages' : 'conversations';
      const { messages, tools } = conversationOf(record, field, codec);
      const answer = messages[messages.length - 1];
      if (answer.role !== 'assistant') throw record.error(field, 'does not end with a message of the assistant');
      return { ...codec.continuationChat(messages.slice(0, -1), answer, tools, origin), label, origin };
    }
    const prompt = promptOf(record, format, codec, options);
    const answer = format === 'alpaca' ? 'output' : 'completion';
    return { ...continuationOf(prompt, record, answer, codec), label, origin };
  }
}

/** A label: true or false, also as 1 and 0 or as a text. */
function truthOf(record: DataRecord): boolean {
  const value = record.value('label');
  const text = String(value).toLowerCase();
  if (['true', '1'].includes(text)) return true;
  if (['false', '0'].includes(text)) return false;
  throw record.error('label', `is ${JSON.stringify(value)?.slice(0, 60)}: it must be true or false`);
}

/** Prompts whose answers the model writes in training (GRPO). */
export class PromptReader {
  readonly formats: FormatDetector<PromptFormat>;

  /** @throws SettingError for an unknown format. */
  constructor(
    private readonly codec: ExampleCodec,
    private readonly options: RecordOptions<PromptFormat> = {},
  ) {
    this.formats = new FormatDetector(promptFormats, options.format);
  }

  /** @throws FileFormatError with file, line and field. */
  read(given: DataRecord): PromptExample {
    const { codec, options } = this;
    const record = options.fields ? given.renamed(options.fields) : given;
    const format = this.formats.formatOf(record);
    const prompt = promptOf(record, format, codec, options);
    if (prompt.kind === 'chat' && prompt.messages.at(-1)?.role === 'assistant') {
      const field = format === 'messages' ? 'messages' : format === 'sharegpt' ? 'conversations' : format;
      throw record.error(field, 'ends with a message of the assistant: the model is to write that one');
    }
    const ids = encodePromptOf(prompt, record, codec);
    if (ids.length === 0) throw record.error(null, 'its prompt has no tokens');
    return { ids, record: record.values, origin: record.origin };
  }
}
