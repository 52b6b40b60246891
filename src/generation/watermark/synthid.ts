/**
 * SynthID Text (Dathathri et al. 2024) as transformers 5.23 has it: the tokens before and a key say which candidates win a round, and each
 * round moves probability to them. What it does at a step follows from the answer's tokens alone.
 */
import type { Candidates, Warper } from '../candidates.ts';
import type { SynthIdConfig } from './config.ts';
import { Twister } from './twister.ts';

const FACTOR = 6364136223846793005n;
const LARGEST = 3.4028234663852886e38;
const LOW_FACTOR = Number(FACTOR & 0xffffffffn) | 0;

export function synthIdWatermark(config: SynthIdConfig): Warper {
  const { ngram_len, keys, context_history_size, skip_first_ngram_calls, debug_mode } = config;
  const table = samplingTable(config);
  const contexts = new Contexts(ngram_len);
  return (candidates, { tokens, promptLength }) => {
    const step = tokens.length - promptLength;
    candidates.list();
    if (debug_mode) candidates.values.fill(1, 0, candidates.count);
    if (skip_first_ngram_calls && step + 1 < ngram_len) return;
    const hashes = contexts.upTo(tokens, promptLength);
    const first = skip_first_ngram_calls ? ngram_len - 1 : 0;
    const from = Math.max(first, step - context_history_size);
    // The history begins with zeros.
    const hasZeros = step - first < context_history_size;
    if ((hasZeros && hashes[step] === 0n) || hashes.slice(from, step).includes(hashes[step])) return;
    play(candidates, hashes[step], keys, table);
  };
}

/** A tournament's rounds: candidates whose bit is 1 gain what the others lose. */
function play(candidates: Candidates, context: bigint, keys: readonly number[], table: Uint8Array): void {
  candidates.softmax();
  const { count, ids, weights, values, total } = candidates;
  for (let i = 0; i < count; i++) weights[i] /= total;
  const bits = new Uint8Array(count);
  const bitsOf = bitFinder(context, table);
  for (const key of keys) {
    let mass = 0;
    bitsOf(ids, count, key, bits);
    for (let i = 0; i < count; i++) if (bits[i]) mass += weights[i];
    for (let i = 0; i < count; i++) weights[i] *= 1 + bits[i] - mass;
  }
  for (let i = 0; i < count; i++) values[i] = weights[i] > 0 ? Math.log(weights[i]) : -LARGEST;
}

export type BitFinder = (ids: Int32Array, count: number, key: number, bits: Uint8Array) => void;

/** Bits of candidates: a hash of context, token and key, as a place in the table. */
export function bitFinder(context: bigint, table: Uint8Array): BitFinder {
  const size = table.length;
  if ((size & (size - 1)) === 0) {
    // A power of two: only the lowest bits count, and they depend on lowest bits alone.
    const start = Number(BigInt.asIntN(32, context));
    return (ids, count, key, bits) => {
      const low = Number(BigInt.asIntN(32, BigInt(key)));
      for (let i = 0; i < count; i++) {
        const token = (Math.imul((start + ids[i]) | 0, LOW_FACTOR) + 1) | 0;
        bits[i] = table[(Math.imul((token + low) | 0, LOW_FACTOR) + 1) & (size - 1)];
      }
    };
  }
  const modulus = BigInt(size);
  return (ids, count, key, bits) => {
    for (let i = 0; i < count; i++) {
      const place = hashOf(hashOf(context, BigInt(ids[i])), BigInt(key)) % modulus;
      bits[i] = table[Number(place < 0n ? place + modulus : place)];
    }
  };
}

function hashOf(hash: bigint, data: bigint): bigint {
  return BigInt.asIntN(64, (hash + data) * FACTOR + 1n);
}

function samplingTable({ sampling_table_seed, sampling_table_size }: SynthIdConfig): Uint8Array {
  const twister = new Twister(sampling_table_seed % 2 ** 32);
  return Uint8Array.from({ length: sampling_table_size }, () => twister.next() & 1);
}

/** Hashes of what precedes each token of an answer: its last tokens, after zeros in place of the prompt. */
class Contexts {
  private readonly tokens: number[] = [];
  private readonly hashes: bigint[] = [];

  constructor(private readonly ngram: number) {}

  /** Of every step up to the one that comes after these tokens. */
  upTo(tokens: readonly number[], promptLength: number): readonly bigint[] {
    const count = tokens.length - promptLength;
    let same = 0;
    while (same < Math.min(count, this.tokens.length) && this.tokens[same] === tokens[promptLength + same]) same++;
    this.tokens.length = same;
    this.hashes.length = Math.min(this.hashes.length, same + 1);
    for (let i = same; i < count; i++) this.tokens.push(tokens[promptLength + i]);
    for (let step = this.hashes.length; step <= count; step++) {
      let hash = 1n;
      for (let i = step - this.ngram + 1; i < step; i++) hash = hashOf(hash, BigInt(i < 0 ? 0 : this.tokens[i]));
      this.hashes.push(hash);
    }
    return this.hashes;
  }
}
