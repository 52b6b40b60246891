/** What the mutants of each format are: half know the format's structure, half are changes of raw bytes. */
import { mutateGguf } from './gguf.mjs';
import { below, concat, edges, pick } from './random.mjs';
import { mutateTorch } from './torch.mjs';

/** Changes of raw bytes: bits, edge numbers in words of 1 to 8 bytes at any place, cuts, repeats, splices. */
function mutateBytes(random, bytes) {
  let out = Uint8Array.from(bytes);
  const changes = 1 + below(random, 4);
  for (let i = 0; i < changes; i++) {
    const at = below(random, out.length);
    const view = new DataView(out.buffer, out.byteOffset, out.byteLength);
    switch (below(random, 7)) {
      case 0:
        if (out.length > 0) out[at] ^= 1 << below(random, 8);
        break;
      case 1:
        if (out.length > 0) out[at] = random() & 255;
        break;
      case 2: {
        // Fields stand at multiples of four more often than not.
        const place = Math.max(0, Math.min(random() & 1 ? at & ~3 : at, out.length - 4));
        if (out.length >= 4) view.setUint32(place, pick(random, edges(out.length)), true);
        break;
      }
      case 3: {
        const place = Math.max(0, Math.min(at, out.length - 8));
        if (out.length >= 8) {
          view.setUint32(place, pick(random, edges(out.length)), true);
          view.setUint32(place + 4, pick(random, [0, 0, 0, 1, 0x7fffffff, 0xffffffff]), true);
        }
        break;
      }
      case 4:
        out = out.slice(0, at);
        break;
      case 5: {
        const to = Math.min(out.length, at + below(random, 64));
        out = concat(out.subarray(0, to), out.subarray(at, to), out.subarray(to));
        break;
      }
      default: {
        const from = below(random, out.length);
        const length = below(random, Math.min(64, out.length - Math.max(at, from)));
        out.copyWithin(at, from, from + length);
      }
    }
  }
  return out;
}

const STRANGE = [
  null,
  true,
  false,
  0,
  -1,
  1.5,
  1e308,
  -0,
  2 ** 53,
  4294967296,
  '',
  ' ',
  '\u0000',
  '__proto__',
  'constructor',
  '\ud800',
  [],
  {},
  [[]],
  '(a+)+$',
  '(?:',
  '\\p{L}+',
  'x'.repeat(3000),
];

/** One value of a JSON document replaced, removed, repeated, moved or nested. */
function mutateJson(random, json) {
  const copy = structuredClone(json);
  const places = [];
  const walk = (node, depth) => {
    if (typeof node !== 'object' || node === null || depth > 12 || places.length > 4000) return;
    const keys = Object.keys(node);
    // Long lists are alike throughout: a few of their members stand for all.
    for (const key of keys.length > 60 ? keys.filter(() => below(random, keys.length) < 40) : keys) {
      places.push([node, key]);
      walk(node[key], depth + 1);
    }
  };
  walk(copy, 0);
  for (let i = 0; i < 1 + below(random, 3) && places.length > 0; i++) {
    const [node, key] = pick(random, places);
    const [other, otherKey] = pick(random, places);
    switch (below(random, 6)) {
      case 0:
        if (Array.isArray(node)) node.splice(Number(key), 1);
        else delete node[key];
        break;
      case 1:
        node[key] = structuredClone(other[otherKey]);
        break;
      case 2:
        if (JSON.stringify(node[key])?.length < 20_000) {
          node[key] = Array.from({ length: below(random, 50) }, () => structuredClone(node[key]));
        }
        break;
      case 3:
        if (typeof node[key] === 'number')
          node[key] = pick(random, [node[key] + 1, -node[key], node[key] * 1e9, 2 ** 31, 0.5]);
        else node[key] = pick(random, STRANGE);
        break;
      case 4: {
        let deep = node[key];
        const nest = pick(random, ['normalizers', 'pretokenizers', 'decoders', 'processors']);
        for (let level = below(random, 40); level > 0; level--) deep = { type: 'Sequence', [nest]: [deep] };
        node[key] = deep;
        break;
      }
      default:
        node[key] = pick(random, STRANGE);
    }
  }
  return copy;
}

/** A safetensors file whose header was changed as JSON, with its length kept true most of the time. */
function mutateSafetensors(random, bytes) {
  const length = Number(new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true));
  const header = JSON.parse(new TextDecoder().decode(bytes.subarray(8, 8 + length)));
  const text = new TextEncoder().encode(JSON.stringify(mutateJson(random, header)));
  const head = new Uint8Array(8);
  new DataView(head.buffer).setBigUint64(
    0,
    BigInt(text.length + (below(random, 8) === 0 ? below(random, 9) - 4 : 0)),
    true,
  );
  return concat(head, text, bytes.subarray(8 + length));
}

/** What each format's files become. */
export const mutations = {
  safetensors: (random, bytes) => (random() & 1 ? mutateSafetensors(random, bytes) : mutateBytes(random, bytes)),
  gguf: (random, bytes) => (random() & 1 ? mutateGguf(random, bytes) : mutateBytes(random, bytes)),
  torch: (random, bytes) => (random() & 1 ? mutateTorch(random, bytes) : mutateBytes(random, bytes)),
  tokenizer(random, bytes) {
    const text = new TextDecoder().decode(bytes);
    if (below(random, 8) === 0) return mutateBytes(random, bytes);
    return new TextEncoder().encode(JSON.stringify(mutateJson(random, JSON.parse(text))));
  },
};
