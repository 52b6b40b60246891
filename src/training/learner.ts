/** What of a model learns: all of it, or an adapter over a base that stays as it is. Tasks are made for either. */
import {
  type AdapterLayout,
  adaptedMaps,
  adapterParameterSpecs,
  type DecoderConfig,
  type DecoderMaps,
  decoderHidden,
  type ModelParameter,
  type ParameterLookup,
  type ParameterSpec,
  parameterSpecs,
} from '../models/index.ts';
import { f, type Tensor } from '../tensor/index.ts';
import { attentionKey, dropoutPlaces, dropoutSites } from './dropout.ts';

/** Share of activations that are set to 0 (Srivastava et al. 2014), with the keys of their random numbers. */
export interface Dropout {
  readonly rate: number;
  /** (places, 4) i32, as `dropoutKeys` makes them. */
  readonly keys: Tensor;
}

/** How rows pass the decoder. */
export interface Pass {
  /** Of the embedding, of what layers add to the sum, and of the weights of attention. */
  readonly dropout?: Dropout;
  readonly maps?: DecoderMaps;
}

export interface Learner {
  readonly config: DecoderConfig;
  /** What learns, in an order that stays. */
  readonly specs: readonly ParameterSpec[];
  /** What stays as it is: buffers of any type, by name. */
  readonly frozen: ReadonlyMap<string, ModelParameter>;
  /** Places that drop; 0 without dropout. */
  readonly places: number;
  /** @param keys of the random numbers of dropout; null to measure. */
  pass(parameter: ParameterLookup, keys: Tensor | null): Pass;
}

/** All parameters learn. */
export function wholeModel(config: DecoderConfig, dropout = 0): Learner {
  return {
    config,
    specs: parameterSpecs(config),
    frozen: new Map(),
    places: dropout > 0 ? dropoutPlaces(config.layers.length) : 0,
    pass: (_, keys) => (keys ? { dropout: { rate: dropout, keys } } : {}),
  };
}

/**
 * An adapter learns over a frozen model.
 * @param frozen the base's parameters and, for DoRA, the buffers of `weightSquares`.
 * @param dropout of the input of each A.
 */
export function adapterLearner(
  layout: AdapterLayout,
  frozen: ReadonlyMap<string, ModelParameter>,
  dropout = 0,
): Learner {
  return {
    config: layout.config,
    specs: adapterParameterSpecs(layout),
    frozen,
    places: dropout > 0 ? layout.modules.length : 0,
    pass: (parameter, keys) => ({
      maps: adaptedMaps({ layout, parameter, drop: keys ? dropoutSites(dropout, keys) : undefined }),
    }),
  };
}

/** Rows of tokens on their way through a decoder: all (B, T). */
export interface RowTensors {
  readonly tokens: Tensor;
  readonly positions: Tensor;
  /** The first position of each one's document; null where attention crosses documents. */
  readonly firstKeys: Tensor | null;
}

/** The states before the final norm, (B, T, C), and the sum entering each layer: where recomputation can start from. */
export function trainingStates(
  config: DecoderConfig,
  parameter: ParameterLookup,
  { tokens, positions, firstKeys }: RowTensors,
  { dropout, maps }: Pass,
): { readonly hidden: Tensor; readonly boundaries: readonly Tensor[] } {
  const boundaries: Tensor[] = [];
  const hidden = decoderHidden(config, parameter, {
    ids: tokens,
    positions,
    attend({ layer, q, k, v, sinks, attrs }) {
      const key = dropout ? attentionKey(dropout.keys, config.layers.length, layer) : null;
      return f.attention(q, k, v, { sinks, firstKey: firstKeys, key }, { ...attrs, dropout: dropout?.rate }); // (B, T, H, D)
    },
    drop: dropout && dropoutSites(dropout.rate, dropout.keys),
    onLayer: (x) => boundaries.push(x),
    ...maps,
  }); // (B, T, C)
  return { hidden, boundaries };
}
