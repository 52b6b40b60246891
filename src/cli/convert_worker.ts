/** The thread of `inkstone convert`: reads, converts and writes. */
import { existsSync, mkdirSync, readFileSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { isMainThread, parentPort, workerData } from 'node:worker_threads';
import { InkstoneError, SettingError } from '../errors.ts';
import { type MergedWeights, mergeIntoWeights, readConfig } from '../models/index.ts';
import { openAdapter } from '../node/adapters.ts';
import { writeFileAtomically } from '../node/file_source.ts';
import { readJson } from '../node/open_tokenizer.ts';
import { openWeightsAt } from '../node/open_weights.ts';
import {
  type ConversionType,
  type ConvertReport,
  convert,
  ggufToConfig,
  type JsonObject,
  llama2cToConfig,
  type WeightFile,
} from '../weights/index.ts';

export interface ConvertJob {
  readonly input: string;
  /** A file, or a directory, to make; for a file, in a directory that is made if need be. */
  readonly output: string;
  readonly isFile: boolean;
  readonly format: 'safetensors' | 'gguf';
  readonly type?: ConversionType;
  readonly names?: 'auto' | 'keep';
  /** An adapter to make part of the weights. */
  readonly merge?: string;
}

/** The report without the files that were written. */
export type ConvertSummary = Pick<ConvertReport, 'tensors' | 'parameters' | 'kept' | 'dropped' | 'notes'>;

export type ConvertMessage =
  | { readonly kind: 'progress'; readonly done: number; readonly total: number }
  | { readonly kind: 'done'; readonly summary: ConvertSummary }
  | { readonly kind: 'failed'; readonly isDefect: boolean; readonly text: string };

/** Files of a model that go along to a new directory when the input has them and the conversion makes none. */
const COMPANIONS = ['tokenizer_config.json', 'special_tokens_map.json', 'generation_config.json'] as const;

function runJob(
  { input, output, isFile, merge, ...options }: ConvertJob,
  post: (message: ConvertMessage) => void,
): void {
  const isDirectory = statSync(input).isDirectory();
  const folder = isDirectory ? input : dirname(input);
  // Beside a file, only what certainly belongs to it: a GGUF file brings its own.
  const own = isDirectory || /\.(safetensors|bin|json)$/i.test(input);
  const pathOf = (name: string) => (own && existsSync(join(folder, name)) ? join(folder, name) : undefined);
  const json = (name: string) => {
    const path = pathOf(name);
    return path === undefined ? undefined : (readJson(path) as JsonObject);
  };
  const text = (name: string) => {
    const path = pathOf(name);
    return path === undefined ? undefined : readFileSync(path, 'utf8');
  };
  if (!isFile) mkdirSync(output, { recursive: true });
  const opened = openWeightsAt(input);
  const given = json('config.json');
  const merged = merge === undefined ? null : withAdapter(opened, merge, given, options.type !== undefined);
  const file = merged?.weights ?? opened;
  const configBefore = given && merged ? { ...given, ...merged.config } : given;
  let report!: ConvertReport;
  writeFileAtomically(isFile ? output : join(output, 'model.safetensors'), (sink) => {
    report = convert(
      file,
      {
        ...options,
        config: configBefore,
        tokenizer: json('tokenizer.json'),
        tokenizerConfig: json('tokenizer_config.json'),
        chatTemplate: text('chat_template.jinja'),
      },
      sink,
      (done, total) => post({ kind: 'progress', done, total }),
    );
  });
  post({ kind: 'progress', done: report.tensors, total: report.tensors });
  if (!isFile) {
    const { config = configBefore, tokenizer = json('tokenizer.json') } = report;
    const files: Record<string, string | undefined> = {
      'config.json': config && `${JSON.stringify(config, null, 2)}\n`,
      'tokenizer.json': tokenizer && `${JSON.stringify(tokenizer)}\n`,
      'chat_template.jinja': report.chatTemplate ?? text('chat_template.jinja'),
      ...Object.fromEntries(COMPANIONS.map((name) => [name, text(name)])),
    };
    for (const [name, content] of Object.entries(files)) {
      if (content !== undefined)
        writeFileAtomically(join(output, name), (sink) => sink.write(new TextEncoder().encode(content)));
    }
  }
  const { tensors, parameters, kept, dropped } = report;
  const notes = [...report.notes, ...(merged ? [`merged: ${merge} into ${merged.changed} matrices`] : [])];
  post({ kind: 'done', summary: { tensors, parameters, kept, dropped, notes } });
}

/** The weights of a model with an adapter in them. */
function withAdapter(file: WeightFile, path: string, given: JsonObject | undefined, exact: boolean): MergedWeights {
  const config =
    file.format === 'gguf' ? ggufToConfig(file) : file.format === 'llama2c' ? llama2cToConfig(file) : given;
  if (!config)
    throw new SettingError('merge', path, `needs the config.json of ${file.name}: name the model's directory`);
  const decoder = readConfig(config);
  return mergeIntoWeights(file, decoder, openAdapter(path, decoder), exact);
}

if (!isMainThread && parentPort) {
  const port = parentPort;
  const post = (message: ConvertMessage) => port.postMessage(message);
  try {
    runJob(workerData as ConvertJob, post);
  } catch (error) {
    const isForUser = error instanceof InkstoneError || (error instanceof Error && 'syscall' in error);
    post({ kind: 'failed', isDefect: !isForUser, text: error instanceof Error ? error.message : String(error) });
  }
}
