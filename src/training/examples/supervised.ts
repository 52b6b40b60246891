/** Records to learn from as they are: prompts with completions, conversations, texts. */
import type { ExampleCodec } from './codec.ts';
import type { Example } from './example.ts';
import { FormatDetector, supervisedFormats } from './formats.ts';
import { continuationOf, conversationOf, promptOf, type ReadingOptions } from './prompts.ts';
import type { DataRecord, FieldNames } from './record.ts';

export type SupervisedFormat = keyof typeof supervisedFormats;

export interface RecordOptions<Format extends string> extends ReadingOptions {
  /** Told by the fields unless given. */
  readonly format?: Format;
  /** Names of fields as the data has them. */
  readonly fields?: FieldNames;
}

/** Makes examples from records, one after another. */
export class SupervisedReader {
  readonly formats: FormatDetector<SupervisedFormat>;

  /** @throws SettingError for an unknown format. */
  constructor(
    private readonly codec: ExampleCodec,
    private readonly options: RecordOptions<SupervisedFormat> = {},
  ) {
    this.formats = new FormatDetector(supervisedFormats, options.format);
  }

  /** @throws FileFormatError with file, line and field for a record that cannot be learned from. */
  read(given: DataRecord): Example {
    const { codec, options } = this;
    const record = options.fields ? given.renamed(options.fields) : given;
    const format = this.formats.formatOf(record);
    const { origin } = record;
    if (format === 'text') return codec.text(record.filledText('text'), origin);
    if (format === 'messages' || format === 'sharegpt') {
      const field = format === 'messages' ? 'messages' : 'conversations';
      const { messages, tools } = conversationOf(record, field, codec);
      if (codec.learn !== 'all' && !messages.some(({ role }) => role === 'assistant')) {
        throw record.error(field, 'labels all masked: no message is of the assistant', 'Add its answer');
      }
      return codec.conversation(messages, tools, origin);
    }
    const answer = format === 'alpaca' ? 'output' : format === 'prompt' ? 'completion' : 'answer';
    const prompt = promptOf(record, format, codec, options);
    return codec.example(continuationOf(prompt, record, answer, codec), origin);
  }
}
