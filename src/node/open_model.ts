/** Opening a model: from a name to an engine with its tokenizer, chat template and defaults. */
import { existsSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { FileFormatError, NotFoundError } from '../errors.ts';
import { Engine } from '../generation/engine.ts';
import type { GenerationModel } from '../generation/generate.ts';
import type { ProgressListener } from '../hub/index.ts';
import { type DecoderConfig, loadModel, readAdapterConfig } from '../models/index.ts';
import { ChatTemplate, readChatTemplates, specialTokenTexts } from '../prompts/index.ts';
import type { Precision } from '../tensor/index.ts';
import { type Tokenizer, tokenizerFromGguf } from '../tokenizers/index.ts';
import { ggufToConfig, llama2cToConfig, type WeightFile } from '../weights/index.ts';
import { isAdapterFolder, openAdapter } from './adapters.ts';
import { type BackendOptions, openBackend } from './backends.ts';
import { type ModelLocation, type ResolveOptions, resolveModel } from './models.ts';
import { packageRoot } from './native_addon.ts';
import { readJson, tokenizerBeside, tokenizerOfDirectory } from './open_tokenizer.ts';
import { openWeightsAt } from './open_weights.ts';

/** The model used when none is named. */
export const DEFAULT_MODEL = 'smollm2-135m-instruct';

/** The model of our own that continues Chinese, when it ships with the project. */
const CHINESE_MODEL = 'tang';

/** The model to use when none is named: our own poet for texts that are mostly Chinese, else the default. */
export function defaultModelFor(texts: readonly string[]): string {
  const letters = texts.join('').replace(/[^\p{L}]/gu, '');
  const chinese = letters.replace(/\P{Script=Han}/gu, '');
  const isChinese = letters.length > 0 && chinese.length > letters.length / 2;
  return isChinese && existsSync(join(packageRoot, 'models', CHINESE_MODEL, 'config.json'))
    ? CHINESE_MODEL
    : DEFAULT_MODEL;
}

export interface OpenModelOptions extends BackendOptions, ResolveOptions {
  readonly precision?: Precision;
  /** Longest context in tokens; the model's own unless given. */
  readonly context?: number;
  readonly progress?: ProgressListener;
}

export interface OpenModel extends GenerationModel {
  readonly name: string;
  readonly location: ModelLocation;
  readonly config: DecoderConfig;
  readonly chatTemplate: ChatTemplate | null;
  close(): Promise<void>;
}

/** The name of the adapter of a model that was opened by an adapter's folder. */
export const OWN_ADAPTER = 'adapter';

/** What a model's files say, before any backend has seen them. */
export interface ModelFiles {
  readonly weights: WeightFile;
  readonly config: Readonly<Record<string, unknown>>;
  readonly configFile: string;
  readonly tokenizer: Tokenizer | null;
  readonly chatTemplate: ChatTemplate | null;
  readonly specialTokens: Readonly<Record<string, string>>;
  readonly generationConfig: Readonly<Record<string, unknown>>;
}

/** @throws NotFoundError, FileFormatError or SettingError with what is wrong and where. */
export async function openModel(name: string = DEFAULT_MODEL, options: OpenModelOptions = {}): Promise<OpenModel> {
  if (isAdapterFolder(name) && !existsSync(join(name, 'config.json'))) return openAdapted(name, options);
  const location = await resolveModel(name, options);
  const files = readModelFiles(location);
  const backend = openBackend(options);
  try {
    const model = loadModel(files.weights, files.config, backend, { configFile: files.configFile });
    const engine = new Engine(model, { precision: options.precision, context: options.context });
    const { tokenizer, chatTemplate, specialTokens, generationConfig } = files;
    return {
      name,
      location,
      engine,
      tokenizer,
      chatTemplate,
      specialTokens,
      generationConfig,
      config: model.config,
      close: () => backend.close(),
    };
  } catch (error) {
    await backend.close();
    throw error;
  }
}

/** The model that an adapter says it is for, which answers by the adapter. */
async function openAdapted(folder: string, options: OpenModelOptions): Promise<OpenModel> {
  const file = join(folder, 'adapter_config.json');
  const { base_model_name_or_path: base } = readAdapterConfig(readJson(file), file);
  if (!base) {
    const problem = 'does not say which model it is for';
    throw new FileFormatError(file, 'base_model_name_or_path', problem, 'Name the model, and the adapter by --adapter');
  }
  const model = await openModel(base, options);
  try {
    await model.engine.addAdapter(OWN_ADAPTER, openAdapter(folder, model.config));
    return { ...model, name: folder, adapter: OWN_ADAPTER };
  } catch (error) {
    await model.close();
    throw error;
  }
}

/** Read everything about a model but its numbers. */
export function readModelFiles(location: ModelLocation): ModelFiles {
  return location.kind === 'file' ? readSingleFile(location.path) : readDirectory(location.path);
}

function readSingleFile(path: string): ModelFiles {
  const weights = openWeightsAt(path);
  if (weights.format === 'llama2c') {
    const config = llama2cToConfig(weights);
    const tokenizer = tokenizerBeside(path, Number(config.vocab_size));
    const generationConfig = tokenizer ? endTokens(tokenizer, config) : {};
    return { ...bare(weights, config, path), tokenizer, generationConfig };
  }
  if (weights.format !== 'gguf') {
    throw new FileFormatError(
      path,
      '',
      `${weights.format} weights need a config.json beside them`,
      'Name the directory instead of the file',
    );
  }
  const config = ggufToConfig(weights);
  const tokenizer = tokenizerFromGguf(weights);
  const texts: Record<string, string> = {};
  for (const role of ['bos', 'eos', 'unk', 'pad'] as const) {
    const id = tokenizer.special[role];
    const text = id === undefined ? undefined : tokenizer.idToToken(id);
    if (text !== undefined) texts[`${role}_token`] = text;
  }
  const template = readChatTemplates({ gguf: weights.metadata }).get('default');
  return {
    ...bare(weights, config, path),
    tokenizer,
    chatTemplate:
      template === undefined ? null : new ChatTemplate(template, { name: `${basename(path)}: chat template` }),
    specialTokens: texts,
    generationConfig: endTokens(tokenizer, config),
  };
}

/** A GGUF file has no generation_config.json: an answer ends at its end token and at the end of a chat's turn. */
function endTokens(tokenizer: Tokenizer, config: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const { eos, eot } = tokenizer.special;
  const ids = [...new Set([eos ?? config.eos_token_id, eot].filter((id) => typeof id === 'number'))];
  return ids.length > 0 ? { eos_token_id: ids } : {};
}

function bare(weights: WeightFile, config: Record<string, unknown>, configFile: string): Omit<ModelFiles, 'tokenizer'> {
  return { weights, config, configFile, chatTemplate: null, specialTokens: {}, generationConfig: {} };
}

function readDirectory(folder: string): ModelFiles {
  const has = (file: string) => existsSync(join(folder, file));
  const text = (file: string) => readFileSync(join(folder, file), 'utf8');
  const json = (file: string): Record<string, unknown> | undefined => {
    if (!has(file)) return undefined;
    try {
      const value: unknown = JSON.parse(text(file));
      if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
    } catch (error) {
      throw new FileFormatError(join(folder, file), '', `not JSON (${(error as Error).message})`);
    }
    throw new FileFormatError(join(folder, file), '', 'not a JSON object');
  };
  const config = json('config.json');
  if (!config)
    throw new NotFoundError('file', join(folder, 'config.json'), [
      `${folder} has no config.json: it is not a model's directory`,
    ]);
  const tokenizerConfig = json('tokenizer_config.json') ?? json('special_tokens_map.json');
  const templates = readChatTemplates({
    jinja: has('chat_template.jinja') ? text('chat_template.jinja') : undefined,
    tokenizerConfig,
  });
  const template = templates.get('default');
  return {
    weights: openWeightsAt(folder),
    config,
    configFile: join(folder, 'config.json'),
    tokenizer: tokenizerOfDirectory(folder, String(config.model_type)),
    chatTemplate: template === undefined ? null : new ChatTemplate(template, { name: 'chat template' }),
    specialTokens: specialTokenTexts(tokenizerConfig),
    generationConfig: { ...endOf(config), ...json('generation_config.json') },
  };
}

function endOf(config: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return config.eos_token_id === undefined || config.eos_token_id === null ? {} : { eos_token_id: config.eos_token_id };
}
