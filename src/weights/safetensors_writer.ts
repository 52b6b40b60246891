/** Writes safetensors: the header first, then tensor after tensor, so that no more than one piece of data is held. */

import { FileFormatError, SettingError } from '../errors.ts';
import { byteLengthOf, type WeightType, weightTypeInfo } from './dtype.ts';
import type { ByteSink } from './source.ts';

/** A tensor to be written: its facts, known before any data, and its data in pieces. */
export interface TensorToWrite {
  readonly name: string;
  readonly type: WeightType;
  /** Row-major, outermost first. */
  readonly shape: readonly number[];
  /** The stored bytes, in order, in pieces of any size; called once, when the writer has come to this tensor. */
  data(): Iterable<Uint8Array>;
}

/** A tensor whose bytes are at hand. */
export function tensorToWrite(
  name: string,
  type: WeightType,
  shape: readonly number[],
  bytes: Uint8Array,
): TensorToWrite {
  return { name, type, shape, data: () => [bytes] };
}

/** A sink whose bytes have arrived when the promise is fulfilled; they may be reused from then on. */
export interface AsyncByteSink {
  write(bytes: Uint8Array): Promise<void>;
}

/** A tensor whose data have to be waited for: they come from a backend. */
export interface AsyncTensorToWrite extends Omit<TensorToWrite, 'data'> {
  data(): AsyncIterable<Uint8Array>;
}

type TensorFacts = Omit<TensorToWrite, 'data'>;

/**
 * Writes `tensors` in their order, wide elements first as the format's own writer does (so that every tensor is
 * aligned to its elements), and `metadata`.
 * @param metadata `format: 'pt'` tells the field's readers that the names are PyTorch's.
 * @throws SettingError for a name that occurs twice or a type that the format does not have.
 * @throws FileFormatError when a tensor's data are not as long as its shape says.
 */
export function writeSafetensors(
  sink: ByteSink,
  tensors: readonly TensorToWrite[],
  metadata: Readonly<Record<string, string>> = { format: 'pt' },
  onTensor: (name: string) => void = () => {},
): void {
  const ordered = inFileOrder(tensors);
  sink.write(fileStart(ordered, metadata));
  for (const tensor of ordered) {
    onTensor(tensor.name);
    writeData(sink, tensor, byteLengthOf(tensor.type, tensor.shape, 'safetensors', tensor.name));
  }
}

/** `writeSafetensors` for data and a sink that have to be waited for. Settings and errors are the same. */
export async function writeSafetensorsAsync(
  sink: AsyncByteSink,
  tensors: readonly AsyncTensorToWrite[],
  metadata: Readonly<Record<string, string>> = { format: 'pt' },
): Promise<void> {
  const ordered = inFileOrder(tensors);
  await sink.write(fileStart(ordered, metadata));
  for (const tensor of ordered) {
    let written = 0;
    for await (const piece of tensor.data()) {
      await sink.write(piece);
      written += piece.byteLength;
    }
    checkLength(tensor.name, written, byteLengthOf(tensor.type, tensor.shape, 'safetensors', tensor.name));
  }
}

function inFileOrder<T extends TensorFacts>(tensors: readonly T[]): T[] {
  const size = (tensor: T): number => weightTypeInfo(tensor.type).blockBytes;
  return [...tensors].sort((a, b) => size(b) - size(a));
}

/** Everything before the first tensor's data. */
function fileStart(ordered: readonly TensorFacts[], metadata: Readonly<Record<string, string>>): Uint8Array {
  const names = new Set<string>(['__metadata__']);
  const entries: [string, unknown][] = Object.keys(metadata).length > 0 ? [['__metadata__', metadata]] : [];
  let at = 0;
  for (const { name, type, shape } of ordered) {
    if (names.has(name)) throw new SettingError('tensors', name, 'this name cannot be written twice');
    names.add(name);
    const dtype = weightTypeInfo(type).safetensors;
    if (dtype === undefined) {
      throw new SettingError(
        'type',
        type,
        `safetensors has no such element type (tensor "${name}"); choose f32, f16 or bf16`,
      );
    }
    const end = at + byteLengthOf(type, shape, 'safetensors', `tensor "${name}"`);
    entries.push([name, { dtype, shape: [...shape], data_offsets: [at, end] }]);
    at = end;
  }
  // Spelled member by member: a tensor named like an integer, or "__proto__", must stay where it is in the order.
  const json = `{${entries.map(([name, entry]) => `${JSON.stringify(name)}:${JSON.stringify(entry)}`).join(',')}}`;
  const text = new TextEncoder().encode(json);
  const start = new Uint8Array(8 + Math.ceil(text.length / 8) * 8).fill(0x20);
  new DataView(start.buffer).setBigUint64(0, BigInt(start.length - 8), true);
  start.set(text, 8);
  return start;
}

/** Writes the pieces of one tensor and checks that together they are `expected` bytes. */
export function writeData(sink: ByteSink, tensor: TensorToWrite, expected: number): void {
  let written = 0;
  for (const piece of tensor.data()) {
    sink.write(piece);
    written += piece.byteLength;
  }
  checkLength(tensor.name, written, expected);
}

function checkLength(name: string, written: number, expected: number): void {
  if (written === expected) return;
  throw new FileFormatError(
    'output',
    `tensor "${name}"`,
    `${written} bytes of data were given, its shape takes ${expected}`,
  );
}
