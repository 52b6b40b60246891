/**
 * The inverse of loading: the parameters of a decoder as the tensors of a Hugging Face file. Names, fused matrices, orientation and
 * experts follow the family's own table of locations, so that what is written is what the loader (and every other tool) looks for.
 */

import { type Location, locate } from '../models/families/family.ts';
import { familyOf } from '../models/families/index.ts';
import { type DecoderConfig, parameterSpecs } from '../models/index.ts';
import { transposeLast } from '../models/transpose.ts';
import { type AsyncTensorToWrite, fromFloat32 } from '../weights/index.ts';
import { impliedBiases } from './presets.ts';

/** The values of a parameter of ours, row-major. Each is asked for when it is needed, and not kept. */
export type ParameterReader = (name: string) => Promise<Float32Array> | Float32Array;

/** A tensor of the file. `data` reads the parameters it is made of; its answer may be memory of the reader's: do not change it. */
export interface ExportedTensor {
  readonly name: string;
  readonly shape: readonly number[];
  data(): Promise<Float32Array>;
}

/** What a parameter adds to a tensor of the file. */
interface Part {
  readonly parameter: string;
  /** Of the part: without the dimension of experts where each has a tensor of its own. */
  readonly shape: readonly number[];
  readonly expert: number;
  readonly rows: Location['rows'];
}

/** The decoder has this; the family's file has that. Parameters of a model without biases are zeros in families that have them. */
export function exportTensors(config: DecoderConfig, read: ParameterReader): ExportedTensor[] {
  const family = familyOf(config.model_type, 'config.json');
  const implied = impliedBiases(config);
  const zeros = new Map(implied.map(({ name, shape }) => [name, sizeOf(shape)]));
  const targets = new Map<string, { readonly transposed: boolean; readonly parts: Part[] }>();
  for (const { name: parameter, shape } of [...parameterSpecs(config), ...implied]) {
    const { from, transposed = false, rows } = locate(family, parameter, config);
    const stacked = typeof from !== 'string';
    (stacked ? from : [from]).forEach((name, expert) => {
      const target = targets.get(name) ?? { transposed, parts: [] };
      target.parts.push({ parameter, shape: stacked ? shape.slice(1) : shape, expert, rows });
      targets.set(name, target);
    });
  }
  // All experts of a layer come from one parameter, one after another.
  let last: { readonly name: string; readonly values: Float32Array } | null = null;
  const recall = async (name: string) => {
    const zero = zeros.get(name);
    if (zero !== undefined) return new Float32Array(zero);
    if (last?.name !== name) last = { name, values: await read(name) };
    return last.values;
  };
  return [...targets].map(([name, { transposed, parts }]) => {
    const whole = wholeShape(name, parts);
    const shape = transposed ? swapped(whole) : whole;
    const data = async () => {
      const values = await assemble(name, parts, whole, recall);
      return transposed ? floats(transposeLast(bits(values), whole)) : values;
    };
    return { name, shape, data };
  });
}

/** The tensors of `model.safetensors`, for `writeSafetensorsAsync`. bfloat16 is rounded to nearest even. */
export function modelTensors(
  config: DecoderConfig,
  read: ParameterReader,
  dtype: 'f32' | 'bf16' = 'f32',
): AsyncTensorToWrite[] {
  return exportTensors(config, read).map(({ name, shape, data }) => ({
    name,
    type: dtype,
    shape,
    async *data() {
      const values = await data();
      yield dtype === 'f32'
        ? new Uint8Array(values.buffer, values.byteOffset, values.byteLength)
        : fromFloat32(dtype, values, 'model.safetensors', name);
    },
  }));
}

/** Rows lie along the second last dimension of matrices and the last of biases, as in the loader. */
function rowAxis(name: string, shape: readonly number[]): number {
  return name.endsWith('bias') ? shape.length - 1 : shape.length - 2;
}

function wholeShape(name: string, parts: readonly Part[]): readonly number[] {
  const [{ shape, rows }] = parts;
  if (!rows) return shape;
  const axis = rowAxis(name, shape);
  return shape.with(
    axis,
    parts.reduce((sum, part) => sum + part.shape[axis], 0),
  );
}

async function assemble(
  name: string,
  parts: readonly Part[],
  whole: readonly number[],
  recall: (name: string) => Promise<Float32Array>,
): Promise<Float32Array> {
  const valuesOf = async ({ parameter, shape, expert }: Part) => {
    const size = sizeOf(shape);
    return (await recall(parameter)).subarray(expert * size, (expert + 1) * size);
  };
  if (!parts[0].rows) return valuesOf(parts[0]);
  const to = new Uint32Array(sizeOf(whole));
  const axis = rowAxis(name, whole);
  const row = sizeOf(whole.slice(axis + 1));
  const outer = sizeOf(whole.slice(0, axis));
  for (const part of parts) {
    const from = bits(await valuesOf(part));
    const { start, length, stride, blocks } = part.rows!;
    const run = length * row;
    for (let o = 0; o < outer; o++) {
      for (let b = 0; b < blocks; b++) {
        const at = (o * blocks + b) * run;
        to.set(from.subarray(at, at + run), (o * whole[axis] + start + b * stride) * row);
      }
    }
  }
  return floats(to);
}

function swapped(shape: readonly number[]): number[] {
  return [...shape.slice(0, -2), shape[shape.length - 1], shape[shape.length - 2]];
}

function sizeOf(shape: readonly number[]): number {
  return shape.reduce((a, b) => a * b, 1);
}

/** Bit patterns: moving floats as numbers may change those that are NaN. */
function bits(values: Float32Array): Uint32Array {
  return new Uint32Array(values.buffer, values.byteOffset, values.length);
}

function floats(values: Uint32Array): Float32Array {
  return new Float32Array(values.buffer, values.byteOffset, values.length);
}
