/**
 * The merging of byte-pair encoding (Sennrich et al. 2016) in the order of Hugging Face `tokenizers`
 * (models/bpe/trainer.rs): the most frequent pair first, ties by the ids of its tokens.
 *
 * All words lie in one array of cells, a cell a byte. The first and the last cell of a token hold its id, so that the
 * neighbours of a token are found from its length alone, without links. One merge visits the places of its pair twice: first to
 * write the new token and to sum, by neighbour, what changes, then to note the places of the new pairs; the table of pairs
 * is touched once a neighbour and not once a place.
 *
 * A token is made in one merge only (the same bytes are always cut the same way up to then), so all places of a pair are
 * known when it arises, and from then on there can only be fewer. Hence a pair that is rarer than some bound when it arises need
 * not be watched at all: most are. When the queue comes down to the bound, the bound is lowered and the cells are counted anew.
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
  /** Merges that are made at most. */
  readonly merges: number;
  /** Pairs that occur less often are not merged. */
  readonly least: number;
}

export class Merger {
  private readonly cells: Uint16Array | Int32Array;
  private readonly extra: Float64Array;
  /** Cells from here on occur once. */
  private readonly weighted: number;
  private readonly least: number;
  /** Stands between words. */
  private readonly edge: number;
  /** Stands where the right part of a token began, so that it is not taken for that part. */
  private readonly inside: number;
  /** What {@link rewrite} looked at ahead; kept so that the looking is not optimised away. */
  touched = 0;
  /** Bytes of each token. */
  private readonly lengths: Int32Array;
  private pairs: PairTable;
  private queue: MergeQueue;
  private readonly left: Neighbours;
  private readonly right: Neighbours;
  private leftOf = new Int32Array(1024);
  private rightOf = new Int32Array(1024);

  /** Pairs are watched that occur so many times. */
  private bound = 1;

  /** @param compare an order of tokens for ties, see {@link MergeQueue}. */
  constructor(
    input: MergerInput,
    private readonly compare?: (a: number, b: number) => number,
  ) {
    this.queue = new MergeQueue(compare);
    const { cells, extra, vocabSize } = input;
    this.cells = cells;
    this.pairs = new PairTable();
    this.least = Math.max(1, input.least);
    this.extra = extra;
    this.weighted = extra.length;
    this.edge = vocabSize;
    this.inside = vocabSize + 1;
    this.lengths = new Int32Array(vocabSize + 2).fill(1);
    this.left = new Neighbours(vocabSize + 2);
    this.right = new Neighbours(vocabSize + 2);
    this.countBytes(input.merges);
  }

