/**
 * One adapter in a graph: the decoder's maps with W + scaling · B A in place of W, A and B apart. For training, and for a model that always has
 * its adapter; a step with several adapters is the engine's own.
 */

import type { DType, Tensor } from '../../tensor/index.ts';
import { f } from '../../tensor/index.ts';
import { sizeOf } from '../../tensor/shape.ts';
import { toFloat32 } from '../../weights/index.ts';
import type { DecoderMaps, ParameterLookup } from '../decoder.ts';
import type { Model } from '../model.ts';
import type { ParameterSpec } from '../parameters.ts';
import type { AdapterLayout, AdapterSite } from './layout.ts';

export interface AdaptedMapsOptions {
  readonly layout: AdapterLayout;
  /** Gives `lora.A.…`, `lora.B.…` and, with DoRA, `lora.magnitude.…` and `lora.squares.…`. */
  readonly parameter: ParameterLookup;
  /** Dropout of the input of each A, in training. */
  readonly drop?: (x: Tensor) => Tensor;
}

/** What to give the decoder's hooks: see `DecoderMaps`. */
export function adaptedMaps({ layout, parameter, drop }: AdaptedMapsOptions): Required<DecoderMaps> {
  const need = (name: string): Tensor => {
    const tensor = parameter(name);
    if (!tensor) throw new Error(`the adapter needs a parameter "${name}"`);
    return tensor;
  };
  /** What A makes of an input, and the input as A got it: once for all parts of a fused module. */
  const inner = new Map<string, { readonly x: Tensor; readonly dropped: Tensor; readonly h: Tensor }>();
  const throughA = ({ a, scaling }: AdapterSite, x: Tensor) => {
    let known = inner.get(a);
    if (known?.x !== x) {
      const dropped = drop ? drop(x) : x;
      const h = f.affine(f.linear(dropped, need(`lora.A.${a}`)), scaling, 0); // (…, r)
      known = { x, dropped, h };
      inner.set(a, known);
    }
    return known;
  };
  const part = (name: string, site: AdapterSite) => need(`lora.${name}.${site.site}`);
  return {
    linear(name, x, weight, bias) {
      const site = layout.sites.get(name);
      if (!site) return f.linear(x, weight, bias);
      const { dropped, h } = throughA(site, x);
      const change = f.linear(h, part('B', site)); // (…, O)
      if (!layout.use_dora) return f.add(f.linear(x, weight, bias), change);
      const factor = doraFactor(site, weight, need(`lora.A.${site.a}`), part); // (O)
      const changed = f.mul(f.add(f.linear(dropped, weight), change), factor);
      if (dropped === x) return bias ? f.add(changed, bias) : changed;
      // With dropout, peft takes the plain product of all inputs, and the direction's part of those that are left.
      const plain = f.linear(x, weight, bias);
      return f.add(f.sub(plain, f.linear(dropped, weight)), changed);
    },
    embedding(ids, weight) {
      const site = layout.sites.get('embed');
      const rows = f.gather(weight, ids); // (…, C)
      if (!site) return rows;
      const A = need(`lora.A.${site.a}`); // (r, V)
      const h = f.affine(f.gather(f.permute(A, [1, 0]), ids), site.scaling, 0); // (…, r)
      const changed = f.add(rows, f.linear(h, part('B', site)));
      return layout.use_dora ? f.mul(changed, doraFactor(site, weight, A, part)) : changed;
    },
  };
}

/**
 * DoRA's factor on each output: magnitude / |W_i + s (B A)_i|, the norm taken for a constant (Liu et al. 2024, section 4.3). The norm is
 * had without the sum: |W_i|² + 2 s W_i·(B A)_i + s² |(B A)_i|². Of an embedding W_i is a column of the table: an output, all the same.
 */
function doraFactor(
  site: AdapterSite,
  weight: Tensor,
  A: Tensor,
  part: (name: string, site: AdapterSite) => Tensor,
): Tensor {
  const { outputs, scaling: s } = site;
  const B = part('B', site); // (O, r)
  const WA =
    site.kind === 'linear'
      ? f.permute(f.matmul(A, weight, false, true), [1, 0])
      : f.permute(f.matmul(A, f.cast(weight, 'f32')), [1, 0]); // (O, r): rows of W by rows of A
  const BAA = f.matmul(B, f.matmul(A, A, false, true)); // (O, r)
  const sum = f.add(f.affine(WA, 2 * s, 0), f.affine(BAA, s * s, 0));
  const change = f.reshape(f.sum(f.mul(B, sum), 1), [outputs]);
  const norm = f.sqrt(f.clamp(f.add(part('squares', site), change), 1e-30, 3e38));
  return f.div(part('magnitude', site), f.detach(norm));
}

/** What DoRA's graphs need besides the adapter's own tensors: `lora.squares.<site>`, the sums of squares of the base weight's outputs. */
export function squaresSpecs({ sites, use_dora }: AdapterLayout): ParameterSpec[] {
  if (!use_dora) return [];
  return [...sites.values()].map(({ site, outputs }) => ({ name: `lora.squares.${site}`, shape: [outputs] }));
}

/** The numbers of `squaresSpecs` for a model. */
export async function weightSquares(model: Model, layout: AdapterLayout): Promise<Map<string, Float32Array>> {
  const found = new Map<string, Float32Array>();
  if (!layout.use_dora) return found;
  for (const site of layout.sites.values()) {
    const weight = await siteWeight(model, site.site);
    const squares = new Float64Array(site.outputs);
    for (let i = 0; i < weight.length; i++) {
      const output = site.kind === 'linear' ? Math.floor(i / site.inputs) : i % site.outputs;
      squares[output] += weight[i] * weight[i];
    }
    found.set(`lora.squares.${site.site}`, Float32Array.from(squares));
  }
  return found;
}

/** The base weight of a site as float32, in the decoder's layout. */
export async function siteWeight({ config, backend, parameters }: Model, site: string): Promise<Float32Array> {
  const name = site === 'head' && config.tied ? 'embed.weight' : `${site}.weight`;
  const { dtype, shape, buffer } = parameters.get(name)!;
  const bytes = await backend.read(buffer, 0, buffer.byteLength);
  return toFloat32(dtype as Exclude<DType, 'q8a'>, bytes, sizeOf(shape));
}
