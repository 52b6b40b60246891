/**
 * An adapter in memory: its configuration and, for each module, its matrices in Hugging Face's order of rows, so that it can meet any model of the
 * same shape, however that model's file lies.
 */
import { FileFormatError } from '../../errors.ts';
import { qkRows } from '../../weights/index.ts';
import type { DecoderConfig } from '../config.ts';
import type { AdapterConfig } from './config.ts';
import { type AdapterLayout, type AdapterModule, type AdapterSite, layoutOfModules, siteRows } from './layout.ts';

/** The matrices of one module, row-major. */
export interface ModuleTensors {
  readonly rank: number;
  /** (rank, inputs); inputs are the vocabulary for an embedding. */
  readonly A: Float32Array;
  /** (outputs, rank). */
  readonly B: Float32Array;
  /** (outputs), with DoRA. */
  readonly magnitude: Float32Array | null;
}

export interface Adapter {
  /** The file as the user knows it. */
  readonly file: string;
  readonly config: AdapterConfig;
  /** By the name of the module in Hugging Face's model. */
  readonly modules: ReadonlyMap<string, ModuleTensors>;
}

/** The layout of an adapter on a model. @throws FileFormatError when it was made for another model. */
export function layoutOfAdapter(config: DecoderConfig, adapter: Adapter): AdapterLayout {
  const layout = layoutOfModules(config, adapter.config, [...adapter.modules.keys()], adapter.file);
  for (const module of layout.modules) checkShapes(module, adapter, config);
  return layout;
}

function checkShapes(module: AdapterModule, adapter: Adapter, { model_type }: DecoderConfig): void {
  const { rank, A, B, magnitude } = tensorsOf(adapter, module.name);
  const fits =
    rank === module.rank &&
    A.length === rank * module.inputs &&
    B.length === module.outputs * rank &&
    (magnitude === null || magnitude.length === module.outputs);
  if (fits) return;
  const base = adapter.config.base_model_name_or_path;
  throw new FileFormatError(
    adapter.file,
    module.name,
    `A is (${rank}, ${A.length / rank}) and B (${B.length / rank}, ${rank}) where this ${model_type} model needs ` +
      `(${module.rank}, ${module.inputs}) and (${module.outputs}, ${module.rank})`,
    `The adapter was made for ${base ? `another model (${base})` : 'another model'}`,
  );
}

/** The matrices of a module of a layout; with their short name where the file leaves out the family's prefix. */
export function tensorsOf({ modules, config }: Adapter, name: string): ModuleTensors {
  const tensors = modules.get(name) ?? [...modules].find(([short]) => name.endsWith(`.${short}`))?.[1];
  if (!tensors) throw new Error(`the adapter has no module "${name}"`);
  return config.use_dora ? tensors : { ...tensors, magnitude: null };
}

/** The numbers of `adapterParameterSpecs(layout)`, in the order of rows that the layout's model has. */
export function adapterParameters(layout: AdapterLayout, adapter: Adapter): Map<string, Float32Array> {
  const found = new Map<string, Float32Array>();
  for (const module of layout.modules) {
    const { rank, A, B, magnitude } = tensorsOf(adapter, module.name);
    found.set(`lora.A.${module.sites[0].a}`, A);
    for (const site of module.sites) {
      const rows = modelRows(layout.config, site);
      found.set(`lora.B.${site.site}`, pickRows(B, rows, rank));
      if (magnitude) found.set(`lora.magnitude.${site.site}`, pickRows(magnitude, rows, 1));
    }
  }
  return found;
}

/** The adapter whose numbers these are: the reverse of `adapterParameters`. */
export function adapterOf(
  layout: AdapterLayout,
  config: AdapterConfig,
  parameters: ReadonlyMap<string, Float32Array>,
  file = 'adapter',
): Adapter {
  const need = (name: string) => {
    const values = parameters.get(name);
    if (!values) throw new Error(`there are no numbers for "${name}"`);
    return values;
  };
  const modules = layout.modules.map((module): [string, ModuleTensors] => {
    const { rank, outputs } = module;
    const B = new Float32Array(outputs * rank);
    const magnitude = layout.use_dora ? new Float32Array(outputs) : null;
    for (const site of module.sites) {
      const rows = modelRows(layout.config, site);
      put(B, need(`lora.B.${site.site}`), rows, rank);
      if (magnitude) put(magnitude, need(`lora.magnitude.${site.site}`), rows, 1);
    }
    return [module.name, { rank, A: need(`lora.A.${module.sites[0].a}`).slice(), B, magnitude }];
  });
  return { file, config, modules: new Map(modules) };
}

/** For each row of a site as the model has it, the row of the module as Hugging Face has it. */
export function modelRows(config: DecoderConfig, site: AdapterSite): Int32Array {
  const rows = siteRows(site);
  if (!keepsNeighbours(config) || !/\.attention\.[qk]$/.test(site.site)) return rows;
  return Int32Array.from(qkRows(rows.length, config.attention.head_dim, 'gguf'), (row) => rows[row]);
}

/** Whether the rows of q and k lie as GGUF files of LLaMA have them: see `withNeighbours` in load.ts. GPT-J turns neighbours everywhere. */
function keepsNeighbours({ ropes, model_type }: DecoderConfig): boolean {
  return model_type !== 'gptj' && ropes.some(({ interleaved }) => interleaved);
}

/** Rows of `width` numbers in another order. */
export function pickRows(from: Float32Array, rows: Int32Array, width: number): Float32Array {
  const to = new Float32Array(rows.length * width);
  rows.forEach((row, i) => {
    to.set(from.subarray(row * width, (row + 1) * width), i * width);
  });
  return to;
}

function put(to: Float32Array, from: Float32Array, rows: Int32Array, width: number): void {
  rows.forEach((row, i) => {
    to.set(from.subarray(i * width, (i + 1) * width), row * width);
  });
}
