/**
 * The merging of byte-pair encoding (Sennrich et al. 2016) in the order of Hugging Face `tokenizers`
 * (models/bpe/trainer.rs): the most frequent pair first, ties by the ids of its tokens. Pairs created in a merge wait with
 * the places where they were seen. What a pair occurs only becomes less, so its count is corrected when it comes up.
 *
 * All words lie in one array of cells, a cell a byte. The first and the last cell of a token hold its id, so that the
 * neighbours of a token are found from its length alone, without links. One merge visits the places of its pair twice: first to
 * write the new token and to sum, by neighbour, what changes, then to note the places of the new pairs; the table of pairs
 * is touched once a neighbour and not once a place.
 */
import { MergeQueue } from './merge-queue.ts';
import { PairTable } from './pair-table.ts';

/** Places that are looked at ahead. */
const BLOCK = 256;

/** The words, ready to be merged: {@link cellsOf} makes them. */
export interface MergerInput {
  /** Ids of bytes, with the edge (`vocabSize`) before, between and after words. */
  readonly cells: Uint16Array | Int32Array;
  /** How much more often than once the word of a cell occurs, for the cells in front; what follows occurs once. */
  readonly extra: Float64Array;
  /** Ids are below this. */
  readonly vocabSize: number;
}

export class Merger {
  private readonly cells: Uint16Array | Int32Array;
  private readonly extra: Float64Array;
  /** Cells from here on occur once. */
  private readonly weighted: number;
  /** Stands between words. */
  private readonly edge: number;
  /** Stands where the right part of a token began, so that it is not taken for that part. */
  private readonly inside: number;
  /** What {@link rewrite} looked at ahead; kept so that the looking is not optimised away. */
  touched = 0;
  /** Bytes of each token. */
  private readonly lengths: Int32Array;
  private readonly pairs: PairTable;
  private readonly queue: MergeQueue;
  private readonly left: Neighbours;
  private readonly right: Neighbours;
  private leftOf = new Int32Array(1024);
  private rightOf = new Int32Array(1024);

  /** @param compare an order of tokens for ties, see {@link MergeQueue}. */
  constructor(input: MergerInput, compare?: (a: number, b: number) => number) {
    this.queue = new MergeQueue(compare);
    const { cells, extra, vocabSize } = input;
    this.cells = cells;
    this.pairs = new PairTable(2 ** Math.min(20, Math.max(12, Math.ceil(Math.log2(cells.length)) - 3)));
    this.extra = extra;
    this.weighted = extra.length;
    this.edge = vocabSize;
    this.inside = vocabSize + 1;
    this.lengths = new Int32Array(vocabSize + 2).fill(1);
    this.left = new Neighbours(vocabSize + 2);
    this.right = new Neighbours(vocabSize + 2);
    this.countPairs();
  }

  /** How often the pair of an entry that {@link next} gave occurs. */
  count(entry: number): number {
    return this.queue.count(entry);
  }

  /** The entry of the pair to be merged next, or -1 when none occurs `least` times. */
  next(least: number): number {
    const { queue } = this;
    for (;;) {
      const entry = queue.take();
      if (entry < 0) return -1;
      const count = this.pairs.get(queue.left(entry), queue.right(entry));
      if (count !== queue.count(entry)) {
        queue.file(entry, count);
        continue;
      }
      return count < 1 || count < least ? -1 : entry;
    }
  }

  leftToken(entry: number): number {
    return this.queue.left(entry);
  }

  rightToken(entry: number): number {
    return this.queue.right(entry);
  }

  /** Makes one token of a pair, wherever its entry saw it. */
  merge(entry: number, token: number): void {
    const { queue, lengths } = this;
    const a = queue.left(entry);
    const b = queue.right(entry);
    lengths[token] = lengths[a] + lengths[b];
    const places = queue.positions(entry);
    const count = this.rewrite(places, a, b, token);
    queue.drop(entry);
    if (count > 0) this.account(places, count, a, b, token);
  }

  /** Writes the new token; leaves the places where it did in front of `places`, and what stood around them. */
  private rewrite(places: Int32Array, a: number, b: number, token: number): number {
    if (this.leftOf.length < places.length) {
      this.leftOf = new Int32Array(places.length * 2);
      this.rightOf = new Int32Array(places.length * 2);
    }
    const { cells, extra, weighted, left, right, leftOf, rightOf, inside } = this;
    const lengthA = this.lengths[a];
    const lengthB = this.lengths[b];
    let kept = 0;
    for (let block = 0; block < places.length; block += BLOCK) {
      const end = Math.min(places.length, block + BLOCK);
      // Nothing is done with what stands there: the loads of a short loop overlap, and the loop below finds its cells near.
      let touched = 0;
      for (let i = block; i < end; i++) touched ^= cells[places[i]];
      this.touched = touched;
      for (let i = block; i < end; i++) {
        const p = places[i];
        const q = p + lengthA;
        if (cells[p] !== a || cells[q] !== b) continue;
        const r = q + lengthB;
        const before = cells[p - 1];
        const after = cells[r];
        if (left.places[before]++ === 0) left.seen[left.size++] = before;
        if (right.places[after]++ === 0) right.seen[right.size++] = after;
        if (p < weighted) {
          left.extra[before] += extra[p];
          right.extra[after] += extra[p];
        }
        cells[p] = token;
        if (lengthB > 1) cells[q] = inside;
        cells[r - 1] = token;
        places[kept] = p;
        leftOf[kept] = before;
        rightOf[kept] = after;
        kept++;
      }
    }
    return kept;
  }

