/**
 * Reads PyTorch checkpoints: the zip archives of torch.save since 1.6, and the plain files before. The pickle inside is
 * read as data, with a list of the few names that tensors need (see pickle.ts).
 * Sources: torch/serialization.py and torch/_utils.py of PyTorch.
 */

import { FileFormatError } from '../errors.ts';
import { Cursor } from './cursor.ts';
import { elementCount, type WeightType, weightTypeInfo } from './dtype.ts';
import type { MetadataValue, TensorEntry, WeightFile } from './model_file.ts';
import { type PickleHost, PyGlobal, PyOpaque, PyTuple, type PyValue, readPickle } from './pickle.ts';
import { clip } from './safetensors.ts';
import { type ByteSource, SliceSource } from './source.ts';
import { StridedSource } from './strided_source.ts';
import { readZipDirectory } from './zip.ts';

/** Element types by the storage class that holds them. */
const storageTypes: Readonly<Record<string, WeightType>> = {
  DoubleStorage: 'f64',
  FloatStorage: 'f32',
  HalfStorage: 'f16',
  BFloat16Storage: 'bf16',
  CharStorage: 'i8',
  ShortStorage: 'i16',
  IntStorage: 'i32',
  LongStorage: 'i64',
  ByteStorage: 'u8',
  BoolStorage: 'bool',
};

/** Element types by torch's name of the dtype. */
const dtypes: Readonly<Record<string, WeightType>> = {
  float64: 'f64',
  float32: 'f32',
  float16: 'f16',
  bfloat16: 'bf16',
  float8_e4m3fn: 'f8_e4m3',
  float8_e5m2: 'f8_e5m2',
  int8: 'i8',
  int16: 'i16',
  int32: 'i32',
  int64: 'i64',
  uint8: 'u8',
  uint16: 'u16',
  uint32: 'u32',
  uint64: 'u64',
  bool: 'bool',
};

/** Names that may be called, and what they make. */
const callables = new Set([
  'torch._utils._rebuild_tensor',
  'torch._utils._rebuild_tensor_v2',
  'torch._utils._rebuild_tensor_v3',
  'torch._utils._rebuild_parameter',
  'torch._utils._rebuild_parameter_with_state',
  'torch.Size',
  'torch.device',
  'collections.OrderedDict',
  '__builtin__.set',
  'builtins.set',
  '_codecs.encode',
]);

/** A storage class or dtype, as a value in the pickle; `undefined` type for storages of bytes. */
class TypeName extends PyOpaque {
  constructor(readonly type: WeightType | undefined) {
    super();
  }
}

/** A run of elements in the file. Its place is not known at once in the old format, where data follow the pickle. */
class Storage extends PyOpaque {
  source: ByteSource | undefined;
  offset = 0;

  constructor(
    readonly key: string,
    /** `undefined` for a storage of bytes, whose tensors bring their own type. */
    readonly type: WeightType | undefined,
    readonly byteLength: number,
  ) {
    super();
  }
}

class Tensor extends PyOpaque {
  constructor(
    readonly storage: Storage,
    readonly type: WeightType,
    /** All of these count elements. */
    readonly start: number,
    readonly shape: readonly number[],
    readonly strides: readonly number[],
    readonly count: number,
  ) {
    super();
  }
}

/** True when `source` begins as a zip archive or as a file of torch.save before 1.6. */
export function looksLikeTorch(source: ByteSource): boolean {
  if (source.size < 22) return false;
  const start = source.bytes(0, 4);
  return (start[0] === 0x50 && start[1] === 0x4b && start[2] === 3 && start[3] === 4) || isLegacy(start);
}

/** The pickle of a ten-byte integer: the magic number. */
function isLegacy(start: Uint8Array): boolean {
  return start[0] === 0x80 && start[2] === 0x8a && start[3] === 0x0a;
}

/**
 * Opens a checkpoint. Nested dicts become dotted names; text and numbers beside the tensors become metadata.
 * @throws FileFormatError for a damaged archive, for anything that is not plain weights (named), and for element types
 *   that are not read.
 */
