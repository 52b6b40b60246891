/**
 * The pieces that Unigram training begins with: every character, and every string of 2 to 16 characters that occurs twice or more
 * and is not always followed by the same character (an inner node of the suffix tree, as esaxx lists them for Hugging Face
 * `tokenizers` and SentencePiece). A string is worth its occurrences times its length.
 *
 * Strings grow by one character a round. Only places whose string occurs again go on, so the rounds become small quickly and no suffix
 * array of the whole text is needed.
 */
import { pointAt } from './cells.ts';

/** Stretches of `units`: stretch i is units[starts[i], ends[i]), and occurs `counts[i]` times. */
export interface Stretches {
  readonly units: Uint16Array;
  readonly starts: Int32Array;
  readonly ends: Int32Array;
  readonly counts: Float64Array;
}

/** Pieces by where they are written in `units`. */
export interface Seeds {
  readonly starts: Int32Array;
  /** In UTF-16 units. */
  readonly lengths: Int32Array;
  readonly weights: Float64Array;
  /** The first so many are the single characters. */
  readonly characters: number;
}

const LONGEST = 16;
const BOUNDARY = 0;

/** @param most pieces at most; characters are always among them. */
export function seedPieces(stretches: Stretches, most: number): Seeds {
  const { units, starts, ends, counts } = stretches;
  let size = 1;
  for (let i = 0; i < starts.length; i++) size += ends[i] - starts[i] + 1;
  // Characters by their number (1 up), stretches divided by the boundary.
  const points = new Int32Array(size);
  const places = new Int32Array(size);
  const numbers = new Map<number, number>();
  const weights: number[] = [];
  const firsts: number[] = [];
  let length = 0;
  for (let i = 0; i < starts.length; i++) {
    for (let at = starts[i]; at < ends[i]; ) {
      const code = pointAt(units, at, ends[i]);
      let number = numbers.get(code);
      if (number === undefined) {
        number = weights.length + 1;
        numbers.set(code, number);
        weights.push(0);
        firsts.push(at);
      }
      weights[number - 1] += counts[i];
      places[length] = at;
      points[length++] = number;
      at += code > 0xffff ? 2 : 1;
    }
    places[length] = ends[i];
    points[length++] = BOUNDARY;
  }

  const found = repeated(points.subarray(0, length), weights.length);
  const order = Array.from(found.scores.keys()).sort((a, b) => found.scores[b] - found.scores[a] || a - b);
  const byWeight = Array.from(weights.keys()).sort((a, b) => weights[b] - weights[a]);
  const total = Math.max(byWeight.length, Math.min(most, byWeight.length + order.length));
  const seeds = {
    starts: new Int32Array(total),
    lengths: new Int32Array(total),
    weights: new Float64Array(total),
    characters: byWeight.length,
  };
  byWeight.forEach((number, i) => {
    seeds.starts[i] = firsts[number];
    seeds.lengths[i] = units[firsts[number]] >= 0xd800 && units[firsts[number]] < 0xdc00 ? 2 : 1;
    seeds.weights[i] = weights[number];
  });
  for (let i = byWeight.length; i < total; i++) {
    const one = order[i - byWeight.length];
    const from = found.places[one];
    seeds.starts[i] = places[from];
    seeds.lengths[i] = places[from + found.lengths[one] - 1] - places[from];
    const last = places[from + found.lengths[one] - 1];
    seeds.lengths[i] += units[last] >= 0xd800 && units[last] < 0xdc00 ? 2 : 1;
    seeds.weights[i] = found.scores[one];
  }
  return seeds;
}

interface Repeated {
  /** A place where the string begins, and its characters. */
  readonly places: number[];
  readonly lengths: number[];
  readonly scores: number[];
}

function repeated(points: Int32Array, characters: number): Repeated {
  const found: Repeated = { places: [], lengths: [], scores: [] };
  // Places whose string of the round is repeated, and the group of equal strings each belongs to.
  let at = new Int32Array(points.length);
  let group = new Int32Array(points.length);
  let alive = 0;
  const singles = new Int32Array(characters + 1);
  for (let i = 0; i < points.length; i++) singles[points[i]]++;
  for (let i = 0; i < points.length; i++) {
    if (points[i] === BOUNDARY || singles[points[i]] < 2) continue;
    at[alive] = i;
    group[alive++] = points[i];
  }
  let sizes = singles;
  let firsts = new Int32Array(0);
  for (let length = 1; length <= LONGEST && alive > 0; length++) {
    const children = new Children(alive, sizes.length);
    for (let k = 0; k < alive; k++) {
      const next = points[at[k] + length];
      if (next === BOUNDARY) children.endings[group[k]]++;
      else group[k] = ~children.add(group[k], next, at[k]);
    }
    const { single } = children;
    for (let i = 0; i < single.length; i++) single[i] = children.endings[i] === sizes[i] ? 1 : 0;
    for (let i = 0; i < children.size; i++)
      if (children.sizes[i] === sizes[children.parents[i]]) single[children.parents[i]] = 1;
    if (length > 1) {
      for (let i = 0; i < sizes.length; i++) {
        if (sizes[i] < 2 || single[i] === 1) continue;
        found.places.push(firsts[i]);
        found.lengths.push(length);
        found.scores.push(sizes[i] * length);
      }
    }
    let kept = 0;
    for (let k = 0; k < alive; k++) {
      if (group[k] >= 0 || children.sizes[~group[k]] < 2) continue;
      at[kept] = at[k];
      group[kept++] = ~group[k];
    }
    alive = kept;
    at = at.subarray(0, alive);
    group = group.subarray(0, alive);
    sizes = children.sizes.slice(0, children.size);
    firsts = children.firsts.slice(0, children.size);
  }
  return found;
}

/** Groups of places by (group they were in, next character). */
class Children {
  size = 0;
  readonly parents: Int32Array;
  readonly sizes: Int32Array;
  readonly firsts: Int32Array;
  /** For each old group: places where a stretch ends. */
  readonly endings: Int32Array;
  /** For each old group: 1 when one and the same character follows everywhere. */
  readonly single: Uint8Array;
  private readonly points: Int32Array;
  private readonly slots: Int32Array;
  private readonly mask: number;

  constructor(most: number, groups: number) {
    this.parents = new Int32Array(most);
    this.sizes = new Int32Array(most);
    this.firsts = new Int32Array(most);
    this.points = new Int32Array(most);
    this.endings = new Int32Array(groups);
    this.single = new Uint8Array(groups);
    let capacity = 64;
    while (capacity < most * 1.5) capacity *= 2;
    this.slots = new Int32Array(capacity);
    this.mask = capacity - 1;
  }

  add(parent: number, point: number, place: number): number {
    const { slots, mask, parents, points } = this;
    const hash = Math.imul(parent, 0x9e3779b1) ^ Math.imul(point, 0x85ebca6b);
    for (let slot = (hash ^ (hash >>> 15)) & mask; ; slot = (slot + 1) & mask) {
      const index = slots[slot] - 1;
      if (index < 0) {
        const fresh = this.size++;
        slots[slot] = fresh + 1;
        parents[fresh] = parent;
        points[fresh] = point;
        this.firsts[fresh] = place;
        this.sizes[fresh] = 1;
        return fresh;
      }
      if (parents[index] === parent && points[index] === point) {
        this.sizes[index]++;
        return index;
      }
    }
  }
}