  private account(places: Int32Array, count: number, a: number, b: number, token: number): void {
    const { pairs, queue, left, right, lengths, leftOf, rightOf, edge } = this;
    pairs.lookAhead(left.seen, left.size, a, false);
    for (let i = 0; i < left.size; i++) {
      const other = left.seen[i];
      if (other !== edge) pairs.add(other, a, -(left.places[other] + left.extra[other]));
    }
    pairs.lookAhead(right.seen, right.size, b, true);
    for (let i = 0; i < right.size; i++) {
      const other = right.seen[i];
      if (other !== edge) pairs.add(b, other, -(right.places[other] + right.extra[other]));
    }
    const list = new Int32Array(left.reserve(right.reserve(0)));
    for (let k = 0; k < count; k++) {
      const p = places[k];
      const before = leftOf[k];
      list[left.ends[before]++] = p - lengths[before];
      list[right.ends[rightOf[k]]++] = p;
    }
    pairs.lookAhead(left.seen, left.size, token, false);
    for (let i = 0; i < left.size; i++) {
      const other = left.seen[i];
      if (other === edge) continue;
      const now = pairs.add(other, token, left.places[other] + left.extra[other]);
      const n = left.places[other];
      if (now > 0) queue.push(other, token, now, list, left.ends[other] - n, n);
    }
    pairs.lookAhead(right.seen, right.size, token, true);
    for (let i = 0; i < right.size; i++) {
      const other = right.seen[i];
      if (other === edge) continue;
      const now = pairs.add(token, other, right.places[other] + right.extra[other]);
      const n = right.places[other];
      if (now > 0) queue.push(token, other, now, list, right.ends[other] - n, n);
    }
    left.reset();
    right.reset();
  }

  /** Counts the pairs of single bytes, and notes where they are. */
  private countPairs(): void {
    const { cells, edge, extra, weighted } = this;
    const last = cells.length - 1;
    // Ids of single bytes are few: number them, so that a pair is a place in a square.
    const number = new Int32Array(edge + 2).fill(-1);
    const known: number[] = [];
    for (let i = 0; i <= last; i++) {
      if (number[cells[i]] >= 0) continue;
      number[cells[i]] = known.length;
      known.push(cells[i]);
    }
    const width = known.length;
    const places = new Int32Array(width * width);
    const more = new Float64Array(width * width);
    let x = number[cells[0]];
    for (let i = 0; i < last; i++) {
      const y = number[cells[i + 1]];
      places[x * width + y]++;
      if (i < weighted) more[x * width + y] += extra[i];
      x = y;
    }
    const ends = new Int32Array(width * width);
    let total = 0;
    for (let pair = 0; pair < ends.length; pair++) {
      ends[pair] = total;
      total += places[pair];
    }
    const list = new Int32Array(total);
    x = number[cells[0]];
    for (let i = 0; i < last; i++) {
      const y = number[cells[i + 1]];
      list[ends[x * width + y]++] = i;
      x = y;
    }
    for (let pair = 0; pair < ends.length; pair++) {
      const left = known[Math.floor(pair / width)];
      const right = known[pair % width];
      if (places[pair] === 0 || left === edge || right === edge) continue;
      const count = places[pair] + more[pair];
      this.pairs.add(left, right, count);
      this.queue.push(left, right, count, list, ends[pair] - places[pair], places[pair]);
    }
  }
}

/** What stood on one side of the places of a merge, by token: how many places, and where their list ends. */
class Neighbours {
  readonly places: Int32Array;
  /** What the places weigh beyond one each. */
  readonly extra: Float64Array;
  readonly ends: Int32Array;
  readonly seen: Int32Array;
  size = 0;

  constructor(tokens: number) {
    this.places = new Int32Array(tokens);
    this.extra = new Float64Array(tokens);
    this.ends = new Int32Array(tokens);
    this.seen = new Int32Array(tokens);
  }

  /** Gives each token room in a list from `from`, and returns where the room ends. */
  reserve(from: number): number {
    let at = from;
    for (let i = 0; i < this.size; i++) {
      this.ends[this.seen[i]] = at;
      at += this.places[this.seen[i]];
    }
    return at;
  }

  reset(): void {
    for (let i = 0; i < this.size; i++) {
      this.places[this.seen[i]] = 0;
      this.extra[this.seen[i]] = 0;
    }
    this.size = 0;
  }
}