  /** The entry of the pair to be merged next, or -1 when there is none. */
  next(): number {
    for (;;) {
      const { queue, pairs, bound } = this;
      const entry = queue.take();
      const count = entry < 0 ? 0 : pairs.get(queue.left(entry), queue.right(entry));
      if (count >= bound) {
        if (count === queue.count(entry)) return entry;
        queue.file(entry, count);
      } else if (entry >= 0 && count < queue.count(entry)) queue.drop(entry);
      else if (bound > this.least) this.countAgain();
      else return -1;
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

  /** Counts what a merge has taken away and what has come, and files the pairs that have. */
  private account(places: Int32Array, count: number, a: number, b: number, token: number): void {
    const { pairs, queue, left, right, lengths, leftOf, rightOf, edge, bound } = this;
    pairs.lookAhead(left.seen, left.size, a, false);
    for (let i = 0; i < left.size; i++) pairs.subtract(left.seen[i], a, left.weight(left.seen[i]));
    pairs.lookAhead(right.seen, right.size, b, true);
    for (let i = 0; i < right.size; i++) pairs.subtract(b, right.seen[i], right.weight(right.seen[i]));
    // Where the pair followed itself, the right neighbour was its left token, and has become the new token since.
    const again = left.weight(token);
    left.leave(edge, bound, -1, 0);
    right.leave(edge, bound, a, again);
    const room = left.reserve(right.reserve(0));
    if (room > 0) {
      const list = new Int32Array(room);
      for (let k = 0; k < count; k++) {
        const p = places[k];
        const before = leftOf[k];
        const after = rightOf[k];
        if (left.ends[before] >= 0) list[left.ends[before]++] = p - lengths[before];
        if (right.ends[after] >= 0) list[right.ends[after]++] = p;
      }
      for (let i = 0; i < left.size; i++) {
        const other = left.seen[i];
        const end = left.ends[other];
        if (end < 0) continue;
        const now = left.weight(other);
        pairs.add(other, token, now);
        queue.push(other, token, now, list, end - left.places[other], left.places[other]);
      }
      for (let i = 0; i < right.size; i++) {
        const other = right.seen[i];
        const end = right.ends[other];
        if (end < 0) continue;
        const now = right.weight(other) - (other === a ? again : 0);
        pairs.add(token, other, now);
        queue.push(token, other, now, list, end - right.places[other], right.places[other]);
      }
    }
    left.reset();
    right.reset();
  }

  /** Counts the pairs of single bytes, and notes where they are. */
  private countBytes(merges: number): void {
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
    let all = 0;
    for (let pair = 0; pair < places.length; pair++) all += places[pair] + more[pair];
    // The last merges are about so frequent in text; a wrong guess costs a counting, or some memory.
    this.bound = Math.max(this.least, Math.floor(all / (64 * Math.max(1, merges))));
    const ends = new Int32Array(width * width).fill(-1);
    let total = 0;
    for (let pair = 0; pair < ends.length; pair++) {
      const isEdge = known[Math.floor(pair / width)] === edge || known[pair % width] === edge;
      if (isEdge || places[pair] + more[pair] < this.bound) continue;
      ends[pair] = total;
      total += places[pair];
    }
    const list = new Int32Array(total);
    x = number[cells[0]];
    for (let i = 0; i < last; i++) {
      const y = number[cells[i + 1]];
      const pair = x * width + y;
      if (ends[pair] >= 0) list[ends[pair]++] = i;
      x = y;
    }
    for (let pair = 0; pair < ends.length; pair++) {
      if (ends[pair] < 0) continue;
      const left = known[Math.floor(pair / width)];
      const right = known[pair % width];
      this.pairs.add(left, right, places[pair] + more[pair]);
      this.queue.push(left, right, places[pair] + more[pair], list, ends[pair] - places[pair], places[pair]);
    }
  }

  /** Lowers the bound, and watches the pairs that reach it now. */
  private countAgain(): void {
    this.bound = Math.max(this.least, Math.floor(this.bound / 4));
    const all = new PairTable();
    this.eachPair((left, right, at) => all.add(left, right, at < this.weighted ? 1 + this.extra[at] : 1));
    this.pairs = new PairTable();
    this.queue = new MergeQueue(this.compare);
    const number = new PairTable();
    const found: { left: number; right: number; count: number; places: number }[] = [];
    all.each((left, right, count) => {
      if (count < this.bound) return;
      this.pairs.add(left, right, count);
      found.push({ left, right, count, places: 0 });
      number.add(left, right, found.length);
    });
    let total = 0;
    this.eachPair((left, right) => {
      const n = number.get(left, right);
      if (n === 0) return;
      found[n - 1].places++;
      total++;
    });
    const list = new Int32Array(total);
    const ends = new Int32Array(found.length);
    for (let n = 1; n < found.length; n++) ends[n] = ends[n - 1] + found[n - 1].places;
    this.eachPair((left, right, at) => {
      const n = number.get(left, right);
      if (n > 0) list[ends[n - 1]++] = at;
    });
    found.forEach(({ left, right, count, places }, n) => {
      this.queue.push(left, right, count, list, ends[n] - places, places);
    });
  }

  /** Calls back with neighbours inside words, and where the left one begins. */
  private eachPair(visit: (left: number, right: number, at: number) => void): void {
    const { cells, lengths, edge } = this;
    let left = edge;
    for (let at = 0, from = 0; at < cells.length; ) {
      const right = cells[at];
      if (left !== edge && right !== edge) visit(left, right, from);
      left = right;
      from = at;
      at += lengths[right];
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

  weight(token: number): number {
    return this.places[token] + this.extra[token];
  }

  /** Marks tokens that need no list: the edge, and those below the bound, for one of them less than it weighs. */
  leave(edge: number, bound: number, lighter: number, less: number): void {
    for (let i = 0; i < this.size; i++) {
      const token = this.seen[i];
      const weight = this.weight(token) - (token === lighter ? less : 0);
      this.ends[token] = token === edge || weight < bound ? -1 : 0;
    }
  }

  /** Gives each token that needs it room in a list from `from`, and returns where the room ends. */
  reserve(from: number): number {
    let at = from;
    for (let i = 0; i < this.size; i++) {
      const token = this.seen[i];
      if (this.ends[token] < 0) continue;
      this.ends[token] = at;
      at += this.places[token];
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
