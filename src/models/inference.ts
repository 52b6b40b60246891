/**
 * The generation step of a decoder as a plan: a ragged batch of rows — chunks of prompts and single tokens of many sequences — over
 * a paged cache of keys and values.
 */
import { compile, DimVar, type DType, f, type Plan, type Precision, type Tensor } from '../tensor/index.ts';
import { decoderHead, decoderHidden, decoderNormed } from './decoder.ts';
import { type Model, symbolicParameters } from './model.ts';

export interface InferenceShape {
  /** Rows (tokens) of one step at most. */
  readonly maxRows: number;
  /** Sequences of one step at most. */
  readonly maxSequences: number;
  readonly pageSize: number;
  readonly pageCount: number;
  /** Entries of a sequence's page table: its longest context in pages. */
  readonly pagesPerSequence: number;
  readonly cacheType: 'f32' | 'f16';
  readonly precision: Precision;
}

/** A buffer that holds keys or values of one layer: (pages, key heads, page size, head width). */
export interface CacheSpec {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: readonly number[];
}

/** What a plan gives besides logits. */
export interface InferenceExtras {
  /** The states that the output head reads. */
  readonly hidden?: boolean;
  /** Layers whose input goes to the output head as it is, without the final norm (DoLa; Chuang et al. 2024). */
  readonly exits?: readonly number[];
  /** How probable a given token is after each row of `select`, and which is the most probable. */
  readonly targets?: boolean;
}

export interface InferencePlan {
  readonly plan: Plan;
  readonly caches: readonly CacheSpec[];
}

/**
 * Inputs: `ids`, `positions`, `rows` (which table each row belongs to), `slots` (page * pageSize + offset of each row), all (N); `tables`
 * (R, pagesPerSequence); `select` (L), the rows whose logits are wanted. Output: `logits` (L, V). Dimensions: N, R, L. Extras: `states`
 * (S), the rows whose states are wanted, gives `hidden` (S, C); each exit i gives `exit.i` (L, V); `targets` (L), tokens or -100, gives `loss` (L), the
 * negative logarithm of each one's probability (0 for -100), and `best` (L, 1), the token with the greatest.
 */
export function inferencePlan(model: Model, shape: InferenceShape, extras: InferenceExtras = {}): InferencePlan {
  const { config } = model;
  const parameter = symbolicParameters(model);
  const N = new DimVar('N', shape.maxRows);
  const R = new DimVar('R', shape.maxSequences);
  const L = new DimVar('L', shape.maxRows);
  const row = (name: string) => f.input(name, 'i32', [N]);
  const [ids, positions, rows, slots] = ['ids', 'positions', 'rows', 'slots'].map(row);
  const tables = f.input('tables', 'i32', [R, shape.pagesPerSequence]);
  const select = f.input('select', 'i32', [L]);

  const { n_kv_head: G, head_dim: D } = config.attention;
  const cacheShape = [shape.pageCount, G, shape.pageSize, D];
  const caches: CacheSpec[] = [];
  const written: Record<string, Tensor> = {};
  const cache = (name: string, x: Tensor): Tensor => {
    caches.push({ name, dtype: shape.cacheType, shape: cacheShape });
    const tensor = f.kvWrite(f.parameter(name, shape.cacheType, cacheShape), x, slots);
    written[name] = tensor;
    return tensor;
  };
  const entering: Tensor[] = [];
  const hidden = decoderHidden(config, parameter, {
    ids,
    positions,
    onLayer: (x) => entering.push(x),
    attend({ layer, q, k, v, sinks, attrs }) {
      const cached = { k: cache(`cache.${layer}.k`, k), v: cache(`cache.${layer}.v`, v) };
      return f.pagedAttention(q, cached, { tables, rows, positions }, sinks, attrs); // (N, H, D)
    },
  }); // (N, C)
  const states = (x: Tensor, chosen: Tensor) => decoderNormed(config, parameter, f.gather(x, chosen)); // (L, C)
  const logits = decoderHead(config, parameter, states(hidden, select)); // (L, V)
  const outputs: Record<string, Tensor> = { logits };
  if (extras.hidden) {
    const S = new DimVar('S', shape.maxRows);
    outputs.hidden = states(hidden, f.input('states', 'i32', [S])); // (S, C)
  }
  for (const i of extras.exits ?? []) {
    outputs[`exit.${i}`] = decoderHead(config, parameter, f.gather(entering[i], select)); // (L, V)
  }
  if (extras.targets) {
    outputs.loss = f.crossEntropy(logits, f.input('targets', 'i32', [L])); // (L)
    outputs.best = f.topk(logits, 1); // (L, 1)
  }
  return { plan: compile({ ...outputs, ...written }, { precision: shape.precision }), caches };
}
