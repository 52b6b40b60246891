/** Free text up to a marker, and a constraint after it: to think, then to answer. */
import { SettingError } from '../../errors.ts';
import { type TokenTrie, trieOf } from './trie.ts';
import type { Constraint, ConstraintState, ConstraintVocabulary } from './types.ts';

/**
 * Everything may come, but no end, until the text of the marker was just written; from there on the constraint holds. Where the marker ends inside a token
 * the rest of that token has to begin what the constraint demands.
 * @param markerTokens special tokens that are the marker by themselves, such as `</think>`: they have no bytes.
 */
export function afterMarker(
  constraint: Constraint,
  marker: string,
  vocabulary: ConstraintVocabulary,
  markerTokens: readonly number[] = [],
): Constraint {
  const bytes = new TextEncoder().encode(marker);
  if (bytes.length === 0) throw new SettingError('marker', marker, 'must not be empty');
  for (const token of markerTokens) {
    if (!Number.isInteger(token) || token < 0 || token >= vocabulary.size) {
      throw new SettingError('markerTokens', token, `must be tokens from 0 to ${vocabulary.size - 1}`);
    }
  }
  const free = new FreeText(constraint, bytes, vocabulary, markerTokens);
  return { start: () => new MarkerState(free, 0, null) };
}

/** What is shared by all texts: where in the marker a text may be (Knuth, Morris and Pratt 1977), and the masks there. */
class FreeText {
  private readonly fallback: Int32Array;
  private readonly masks = new Map<number, Uint32Array>();
  private readonly trie: TokenTrie;

  constructor(
    readonly constraint: Constraint,
    readonly marker: Uint8Array,
    readonly vocabulary: ConstraintVocabulary,
    readonly markerTokens: readonly number[],
  ) {
    this.trie = trieOf(vocabulary);
    this.fallback = new Int32Array(marker.length);
    for (let i = 1, k = 0; i < marker.length; i++) {
      while (k > 0 && marker[i] !== marker[k]) k = this.fallback[k - 1];
      if (marker[i] === marker[k]) k++;
      this.fallback[i] = k;
    }
  }

  /** How much of the marker is written after another byte. */
  step(matched: number, byte: number): number {
    let k = matched;
    while (k > 0 && this.marker[k] !== byte) k = this.fallback[k - 1];
    return this.marker[k] === byte ? k + 1 : 0;
  }

  mask(matched: number): Uint32Array {
    let mask = this.masks.get(matched);
    if (mask === undefined) {
      mask = this.compute(matched);
      if (this.masks.size > 64) this.masks.clear();
      this.masks.set(matched, mask);
    }
    return mask;
  }

  private compute(matched: number): Uint32Array {
    const { trie, marker } = this;
    const { byte, depth, skip, first, tokens, count } = trie;
    const mask = new Uint32Array((this.vocabulary.size + 31) >> 5);
    const path = new Int32Array(trie.deepest + 1);
    path[0] = matched;
    const set = (node: number) => {
      for (let t = first[node]; t < first[node + 1]; t++) mask[tokens[t] >> 5] |= 1 << (tokens[t] & 31);
    };
    for (let i = 1; i < count; ) {
      const d = depth[i];
      const next = this.step(path[d - 1], byte[i]);
      path[d] = next;
      set(i);
      if (next < marker.length) {
        i++;
        continue;
      }
      // The marker is complete: what is below has to begin what the constraint demands.
      const states: ConstraintState[] = [this.constraint.start()];
      for (let j = i + 1; j < skip[i]; ) {
        const state = states[depth[j] - d - 1].fork();
        if (state.acceptBytes(byte.subarray(j, j + 1))) {
          set(j);
          states[depth[j] - d] = state;
          j++;
        } else j = skip[j];
      }
      i = skip[i];
    }
    for (const token of this.markerTokens) mask[token >> 5] |= 1 << (token & 31);
    return mask;
  }
}

class MarkerState implements ConstraintState {
  constructor(
    private readonly free: FreeText,
    private matched: number,
    /** Once the marker was written. */
    private inner: ConstraintState | null,
  ) {}

  get canEnd(): boolean {
    return this.inner?.canEnd ?? false;
  }

  get mustEnd(): boolean {
    return this.inner?.mustEnd ?? false;
  }

  mask(): Uint32Array {
    return this.inner?.mask() ?? this.free.mask(this.matched);
  }

  accept(token: number): boolean {
    if (this.inner !== null) return this.inner.accept(token);
    if (this.free.markerTokens.includes(token)) {
      this.inner = this.free.constraint.start();
      return true;
    }
    if (!(token >= 0 && token < this.free.vocabulary.size)) return false;
    const bytes = this.free.vocabulary.bytesOf(token);
    return bytes !== null && bytes.length > 0 && this.acceptBytes(bytes);
  }

  acceptBytes(bytes: Uint8Array): boolean {
    if (this.inner !== null) return this.inner.acceptBytes(bytes);
    let { matched } = this;
    for (let i = 0; i < bytes.length; i++) {
      matched = this.free.step(matched, bytes[i]);
      if (matched < this.free.marker.length) continue;
      const inner = this.free.constraint.start();
      if (!inner.acceptBytes(bytes.subarray(i + 1))) return false;
      this.inner = inner;
      return true;
    }
    this.matched = matched;
    return true;
  }

  forced(): Uint8Array {
    return this.inner?.forced() ?? new Uint8Array(0);
  }

  fork(): ConstraintState {
    return new MarkerState(this.free, this.matched, this.inner?.fork() ?? null);
  }
}
