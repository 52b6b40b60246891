/** The tokenizer of a training run: learned from its data, read from a file or a model, or the one that the run was begun with. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { SettingError } from '../errors.ts';
import {
  type Tokenizer,
  type TrainedTokenizer,
  type TrainerOptions,
  type TrainingProgress,
  tokenizerFromJson,
  trainBpe,
  trainCharacters,
  trainUnigram,
} from '../tokenizers/index.ts';
import { END_OF_TEXT } from '../training/model_files.ts';
import type { Preset, PresetOverrides } from '../training/presets.ts';
import { type CorpusSource, corpusTexts } from './corpus.ts';
import { resolveModel } from './models.ts';
import { readJson } from './open_tokenizer.ts';

export type TokenizerProgress = TrainingProgress & {
  /** Bytes of the data read so far. */
  readonly bytes: number;
};

export interface TrainingTokenizerOptions {
  /** See `RunSettings.tokenizer`. Without one, characters for presets of few tokens, else byte-level BPE. */
  readonly kind?: string;
  /** The tokenizer.json of a run that is resumed. */
  readonly saved: string | null;
  readonly preset: Preset;
  readonly fields: PresetOverrides;
  readonly sources: readonly (string | CorpusSource)[];
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: TokenizerProgress) => void;
}

/** Up to so many tokens a preset means characters. */
const CHARACTERS = 256;

/** @throws SettingError, NotFoundError or FileFormatError for a tokenizer that is not there or cannot be; what reading the data throws. */
export async function trainingTokenizer(options: TrainingTokenizerOptions): Promise<TrainedTokenizer> {
  const { kind, saved, preset, fields, sources, signal } = options;
  if (saved !== null) return fromFile(saved);
  const size = Number(fields.vocab_size ?? preset.shape.vocab_size);
  const chosen = kind ?? (size <= CHARACTERS ? 'characters' : 'bpe');
  let bytes = 0;
  const onBytes = (count: number) => {
    bytes += count;
  };
  const texts = corpusTexts({ sources, signal, onBytes });
  const common: TrainerOptions = {
    vocab_size: size,
    special_tokens: [END_OF_TEXT],
    roles: { eos_token: END_OF_TEXT, bos_token: END_OF_TEXT },
    signal,
    onProgress: (progress) => options.onProgress?.({ ...progress, bytes }),
  };
  switch (chosen) {
    case 'characters': {
      // The size is that of the data unless it was asked for.
      const { vocab_size: _, ...rest } = common;
      return trainCharacters(texts, { ...rest, ...(fields.vocab_size === undefined ? {} : { vocab_size: size }) });
    }
    case 'bpe':
      return trainBpe(texts, { ...common, pattern: preset.architecture === 'modern' ? 'llama3' : 'gpt2' });
    case 'unigram':
      return trainUnigram(texts, common);
    default:
      return fromName(chosen, signal);
  }
}

async function fromName(name: string, signal?: AbortSignal): Promise<TrainedTokenizer> {
  if (name.endsWith('.json') && existsSync(name)) return fromFile(name);
  const location = await resolveModel(name, { signal });
  const path = location.kind === 'directory' ? join(location.path, 'tokenizer.json') : '';
  if (!existsSync(path)) {
    throw new SettingError(
      'tokenizer',
      name,
      'has no tokenizer.json: name characters, bpe, unigram, a tokenizer.json or a model that has one',
    );
  }
  return fromFile(path);
}

function fromFile(path: string): TrainedTokenizer {
  const json = readJson(path);
  const beside = join(path, '..', 'tokenizer_config.json');
  const tokenizer: Tokenizer = tokenizerFromJson(json, {
    file: path,
    config: existsSync(beside) ? readJson(beside) : undefined,
  });
  return { json: json as TrainedTokenizer['json'], tokenizer };
}
