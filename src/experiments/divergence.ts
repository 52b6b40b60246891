/**
 * How far generated texts are from a reference: the area under the divergence frontier of two histograms, as MAUVE (Pillutla et al. 2021). Its
 * authors make the histograms from hidden states of GPT-2; these are made from n-grams, so that no second model is needed and
 * models compare with each other. The numbers are therefore not those of the paper:
 *
 * 1. Each text is cut into pieces of 32 units (units.ts); a rest of 16 or more is a piece as well.
 * 2. A piece is a vector of 256 numbers: counts of its units and of its pairs of units, hashed (FNV-1a), their square roots, length 1.
 * 3. k-means (first centres by k-means++, seeded) over the pieces of the reference and of all texts together gives k clusters, k a tenth of
 *    the pieces of the smaller side, from 2 to 50.
 * 4. P and Q are the shares of pieces of the text and of the reference in each cluster; the area is that of the frontier, with c = 5.
 */
import { uniform } from '../generation/random.ts';
import { countRuns } from './units.ts';

const PIECE = 32;
const WIDTH = 256;
const MOST_CLUSTERS = 50;
/** Pieces from which clusters are found; more of them, evenly chosen, would say no more. */
const MOST_PIECES = 2000;
const ROUNDS = 30;
const DRAW = 0x4d0000;

/**
 * The area under the frontier of two histograms: 1 when they are equal, near 0 when nothing is in both. For w in (0, 1) and R = w P + (1 - w) Q the points are
 * (e^(-c KL(Q|R)), e^(-c KL(P|R))); the corners (0, 1) and (1, 0) belong to it.
 * @param p shares that add up to 1. @param q the same, as many.
 */
export function frontierArea(p: readonly number[], q: readonly number[], scale = 5, steps = 25): number {
  const points: [number, number][] = [[0, 1]];
  for (let i = 0; i < steps; i++) {
    // As in the authors' program, the ends are near 0 and 1.
    const w = 1e-6 + (i / (steps - 1)) * (1 - 2e-6);
    const mix = p.map((x, j) => w * x + (1 - w) * q[j]);
    points.push([Math.exp(-scale * divergence(q, mix)), Math.exp(-scale * divergence(p, mix))]);
  }
  points.push([1, 0]);
  points.sort((a, b) => a[0] - b[0] || b[1] - a[1]);
  let area = 0;
  for (let i = 1; i < points.length; i++) {
    area += ((points[i][0] - points[i - 1][0]) * (points[i][1] + points[i - 1][1])) / 2;
  }
  return area;
}

/** Σ p ln(p / r), where r is 0 nowhere that p is not. */
function divergence(p: readonly number[], r: readonly number[]): number {
  let sum = 0;
  for (let i = 0; i < p.length; i++) if (p[i] > 0) sum += p[i] * Math.log(p[i] / r[i]);
  return sum;
}

/** The vectors of a text's pieces. */
export function piecesOf(units: readonly string[]): Float64Array[] {
  const pieces: Float64Array[] = [];
  for (let from = 0; from < units.length; from += PIECE) {
    const piece = units.slice(from, from + PIECE);
    if (piece.length < PIECE / 2) break;
    const vector = new Float64Array(WIDTH);
    for (const n of [1, 2]) for (const [run, count] of countRuns(piece, n)) vector[hash(run) % WIDTH] += count;
    let square = 0;
    for (const x of vector) square += x;
    // The squares of the roots of the counts are the counts.
    for (let i = 0; i < WIDTH; i++) vector[i] = Math.sqrt(vector[i] / square);
    pieces.push(vector);
  }
  return pieces;
}

/** FNV-1a over UTF-16 code units. */
function hash(text: string): number {
  let value = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) value = Math.imul(value ^ text.charCodeAt(i), 0x01000193);
  return value >>> 0;
}

/** Clusters found once, for many comparisons with the same reference. */
export class Quantizer {
  private readonly centres: Float64Array[];

  /** @param smaller pieces on the smaller side of the comparison. */
  constructor(pieces: readonly Float64Array[], smaller: number, seed: number) {
    const every = Math.max(1, pieces.length / MOST_PIECES);
    const chosen = Array.from({ length: Math.floor(pieces.length / every) }, (_, i) => pieces[Math.floor(i * every)]);
    const clusters = Math.min(MOST_CLUSTERS, Math.max(2, Math.round(smaller / 10)), chosen.length);
    this.centres = kMeans(chosen, clusters, seed);
  }

  /** The cluster of each piece. */
  clustersOf(pieces: readonly Float64Array[]): number[] {
    return pieces.map((piece) => nearest(piece, this.centres));
  }

  /** Shares of clusters; null for no pieces. */
  shares(clusters: readonly number[]): number[] | null {
    if (clusters.length === 0) return null;
    const counts = new Array<number>(this.centres.length).fill(0);
    for (const cluster of clusters) counts[cluster]++;
    return counts.map((count) => count / clusters.length);
  }
}

function kMeans(points: readonly Float64Array[], count: number, seed: number): Float64Array[] {
  if (points.length === 0) return [];
  const centres = [points[Math.floor(uniform(seed, 0, 0, DRAW) * points.length)].slice()];
  const far = points.map((point) => distance(point, centres[0]));
  while (centres.length < count) {
    const target = uniform(seed, 0, centres.length, DRAW) * far.reduce((sum, d) => sum + d, 0);
    let [sum, at] = [0, 0];
    for (; at < far.length - 1 && sum + far[at] <= target; at++) sum += far[at];
    const centre = points[at].slice();
    centres.push(centre);
    for (let i = 0; i < points.length; i++) far[i] = Math.min(far[i], distance(points[i], centre));
  }
  const where = new Int32Array(points.length).fill(-1);
  for (let round = 0; round < ROUNDS; round++) {
    let moved = 0;
    points.forEach((point, i) => {
      const to = nearest(point, centres);
      if (to !== where[i]) moved++;
      where[i] = to;
    });
    if (moved === 0) break;
    const sizes = new Int32Array(count);
    const sums = centres.map(() => new Float64Array(WIDTH));
    points.forEach((point, i) => {
      sizes[where[i]]++;
      for (let j = 0; j < WIDTH; j++) sums[where[i]][j] += point[j];
    });
    // An empty cluster keeps its centre.
    sums.forEach((sum, k) => {
      if (sizes[k] > 0) centres[k] = sum.map((x) => x / sizes[k]);
    });
  }
  return centres;
}

function nearest(point: Float64Array, centres: readonly Float64Array[]): number {
  let [best, at] = [Number.POSITIVE_INFINITY, 0];
  for (let k = 0; k < centres.length; k++) {
    const d = distance(point, centres[k]);
    if (d < best) [best, at] = [d, k];
  }
  return at;
}

function distance(a: Float64Array, b: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < WIDTH; i++) sum += (a[i] - b[i]) ** 2;
  return sum;
}
