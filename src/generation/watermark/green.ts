/**
 * Green lists (Kirchenbauer et al. 2023, algorithms 2 and 3), bit for bit those of transformers 5.23.
 */
import type { LogitsProcessor, Scores } from '../types.ts';
import type { GreenListConfig } from './config.ts';
import { firstOfOrder, isAmongFirst, Twister } from './twister.ts';

const TABLE = 1_000_003;
/** Candidates that are tried with the self-hashing scheme. */
const TRIED = 40;

/** Which tokens are green. */
export class GreenLists {
  private readonly twister = new Twister(0);
  private readonly size: number;
  private order = new Int32Array(0);
  private readonly table: Int32Array | null;

  constructor(
    private readonly config: GreenListConfig,
    private readonly vocabulary: number,
  ) {
    this.size = Math.trunc(vocabulary * config.greenlist_ratio);
    this.table = config.seeding_scheme === 'selfhash' ? hashTable(config.hashing_key) : null;
  }

  /** The green tokens after these. */
  after(tokens: readonly number[]): Int32Array {
    if (this.order.length !== this.vocabulary) this.order = new Int32Array(this.vocabulary);
    this.twister.seed(this.seedOf(tokens));
    return firstOfOrder(this.twister, this.vocabulary, this.size, this.order);
  }

  /** Whether one token is green by these. */
  isGreen(tokens: readonly number[], token: number): boolean {
    this.twister.seed(this.seedOf(tokens));
    return isAmongFirst(this.twister, this.vocabulary, this.size, token);
  }

  private seedOf(tokens: readonly number[]): number {
    const { config, table } = this;
    const key = BigInt(config.hashing_key);
    const last = tokens[tokens.length - 1];
    let product = key * BigInt(last);
    if (table) {
      const hash = (token: number): bigint => BigInt(table[token % TABLE] + 1);
      const own = key * hash(last);
      // The least of the products, as signed numbers of 64 bits.
      const products = tokens.slice(-config.context_width).map((token) => BigInt.asIntN(64, own * hash(token)));
      product = products.reduce((a, b) => (b < a ? b : a));
    }
    const modulus = 2n ** 64n - 1n;
    return Number(BigInt.asUintN(32, ((product % modulus) + modulus) % modulus));
  }
}

let lastTable: { readonly key: number; readonly table: Int32Array } | null = null;

/** A random order that takes 10 ms to make: the last one is kept. */
function hashTable(key: number): Int32Array {
  if (lastTable?.key !== key) {
    lastTable = { key, table: firstOfOrder(new Twister(key % 2 ** 32), TABLE, TABLE, new Int32Array(TABLE)) };
  }
  return lastTable.table;
}

/** Adds the bias to the scores of green tokens. A text shorter than the context stays as it is. */
export function greenListWatermark(config: GreenListConfig): LogitsProcessor {
  let lists: GreenLists | null = null;
  let size = 0;
  return (scores, { tokens }) => {
    if (tokens.length < config.context_width || tokens.length === 0) return;
    if (!lists || size !== scores.length) {
      size = scores.length;
      lists = new GreenLists(config, size);
    }
    if (config.seeding_scheme === 'lefthash') {
      for (const token of lists.after(tokens)) scores[token] += config.bias;
      return;
    }
    const context = [...tokens.slice(-config.context_width), 0];
    const green = best(scores, TRIED).filter((token) => {
      context[context.length - 1] = token;
      return lists!.isGreen(context, token);
    });
    for (const token of green) scores[token] += config.bias;
  };
}

/** The tokens of the greatest scores, best first; removed ones are none. */
function best(scores: Scores, count: number): number[] {
  const found: number[] = [];
  let least = Number.NEGATIVE_INFINITY;
  for (let token = 0; token < scores.length; token++) {
    if (!(scores[token] > least)) continue;
    let at = found.length;
    while (at > 0 && scores[found[at - 1]] < scores[token]) at--;
    found.splice(at, 0, token);
    if (found.length > count) found.pop();
    if (found.length === count) least = scores[found[count - 1]];
  }
  return found;
}