export function readTorch(source: ByteSource): WeightFile {
  if (!looksLikeTorch(source)) {
    throw new FileFormatError(
      source.name,
      'offset 0',
      'it begins neither as a zip archive nor as an older file of torch.save',
    );
  }
  const root = isLegacy(source.bytes(0, 4)) ? readLegacy(source) : readArchive(source);
  return flatten(root, source);
}

function readArchive(source: ByteSource): PyValue {
  const records = readZipDirectory(source);
  const [name, ...more] = [...records.keys()].filter((key) => key === 'data.pkl' || key.endsWith('/data.pkl'));
  if (name === undefined || more.length > 0) {
    throw new FileFormatError(
      source.name,
      'data.pkl',
      'the archive has no single record of this name, so torch.save did not write it',
    );
  }
  const prefix = name.slice(0, -'data.pkl'.length);
  if (records.has(`${prefix}constants.pkl`)) {
    throw new FileFormatError(
      source.name,
      `${prefix}constants.pkl`,
      'this is a TorchScript program',
      'Save its state_dict instead',
    );
  }
  const order = records.get(`${prefix}byteorder`);
  if (order && order.size !== 6)
    throw new FileFormatError(source.name, 'byteorder', 'only little-endian archives are read');
  const pickle = records.get(name) ?? { offset: 0, size: 0 };
  const host = new TorchHost(source, (storage) => {
    const record = records.get(`${prefix}data/${storage.key}`);
    if (!record)
      throw new FileFormatError(source.name, `storage "${clip(storage.key)}"`, 'the archive has no such record');
    if (record.size < storage.byteLength) {
      throw new FileFormatError(
        source.name,
        `storage "${clip(storage.key)}"`,
        `${storage.byteLength} bytes are promised, its record has ${record.size}`,
      );
    }
    storage.source = source;
    storage.offset = record.offset;
  });
  return readPickle(
    new Cursor(new SliceSource(source, pickle.offset, pickle.size, `${source.name}: ${clip(name)}`)),
    host,
  );
}

/** Five things in a row: magic number, protocol, system facts, the object, the keys of storages; then their data. */
function readLegacy(source: ByteSource): PyValue {
  const cursor = new Cursor(source);
  const storages = new Map<string, Storage>();
  const host = new TorchHost(source, (storage) => storages.set(storage.key, storage));
  const magic = readPickle(cursor, host);
  if (magic !== 0x1950a86a20f9469cfc6cn) throw cursor.error('magic number', 'torch.save did not write this file');
  if (readPickle(cursor, host) !== 1001) throw cursor.error('protocol', 'only protocol 1001 of torch.save is read');
  const system = readPickle(cursor, host);
  if (system instanceof Map && system.get('little_endian') === false)
    throw cursor.error('little_endian', 'only little-endian files are read');
  const root = readPickle(cursor, host);
  const keys = readPickle(cursor, host);
  if (!Array.isArray(keys)) throw cursor.error('storage keys', 'they are not a list');
  for (const key of keys) {
    const storage = typeof key === 'string' ? storages.get(key) : undefined;
    if (typeof key !== 'string' || !storage || storage.source)
      throw cursor.error('storage keys', 'a key stands for no storage, or twice');
    const where = `storage "${clip(key)}"`;
    const count = cursor.count64(where);
    const size = storage.type ? weightTypeInfo(storage.type).blockBytes : 1;
    if (count * size !== storage.byteLength)
      throw cursor.error(where, `${count} elements follow, ${storage.byteLength / size} are promised`);
    storage.source = source;
    storage.offset = cursor.offset;
    cursor.checkCount(storage.byteLength, 1, where);
    cursor.offset += storage.byteLength;
  }
  return root;
}

class TorchHost implements PickleHost {
  private readonly storages = new Map<string, Storage>();

  constructor(
    private readonly source: ByteSource,
    private readonly locate: (storage: Storage) => void,
  ) {}

  resolve(module: string, name: string): PyValue | undefined {
    const full = `${module}.${name}`;
    if (callables.has(full)) return new PyGlobal(full);
    if (module === 'torch.storage' && (name === 'UntypedStorage' || name === 'TypedStorage'))
      return new TypeName(undefined);
    if (module === 'torch' && name === 'UntypedStorage') return new TypeName(undefined);
    if (module !== 'torch') return undefined;
    const type = Object.hasOwn(storageTypes, name)
      ? storageTypes[name]
      : Object.hasOwn(dtypes, name)
        ? dtypes[name]
        : undefined;
    return type && new TypeName(type);
  }

