/** Mutations of torch checkpoints that know pickle's instructions and the records of a zip archive. */
import { below, bytesOf, concat, edges, pick } from './random.mjs';

const utf8 = new TextEncoder();

/** Bytes of argument behind an instruction: a number, or how to find out. */
const LINE = 'line';
const ARGUMENTS = {
  128: 1,
  149: 8,
  74: 4,
  75: 1,
  77: 2,
  71: 8,
  104: 1,
  106: 4,
  113: 1,
  114: 4,
  138: [1],
  139: [4],
  84: [4],
  85: [1],
  88: [4],
  140: [1],
  141: [8],
  66: [4],
  67: [1],
  142: [8],
  150: [8],
  73: LINE,
  76: LINE,
  70: LINE,
  103: LINE,
  112: LINE,
  99: 'two lines',
};

/** The instructions of the pickle at `start`, and where it ends. */
export function instructionsOf(bytes, start = 0) {
  const list = [];
  const lineEnd = (at) => bytes.indexOf(10, at) + 1;
  let at = start;
  for (;;) {
    const begin = at;
    const kind = ARGUMENTS[bytes[at++]];
    if (typeof kind === 'number') at += kind;
    else if (Array.isArray(kind)) {
      let length = 0;
      for (let i = kind[0] - 1; i >= 0; i--) length = length * 256 + bytes[at + i];
      at += kind[0] + length;
    } else if (kind === LINE) at = lineEnd(at);
    else if (kind) at = lineEnd(lineEnd(at));
    list.push(bytes.slice(begin, at));
    if (bytes[begin] === 0x2e) return { list, end: at };
  }
}

const global = (name) => utf8.encode(`c${name.replace(/\.(?=[^.]*$)/, '\n')}\n`);
const NAMES = [
  'os.system',
  'posix.system',
  'builtins.eval',
  'torch._utils._rebuild_tensor_v2',
  'torch._utils._rebuild_tensor_v3',
  'torch._utils._rebuild_parameter',
  'torch.FloatStorage',
  'torch.HalfStorage',
  'torch.Size',
  'torch.float16',
  'torch.constructor',
  'torch.storage.UntypedStorage',
  'torch.device',
  'collections.OrderedDict',
  'builtins.set',
  '_codecs.encode',
  '__proto__.__proto__',
].map(global);
const ONE = [...'(012N)t]el}dusaRbQ.\x81\x85\x86\x87\x88\x89\x8f\x90\x91\x93\x94'].map((code) =>
  Uint8Array.of(code.charCodeAt(0)),
);

/** Something that a pickle may hold and torch would not write. */
function strange(random) {
  switch (below(random, 8)) {
    case 0:
      return pick(random, NAMES);
    case 1:
      return concat(
        Uint8Array.of(0x8b),
        bytesOf(4, pick(random, [0, 16, 17, 255, 0x7fffffff, 0xffffffff])),
        new Uint8Array(below(random, 20)),
      );
    case 2:
      return concat(Uint8Array.of(pick(random, [0x58, 0x54, 0x42])), bytesOf(4, pick(random, edges(1000))));
    case 3:
      return concat(Uint8Array.of(0x6a), bytesOf(4, below(random, 64)));
    case 4:
      return new Uint8Array(1 + below(random, 300)).fill(pick(random, [0x28, 0x5d, 0x7d, 0x29, 0x85, 0x32]));
    case 5: {
      // A list of lists of lists, each twice in the next: small to write, large to walk.
      const levels = below(random, 40);
      const parts = [Uint8Array.of(0x5d, 0x94)];
      for (let i = 0; i < levels; i++)
        parts.push(Uint8Array.of(0x5d, 0x28, 0x68, i, 0x68, i, 0x65, 0x71, (i + 1) & 255));
      return concat(...parts);
    }
    case 6:
      return concat(Uint8Array.of(0x8a, 8), bytesOf(8, pick(random, [2n ** 53n, 2n ** 62n, -1n, -(2n ** 62n)])));
    default:
      return pick(random, ONE);
  }
}

/** One to four changes of a list of instructions. */
function mutateInstructions(random, list) {
  const out = [...list];
  for (let changes = 1 + below(random, 4); changes > 0 && out.length > 0; changes--) {
    const at = below(random, out.length);
    switch (below(random, 8)) {
      case 0:
        out.splice(at, 1);
        break;
      case 1:
        out.splice(at, 0, out[below(random, out.length)]);
        break;
      case 2:
        out[at] = out[below(random, out.length)];
        break;
      case 3:
      case 4:
        out.splice(at, 0, strange(random));
        break;
      case 5:
        out[at] = strange(random);
        break;
      case 6: {
        // Numbers: shapes, strides, offsets, counts, places in the memo.
        const numbers = out.flatMap((step, i) => ([0x4a, 0x4b, 0x4d, 0x68, 0x71].includes(step[0]) ? [i] : []));
        if (numbers.length === 0) break;
        const i = pick(random, numbers);
        out[i] =
          random() & 1
            ? concat(Uint8Array.of(0x4a), bytesOf(4, pick(random, edges(4096))))
            : Uint8Array.of(out[i][0], ...out[i].slice(1).map((byte) => byte + 1));
        break;
      }
      default: {
        const names = out.flatMap((step, i) => (step[0] === 0x63 ? [i] : []));
        if (names.length > 0) out[pick(random, names)] = pick(random, NAMES);
      }
    }
  }
  return concat(...out);
}

