/**
 * The unigram model: of all ways to cut a piece into tokens, the one whose scores (log-probabilities) sum highest
 * (Kudo 2018, "Subword Regularization"; the search and its ties as in `tokenizers`, models/unigram/model.rs).
 */
import { codePointAt, nameOfByte, utf8 } from './bytes.ts';
import type { IntList } from './int-list.ts';
import { type Model, PieceCache } from './model.ts';
import { PrefixTree } from './prefix-tree.ts';
import type { Vocabulary } from './vocabulary.ts';

/** What an unknown character costs below the worst token. */
const UNKNOWN_PENALTY = 10;

export interface UnigramOptions {
  readonly vocabulary: Vocabulary;
  /** Score of each token. */
  readonly scores: Float64Array;
  /** The id of unknown text, or -1 when there is none: then text outside the vocabulary is dropped. */
  readonly unknownId: number;
  readonly byteFallback: boolean;
}

export class Unigram implements Model {
  readonly vocabulary: Vocabulary;
  readonly unknownId: number;
  readonly showsUnknownText = true;
  private readonly cache = new PieceCache();
  private tree: PrefixTree | undefined;
  private readonly unknownScore: number;
  private readonly byteIds = new Int32Array(256).fill(-1);
  private bestScore = new Float64Array(64);
  private bestStart = new Int32Array(64);
  private bestId = new Int32Array(64);

  constructor(private readonly options: UnigramOptions) {
    this.vocabulary = options.vocabulary;
    this.unknownId = options.unknownId;
    let least = 0;
    for (let id = 0; id < options.scores.length; id++) least = Math.min(least, options.scores[id]);
    this.unknownScore = least - UNKNOWN_PENALTY;
    if (options.byteFallback) {
      for (let byte = 0; byte < 256; byte++) this.byteIds[byte] = options.vocabulary.idOf(nameOfByte(byte));
    }
  }

  ids(piece: string, out: IntList): void {
    const known = this.cache.get(piece);
    if (known !== undefined) {
      if (typeof known === 'number') out.push(known);
      else out.pushAll(known);
      return;
    }
    const from = out.length;
    this.run(piece, out, false);
    this.cache.put(piece, out, from);
  }

  spans(piece: string, out: IntList): void {
    this.run(piece, out, true);
  }

  private run(piece: string, out: IntList, spans: boolean): void {
    this.search(piece);
    // The best path is found from its end: turn it round in the arrays that are already there.
    const ends: number[] = [];
    for (let end = piece.length; end > 0; end = this.bestStart[end]) ends.push(end);
    let unknownStart = -1;
    for (let i = ends.length - 1; i >= 0; i--) {
      const end = ends[i];
      const start = this.bestStart[end];
      const id = this.bestId[end];
      if (id >= 0) {
        if (unknownStart >= 0) this.emitUnknown(piece, unknownStart, start, out, spans);
        unknownStart = -1;
        emit(id, start, end, out, spans);
      } else if (unknownStart < 0) unknownStart = start;
    }
    if (unknownStart >= 0) this.emitUnknown(piece, unknownStart, piece.length, out, spans);
  }

  private search(piece: string): void {
    const length = piece.length;
    if (this.bestScore.length <= length || (this.bestScore.length > 4096 && length * 4 < this.bestScore.length)) {
      this.bestScore = new Float64Array(Math.max(64, length + 1));
      this.bestStart = new Int32Array(Math.max(64, length + 1));
      this.bestId = new Int32Array(Math.max(64, length + 1));
    }
    const { bestScore, bestStart, bestId } = this;
    const { scores } = this.options;
    this.tree ??= this.buildTree();
    const tree = this.tree;
    bestStart.fill(-1, 0, length + 1);
    bestScore[0] = 0;
    for (let start = 0; start < length; ) {
      const here = bestScore[start];
      const next = start + (codePointAt(piece, start) > 0xffff ? 2 : 1);
      let single = false;
      let node = tree.root;
      for (let end = start + 1; end <= length; end++) {
        node = tree.child(node, piece.charCodeAt(end - 1));
        if (node < 0) break;
        const id = tree.valueAt(node);
        if (id < 0) continue;
        const score = here + scores[id];
        if (bestStart[end] < 0 || score > bestScore[end]) {
          bestScore[end] = score;
          bestStart[end] = start;
          bestId[end] = id;
        }
        if (end === next) single = true;
      }
      if (!single) {
        const score = here + this.unknownScore;
        if (bestStart[next] < 0 || score > bestScore[next]) {
          bestScore[next] = score;
          bestStart[next] = start;
          bestId[next] = -1;
        }
      }
      start = next;
    }
  }

  private buildTree(): PrefixTree {
    const { vocabulary } = this;
    const tree = new PrefixTree(vocabulary.size * 3);
    for (let id = 0; id < vocabulary.size; id++) {
      const length = vocabulary.unitLength(id);
      if (length > 0 && !vocabulary.isHidden(id)) tree.add(length, (i) => vocabulary.unitAt(id, i), id);
    }
    return tree;
  }

  private emitUnknown(piece: string, start: number, end: number, out: IntList, spans: boolean): void {
    if (this.options.byteFallback) {
      const bytes = utf8(piece.slice(start, end));
      if (bytes.every((byte) => this.byteIds[byte] >= 0)) {
        for (const byte of bytes) emit(this.byteIds[byte], start, end, out, spans);
        return;
      }
    }
    if (this.unknownId >= 0) emit(this.unknownId, start, end, out, spans);
  }
}

function emit(id: number, start: number, end: number, out: IntList, spans: boolean): void {
  out.push(id);
  if (!spans) return;
  out.push(start);
  out.push(end);
}
