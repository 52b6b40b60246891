/** Dropout: activations set to 0 by random numbers that are a function of (seed, step, micro-step, place in the model, element). */
import { f, type Tensor } from '../tensor/index.ts';

/** Places of a decoder that drop: after the embedding, after attention and after the feed-forward part of each layer, in each attention. */
export function dropoutPlaces(layers: number): number {
  return 1 + 3 * layers;
}

function keyOf(keys: Tensor, place: number): Tensor {
  return f.reshape(f.slice(keys, 0, place, place + 1), [4]);
}

/** The key by which the attention of a layer drops weights: these places come after all others. */
export function attentionKey(keys: Tensor, layers: number, layer: number): Tensor {
  return keyOf(keys, 1 + 2 * layers + layer);
}

/**
 * The function that drops at one place after another.
 * @param keys (places, 4) i32, as `dropoutKeys` makes them.
 */
export function dropoutSites(rate: number, keys: Tensor): (x: Tensor) => Tensor {
  let place = 0;
  return (x) => {
    const kept = f.greater(f.random(keyOf(keys, place++), x.shape), f.constant([rate], [1]));
    return f.mul(x, f.affine(kept, 1 / (1 - rate), 0));
  };
}

/** The keys of a step's random numbers: (places, 4). */
export function dropoutKeys(seed: number, step: number, micro: number, places: number): Int32Array {
  const keys = new Int32Array(places * 4);
  for (let place = 0; place < places; place++) {
    keys[4 * place] = seed | 0;
    keys[4 * place + 1] = Math.floor(seed / 2 ** 32) ^ (micro << 16);
    keys[4 * place + 2] = step | 0;
    keys[4 * place + 3] = place;
  }
  return keys;
}