/** The records of a sound archive whose contents are stored as they are. */
function recordsOf(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let end = bytes.length - 22;
  while (view.getUint32(end, true) !== 0x06054b50) end--;
  const records = [];
  for (let at = view.getUint32(end + 16, true), n = view.getUint16(end + 10, true); n > 0; n--) {
    const name = bytes.slice(at + 46, at + 46 + view.getUint16(at + 28, true));
    const local = view.getUint32(at + 42, true);
    const from = local + 30 + view.getUint16(local + 26, true) + view.getUint16(local + 28, true);
    records.push({ name, data: bytes.slice(from, from + view.getUint32(at + 24, true)) });
    at += 46 + view.getUint16(at + 28, true) + view.getUint16(at + 30, true) + view.getUint16(at + 32, true);
  }
  return records;
}

const isPickle = ({ name }) => new TextDecoder().decode(name).endsWith('data.pkl');

/** Writes an archive, now and then with one field of a header wrong, or in the wide form of zip64. */
function writeZip(random, records) {
  const broken = below(random, 3) === 0 ? below(random, records.length) : -1;
  const parts = [];
  const directory = [];
  let at = 0;
  for (const [i, { name, data }] of records.entries()) {
    const wide = below(random, 6) === 0;
    const header = { flags: 0, method: 0, packed: data.length, size: data.length, local: at };
    if (i === broken) {
      const key = pick(random, Object.keys(header));
      header[key] = pick(random, edges(at + data.length));
    }
    const extra = wide
      ? concat(
          bytesOf(2, 1),
          bytesOf(2, 24),
          bytesOf(8, header.size),
          bytesOf(8, header.packed),
          bytesOf(8, header.local),
        )
      : new Uint8Array(0);
    const padding = new Uint8Array(below(random, 64));
    parts.push(
      concat(
        bytesOf(4, 0x04034b50),
        new Uint8Array(22),
        bytesOf(2, name.length),
        bytesOf(2, padding.length),
        name,
        padding,
        data,
      ),
    );
    directory.push(
      concat(
        bytesOf(4, 0x02014b50),
        bytesOf(4, 0),
        bytesOf(2, header.flags),
        bytesOf(2, header.method),
        new Uint8Array(8),
        bytesOf(4, wide ? 0xffffffff : header.packed),
        bytesOf(4, wide ? 0xffffffff : header.size),
        bytesOf(2, name.length),
        bytesOf(2, extra.length),
        new Uint8Array(10),
        bytesOf(4, wide ? 0xffffffff : header.local),
        name,
        extra,
      ),
    );
    at += parts[parts.length - 1].length;
  }
  const all = concat(...directory);
  const end = { count: records.length, size: all.length, offset: at };
  if (below(random, 8) === 0) end[pick(random, Object.keys(end))] = pick(random, edges(at));
  const wideEnd = below(random, 4) === 0;
  const far = wideEnd
    ? concat(
        bytesOf(4, 0x06064b50),
        bytesOf(8, 44),
        new Uint8Array(20),
        bytesOf(8, end.count),
        bytesOf(8, end.size),
        bytesOf(8, end.offset),
        bytesOf(4, 0x07064b50),
        bytesOf(4, 0),
        bytesOf(8, at + all.length),
        bytesOf(4, 1),
      )
    : new Uint8Array(0);
  const near = wideEnd ? [0xffff, 0xffffffff, 0xffffffff] : [end.count, end.size, end.offset];
  return concat(
    ...parts,
    all,
    far,
    bytesOf(4, 0x06054b50),
    bytesOf(4, 0),
    bytesOf(2, near[0]),
    bytesOf(2, near[0]),
    bytesOf(4, near[1]),
    bytesOf(4, near[2]),
    bytesOf(2, 0),
  );
}

/** Changes of a sound checkpoint: of its pickle, of its records, or of the archive around them. */
export function mutateTorch(random, bytes) {
  if (bytes[0] !== 0x50) return mutateLegacy(random, bytes);
  const records = recordsOf(bytes);
  if (below(random, 5) > 0) {
    const pickle = records.find(isPickle);
    pickle.data = mutateInstructions(random, instructionsOf(pickle.data).list);
  }
  if (below(random, 4) === 0) {
    const at = below(random, records.length);
    const change = below(random, 4);
    if (change === 0) records.splice(at, 1);
    else if (change === 1) records.splice(at, 0, records[below(random, records.length)]);
    else if (change === 2)
      records[at] = { ...records[at], data: records[at].data.slice(0, below(random, records[at].data.length)) };
    else records[at] = { ...records[at], name: records[below(random, records.length)].name };
  }
  const out = writeZip(random, records);
  return below(random, 12) === 0 ? out.subarray(0, below(random, out.length)) : out;
}

/** The older format: five pickles in a row, then the data of the storages. */
function mutateLegacy(random, bytes) {
  const pickles = [];
  let at = 0;
  for (let i = 0; i < 5; i++) {
    const { list, end } = instructionsOf(bytes, at);
    pickles.push(list);
    at = end;
  }
  const target = below(random, 4) === 0 ? below(random, 5) : 3;
  const changed = pickles.map((list, i) => (i === target ? mutateInstructions(random, list) : concat(...list)));
  const data = bytes.slice(at);
  if (below(random, 3) === 0 && data.length >= 8)
    data.set(bytesOf(8, pick(random, edges(bytes.length))), below(random, data.length - 7));
  return concat(...changed, data);
}
