/**
 * The generation step of a decoder as a plan: a ragged batch of rows — chunks of prompts and single tokens of many sequences — over
 * a paged cache of keys and values.
 */
import { compile, DimVar, type DType, f, type Plan, type Precision, type Tensor } from '../tensor/index.ts';
import { type DecoderMaps, decoderHead, decoderHidden, decoderNormed } from './decoder.ts';
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
  /** Adapters of which each row may have one. */
  readonly adapters?: AdapterSlots | null;
}

/** Stacked adapters: `adapters.A.<a>` (count, rank, inputs), `adapters.B.<site>` (count, outputs, rank) and, of DoRA, `adapters.factor.<site>` (count, outputs). */
export interface AdapterSlots {
  /** Slot 0, which changes nothing, too. */
  readonly count: number;
  readonly rank: number;
  /** Of A and B. */
  readonly dtype: 'f32' | 'f16';
  readonly sites: ReadonlyMap<
    string,
    { readonly a: string; readonly inputs: number; readonly outputs: number; readonly hasFactor: boolean }
  >;
}

export interface InferencePlan {
  readonly plan: Plan;
  readonly caches: readonly CacheSpec[];
}

/**
 * Inputs: `ids`, `positions`, `rows` (which table each row belongs to), `slots` (page * pageSize + offset of each row), all (N); `tables`
 * (R, pagesPerSequence); `select` (L), the rows whose logits are wanted. Output: `logits` (L, V). Dimensions: N, R, L. Extras: `states`
 * (S), the rows whose states are wanted, gives `hidden` (S, C); each exit i gives `exit.i` (L, V); `targets` (L), tokens or -100, gives `loss` (L), the
 * negative logarithm of each one's probability (0 for -100), and `best` (L, 1), the token with the greatest. With adapters, `adapters` (N, 1) is
 * the slot of each row.
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
    ...(extras.adapters ? slottedMaps(extras.adapters, N) : {}),
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

/** The decoder's maps with the adapter of each row: W x + B A x of its slot, and with DoRA that times the slot's factors. */
function slottedMaps({ count, rank, dtype, sites }: AdapterSlots, N: DimVar): DecoderMaps {
  const slots = f.input('adapters', 'i32', [N, 1]);
  const inner = new Map<string, { readonly x: Tensor; readonly h: Tensor }>();
  const throughA = (a: string, inputs: number, x: Tensor): Tensor => {
    let known = inner.get(a);
    if (known?.x !== x) {
      const A = f.parameter(`adapters.A.${a}`, dtype, [count, rank, inputs]);
      known = { x, h: f.expertMatmul(x, A, slots, true) }; // (N, 1, r)
      inner.set(a, known);
    }
    return known.h;
  };
  return {
    linear(name, x, weight, bias) {
      const site = sites.get(name);
      if (!site) return f.linear(x, weight, bias);
      const { a, inputs, outputs, hasFactor } = site;
      const B = f.parameter(`adapters.B.${name}`, dtype, [count, outputs, rank]);
      const change = f.reshape(f.expertMatmul(throughA(a, inputs, x), B, slots, true), [N, outputs]);
      if (!hasFactor) return f.add(f.linear(x, weight, bias), change);
      const factors = f.parameter(`adapters.factor.${name}`, 'f32', [count, outputs]);
      const factor = f.reshape(f.gather(factors, slots), [N, outputs]);
      const changed = f.mul(f.add(f.linear(x, weight), change), factor);
      return bias ? f.add(changed, bias) : changed;
    },
  };
}