  call({ name }: PyGlobal, args: readonly PyValue[]): PyValue | undefined {
    const [first, second] = args;
    switch (name) {
      case 'torch._utils._rebuild_tensor':
      case 'torch._utils._rebuild_tensor_v2':
        return this.tensor(args, undefined);
      case 'torch._utils._rebuild_tensor_v3':
        return args[6] instanceof TypeName ? this.tensor(args, args[6].type) : undefined;
      case 'torch._utils._rebuild_parameter':
      case 'torch._utils._rebuild_parameter_with_state':
        return first instanceof Tensor ? first : undefined;
      case 'torch.Size':
        return first instanceof PyTuple ? first : undefined;
      case 'torch.device':
        return typeof first === 'string' ? first : undefined;
      case 'collections.OrderedDict':
        return args.length === 0 ? new Map() : Array.isArray(first) ? dictOf(first) : undefined;
      case '__builtin__.set':
      case 'builtins.set':
        return args.length === 0 ? new Set() : Array.isArray(first) ? new Set(first) : undefined;
      case '_codecs.encode':
        return typeof first === 'string' && second === 'latin1'
          ? Uint8Array.from(first, (c) => c.charCodeAt(0))
          : undefined;
      default:
        return undefined;
    }
  }

  /** ('storage', class, key, device, elements): the only kind of persistent id that torch.save makes. */
  persistent(id: PyValue): PyValue {
    const items = id instanceof PyTuple ? id.items : [];
    const [kind, cls, key, , count, view] = items;
    const sound =
      kind === 'storage' &&
      cls instanceof TypeName &&
      typeof key === 'string' &&
      typeof count === 'number' &&
      count >= 0;
    if (!sound || !Number.isSafeInteger(count)) throw this.error('persistent id', 'it does not describe a storage');
    if (view !== undefined && view !== null)
      throw this.error(`storage "${clip(key)}"`, 'views of storages (PyTorch before 0.4) are not read');
    const byteLength = count * (cls.type ? weightTypeInfo(cls.type).blockBytes : 1);
    if (byteLength > this.source.size) {
      throw this.error(`storage "${clip(key)}"`, `${count} elements do not fit the file's ${this.source.size} bytes`);
    }
    const known = this.storages.get(key);
    if (known) {
      if (known.type !== cls.type || known.byteLength !== byteLength)
        throw this.error(`storage "${clip(key)}"`, 'it is described in two ways');
      return known;
    }
    const storage = new Storage(key, cls.type, byteLength);
    this.storages.set(key, storage);
    this.locate(storage);
    return storage;
  }

  private error(where: string, problem: string): FileFormatError {
    return new FileFormatError(this.source.name, where, problem);
  }

  private tensor(args: readonly PyValue[], own: WeightType | undefined): Tensor | undefined {
    const [storage, start] = args;
    const shape = counts(args[2]);
    const strides = counts(args[3]);
    if (!(storage instanceof Storage) || typeof start !== 'number' || !Number.isSafeInteger(start) || start < 0)
      return undefined;
    if (!shape || !strides || shape.length !== strides.length) return undefined;
    const where = `a tensor of storage "${clip(storage.key)}"`;
    const type = own ?? storage.type;
    if (!type) throw this.error(where, 'it does not say its element type');
    const elements = Math.floor(storage.byteLength / weightTypeInfo(type).blockBytes);
    const count = elementCount(shape, this.source.name, where);
    let last = start;
    for (const [i, dimension] of shape.entries()) last += Math.max(0, dimension - 1) * strides[i];
    if (start > elements || (count > 0 && last >= elements)) {
      throw this.error(where, `it begins at ${start} and reaches element ${last}, of ${elements}`);
    }
    return new Tensor(storage, type, start, shape, strides, count);
  }
}

