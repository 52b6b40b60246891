/** Mutations of GGUF files that know their fields: counts, lengths, types, values, names, dimensions, offsets, whole records. */
import { below, bytesOf, concat, edges, pick } from './random.mjs';

const SIZES = { 0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8 };

/** The fields and records of a sound file: what a mutation may aim at. */
export function layoutOf(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const fields = [];
  const records = [];
  let at = 0;
  const field = (kind, size) => {
    fields.push({ kind, at, size });
    at += size;
  };
  const u64 = (kind) => {
    const value = Number(view.getBigUint64(at, true));
    field(kind, 8);
    return value;
  };
  const u32 = (kind) => {
    const value = view.getUint32(at, true);
    field(kind, 4);
    return value;
  };
  const text = (kind) => {
    const length = u64('length');
    field(kind, length);
  };
  const value = (type) => {
    if (type === 8) text('text');
    else if (type === 9) {
      const inner = u32('type');
      const count = u64('count');
      for (let i = 0; i < count; i++) value(inner);
    } else field('value', SIZES[type]);
  };
  field('magic', 4);
  u32('version');
  const tensors = u64('count');
  const keys = u64('count');
  for (let i = 0; i < keys; i++) {
    const start = at;
    text('name');
    value(u32('type'));
    records.push({ kind: 'key', start, end: at });
  }
  for (let i = 0; i < tensors; i++) {
    const start = at;
    text('name');
    const dimensions = u32('dimensions');
    for (let d = 0; d < dimensions; d++) u64('dimension');
    u32('ggml');
    u64('offset');
    records.push({ kind: 'tensor', start, end: at });
  }
  return { fields, records };
}

function put(bytes, { at, size }, value) {
  for (let i = 0, rest = BigInt.asUintN(64, BigInt(Math.trunc(value))); i < size; i++, rest >>= 8n)
    bytes[at + i] = Number(rest & 255n);
}

/** A key whose value is arrays in arrays, or an array that promises more than there is. */
function strangeKey(random) {
  const name = new TextEncoder().encode(
    pick(random, ['general.alignment', 'x', '', '__proto__', 'general.architecture']),
  );
  const parts = [bytesOf(8, name.length), name, bytesOf(4, 9)];
  for (let depth = below(random, 12); depth > 0; depth--) parts.push(bytesOf(4, 9), bytesOf(8, 1));
  const count = pick(random, [0, 1, 5, 2 ** 24 + 1, 2 ** 32, 2 ** 53 - 1]);
  parts.push(bytesOf(4, below(random, 14)), bytesOf(8, count), new Uint8Array(below(random, 40)));
  return concat(...parts);
}

/** One to four changes of a sound GGUF file. */
export function mutateGguf(random, bytes) {
  const { fields, records } = layoutOf(bytes);
  let out = Uint8Array.from(bytes);
  for (let changes = 1 + below(random, 3); changes > 0; changes--) {
    const field = pick(random, fields);
    switch (below(random, 6)) {
      case 0:
      case 1:
        put(out, field, pick(random, [...edges(bytes.length), 2 ** 53, 2 ** 63]));
        break;
      case 2: {
        const sign = random() & 1 ? 1 : -1;
        const old = out[field.at] ?? 0;
        if (field.size > 0) out[field.at] = old + sign;
        break;
      }
      case 3: {
        const other = pick(
          random,
          fields.filter(({ kind }) => kind === field.kind),
        );
        const size = Math.min(field.size, other.size);
        out.copyWithin(field.at, other.at, other.at + size);
        break;
      }
      case 4: {
        const small = fields.filter(
          ({ kind }) => kind === 'type' || kind === 'ggml' || kind === 'dimensions' || kind === 'dimension',
        );
        put(out, pick(random, small), below(random, 45));
        break;
      }
      default:
        for (let i = 0; i < field.size; i++) if (below(random, 4) === 0) out[field.at + i] = random() & 255;
    }
  }
  // Whole records last: they move everything behind them.
  if (below(random, 3) === 0 && records.length > 0) {
    const record = pick(random, records);
    const body = out.slice(record.start, record.end);
    const other = pick(random, records);
    const change = below(random, 4);
    if (change === 0) out = concat(out.subarray(0, record.start), out.subarray(record.end));
    else if (change === 1) out = concat(out.subarray(0, other.start), body, out.subarray(other.start));
    else if (change === 2) out = concat(out.subarray(0, record.start), strangeKey(random), out.subarray(record.start));
    else out = concat(out.subarray(0, record.start), out.slice(other.start, other.end), out.subarray(record.end));
    if (below(random, 2) === 0) {
      const place = record.kind === 'key' ? 16 : 8;
      const delta = change === 0 ? -1 : change === 3 ? 0 : 1;
      out[place] += delta;
    }
  }
  return below(random, 10) === 0 ? out.subarray(0, below(random, out.length)) : out;
}
