/**
 * The files of a model with a task head. A whole model is a directory of Hugging Face's that transformers opens as
 * `<Family>ForSequenceClassification`; an adapter is peft's of the task SEQ_CLS, with the head among its tensors; a head alone is
 * head.safetensors. head.json beside them says what the numbers do not.
 */
import { join } from 'node:path';
import { HEAD_WEIGHT, headSpec } from '../models/heads.ts';
import {
  type AdapterConfig,
  type AdapterLayout,
  adapterOf,
  type DecoderConfig,
  peftTensors,
  writeAdapterConfig,
} from '../models/index.ts';
import { modelTensors } from '../training/export.ts';
import { type HeadRecord, headShape } from '../training/heads/record.ts';
import { paddingFor } from '../training/heads/tokens.ts';
import { type AsyncTensorToWrite, type WeightType, writeSafetensorsAsync } from '../weights/index.ts';
import { type CheckpointFiles, diskFiles, writeHashed } from './checkpoint_files.ts';
import type { BesideFile } from './checkpoints.ts';

/** Values of a parameter by its name here: a step, or what was read of one. */
export type ReadParameter = (name: string) => Promise<Float32Array>;

export interface ClassifierSource {
  readonly record: HeadRecord;
  /** Of the model that learnt, or that stands under what learnt. */
  readonly decoder: DecoderConfig;
  readonly read: ReadParameter;
  /** The content of config.json of a whole model. */
  readonly config?: Readonly<Record<string, unknown>>;
  /** The tokenizer's own padding token. */
  readonly pad_token_id?: number;
  /** Of an adapter. */
  readonly adapter?: { readonly layout: AdapterLayout; readonly config: AdapterConfig };
}

export interface ClassifierParts {
  /** The content of config.json; null where the folder has no model of its own. */
  readonly config: Record<string, unknown> | null;
  /** Tensors of model.safetensors besides the decoder's. */
  readonly tensors: readonly AsyncTensorToWrite[];
  readonly beside: readonly BesideFile[];
}

/** Where peft keeps a head that was trained in full beside an adapter. */
export const PEFT_HEAD = `base_model.model.${HEAD_WEIGHT}`;
export const HEAD_FILE = 'head.json';
export const HEAD_TENSORS = 'head.safetensors';

/** What a checkpoint or a folder of a model with a head holds. The numbers are read when they are written. */
export function classifierParts(source: ClassifierSource): ClassifierParts {
  const { record, decoder, read, adapter } = source;
  const { shape } = headSpec(decoder, headShape(record));
  const head = (name: string) => tensor(name, shape, () => read(HEAD_WEIGHT));
  const json = (name: string, content: unknown): BesideFile => ({
    name,
    content: `${JSON.stringify(content, null, 2)}\n`,
  });
  const described = json(HEAD_FILE, record);
  if (record.learned === 'all') {
    return { config: classifierConfig(source), tensors: [head(HEAD_WEIGHT)], beside: [described] };
  }
  if (record.learned === 'head' || !adapter) {
    return { config: null, tensors: [], beside: [described, { name: HEAD_TENSORS, content: [head(HEAD_WEIGHT)] }] };
  }
  const config = {
    ...writeAdapterConfig({ ...adapter.config, base_model_name_or_path: record.base }, decoder),
    task_type: 'SEQ_CLS',
    modules_to_save: ['score'],
  };
  const tensors = [...adapterTensors(adapter.layout, adapter.config, read), head(PEFT_HEAD)];
  return {
    config: null,
    tensors: [],
    beside: [described, json('adapter_config.json', config), { name: 'adapter_model.safetensors', content: tensors }],
  };
}

/** config.json as transformers' classifiers have it. */
function classifierConfig({ config = {}, record, decoder, pad_token_id }: ClassifierSource): Record<string, unknown> {
  const isChoice = record.kind === 'multiple_choice';
  // One score for each sequence: which of them is best is for the caller to say.
  const labels = isChoice ? ['score'] : record.labels;
  return {
    ...config,
    vocab_size: decoder.vocab_size,
    architectures: [classifierArchitecture(config, decoder.model_type)],
    num_labels: labels.length,
    id2label: Object.fromEntries(labels.map((label, i) => [String(i), label])),
    label2id: Object.fromEntries(labels.map((label, i) => [label, i])),
    problem_type: isChoice ? 'regression' : 'single_label_classification',
    pad_token_id: paddingFor(record.tokens, pad_token_id),
  };
}