function dictOf(pairs: readonly PyValue[]): Map<PyValue, PyValue> | undefined {
  const dict = new Map<PyValue, PyValue>();
  for (const pair of pairs) {
    const items = pair instanceof PyTuple ? pair.items : Array.isArray(pair) ? pair : [];
    if (items.length !== 2 || dict.has(items[0])) return undefined;
    dict.set(items[0], items[1]);
  }
  return dict;
}

function counts(value: PyValue | undefined): number[] | undefined {
  if (!(value instanceof PyTuple) || value.items.length > 64) return undefined;
  const numbers: number[] = [];
  for (const item of value.items) {
    if (typeof item !== 'number' || !Number.isSafeInteger(item) || item < 0) return undefined;
    numbers.push(item);
  }
  return numbers;
}

/** Names grow with nesting, so a small file could ask for large ones. */
const maxNames = 1 << 25;

/** Walks dicts and lists, each once: shared and cyclic ones must not make the work grow. */
function flatten(root: PyValue, source: ByteSource): WeightFile {
  const tensors = new Map<string, TensorEntry>();
  const metadata = new Map<string, MetadataValue>();
  const seen = new Set<PyValue>();
  const open: { path: string; value: PyValue }[] = [{ path: '', value: root }];
  let named = 0;
  while (open.length > 0) {
    const { path, value } = open.pop()!;
    named += path.length;
    if (path.length > 4096) throw new FileFormatError(source.name, `"${clip(path)}"`, 'dicts are nested too deep');
    if (named > maxNames)
      throw new FileFormatError(source.name, `"${clip(path)}"`, `names of more than ${maxNames} bytes in all`);
    if (value instanceof Tensor) {
      const name = path === '' ? 'tensor' : path;
      if (tensors.has(name)) throw new FileFormatError(source.name, `tensor "${clip(name)}"`, 'the name occurs twice');
      tensors.set(name, entryOf(name, value, source));
    } else if (value instanceof Map || value instanceof PyTuple || Array.isArray(value)) {
      if (seen.has(value)) continue;
      seen.add(value);
      const items: Iterable<readonly [PyValue, PyValue]> =
        value instanceof Map ? value : (value instanceof PyTuple ? value.items : value).entries();
      const children: { path: string; value: PyValue }[] = [];
      for (const [key, child] of items) {
        const part = typeof key === 'string' || typeof key === 'number' || typeof key === 'boolean' ? String(key) : '?';
        children.push({ path: path === '' ? part : `${path}.${part}`, value: child });
      }
      // The last in is the first out: turned round, tensors come in the order of the file.
      for (const child of children.reverse()) open.push(child);
    } else if (
      typeof value === 'string' ||
      typeof value === 'number' ||
      typeof value === 'boolean' ||
      typeof value === 'bigint'
    ) {
      metadata.set(path, value);
    }
  }
  return { format: 'torch', name: source.name, metadata, tensors };
}

/** Expanded tensors (stride 0) have more elements than their storage; beyond this many they are not believed. */
const maxExpanded = 1 << 20;

function entryOf(name: string, tensor: Tensor, file: ByteSource): TensorEntry {
  const { storage, type, start, shape, strides, count } = tensor;
  if (!storage.source) throw new FileFormatError(file.name, `tensor "${clip(name)}"`, 'its storage is not in the file');
  const size = weightTypeInfo(type).blockBytes;
  const byteLength = count * size;
  const offset = storage.offset + start * size;
  const facts = { name, type, shape, byteLength };
  if (isContiguous(shape, strides)) return { ...facts, source: storage.source, offset };
  if (count > Math.max(maxExpanded, storage.byteLength / size)) {
    throw new FileFormatError(
      file.name,
      `tensor "${clip(name)}"`,
      `it repeats its storage to ${count} elements`,
      'Save a contiguous copy',
    );
  }
  return { ...facts, source: new StridedSource(storage.source, offset, size, shape, strides), offset: 0 };
}

function isContiguous(shape: readonly number[], strides: readonly number[]): boolean {
  let expected = 1;
  for (let i = shape.length - 1; i >= 0; i--) {
    if (shape[i] === 0) return true;
    if (shape[i] !== 1 && strides[i] !== expected) return false;
    expected *= shape[i];
  }
  return true;
}