const architectureNames: Readonly<Record<string, string>> = {
  gpt2: 'GPT2',
  'openai-gpt': 'OpenAIGPT',
  gpt_neo: 'GPTNeo',
  gptj: 'GPTJ',
  gpt_neox: 'GPTNeoX',
  gemma3_text: 'Gemma3Text',
  gpt_oss: 'GptOss',
  qwen2_moe: 'Qwen2Moe',
  qwen3_moe: 'Qwen3Moe',
};

/** The class of transformers that is a family's decoder with a head. */
function classifierArchitecture({ architectures }: Readonly<Record<string, unknown>>, model_type: string): string {
  const known = Object.hasOwn(architectureNames, model_type) ? architectureNames[model_type] : undefined;
  const said = Array.isArray(architectures) ? String(architectures[0]) : '';
  const stem = /^(\w+?)(?:LMHeadModel|ForCausalLM|ForSequenceClassification)$/.exec(said)?.[1];
  const name = known ?? stem ?? model_type[0].toUpperCase() + model_type.slice(1);
  return `${name}ForSequenceClassification`;
}

/** The tensors of an adapter, each read with its module alone. */
function adapterTensors(layout: AdapterLayout, config: AdapterConfig, read: ReadParameter): AsyncTensorToWrite[] {
  return layout.modules.flatMap((module) => {
    const one = { ...layout, modules: [module], sites: new Map(module.sites.map((site) => [site.site, site])) };
    const names = [
      `lora.A.${module.sites[0].a}`,
      ...module.sites.flatMap(({ site }) => [`lora.B.${site}`, ...(layout.use_dora ? [`lora.magnitude.${site}`] : [])]),
    ];
    const made = (values: ReadonlyMap<string, Float32Array>) =>
      peftTensors(adapterOf(one, config, values), layout.config);
    const sizes = new Map(
      module.sites.flatMap(({ site, a, rank, inputs, outputs }): [string, number][] => [
        [`lora.A.${a}`, rank * inputs],
        [`lora.B.${site}`, outputs * rank],
        [`lora.magnitude.${site}`, outputs],
      ]),
    );
    const blank = new Map(names.map((name) => [name, new Float32Array(sizes.get(name)!)]));
    return made(blank).map(({ name, type, shape }) => ({
      name,
      type,
      shape,
      async *data() {
        const values = new Map<string, Float32Array>();
        for (const each of names) values.set(each, await read(each));
        yield* made(values)
          .find((found) => found.name === name)!
          .data();
      },
    }));
  });
}

function tensor(name: string, shape: readonly number[], values: () => Promise<Float32Array>): AsyncTensorToWrite {
  return {
    name,
    type: 'f32' as WeightType,
    shape,
    async *data() {
      const { buffer, byteOffset, byteLength } = await values();
      yield new Uint8Array(buffer, byteOffset, byteLength);
    },
  };
}

/**
 * Write a model with a head as a folder that `openClassifier` opens.
 * @param extra files of text that go along: tokenizer.json and the like, by name.
 */
export async function saveClassifier(
  folder: string,
  source: ClassifierSource,
  extra: Readonly<Record<string, string>> = {},
  files: CheckpointFiles = diskFiles,
): Promise<void> {
  const { config, tensors, beside } = classifierParts(source);
  await files.makeFolder(folder);
  const text = (name: string, content: string) =>
    writeHashed(files, join(folder, name), (sink) => sink.write(new TextEncoder().encode(content)));
  const write = (name: string, list: readonly AsyncTensorToWrite[]) =>
    writeHashed(files, join(folder, name), (sink) => writeSafetensorsAsync(sink, list));
  for (const [name, content] of Object.entries(extra)) await text(name, content);
  for (const { name, content } of beside) {
    await (typeof content === 'string' ? text(name, content) : write(name, content));
  }
  if (!config) return;
  await text('config.json', `${JSON.stringify(config, null, 2)}\n`);
  await write('model.safetensors', [...modelTensors(source.decoder, source.read), ...tensors]);
}
