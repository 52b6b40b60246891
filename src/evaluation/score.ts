/**
 * Scoring ids with an engine: many sequences in one step, and what several requests begin with is computed once.
 *
 * Requests are sorted by their ids and become a tree: a node is a run of ids that all requests below it share. Each level of the tree is one
 * step; a child goes on from a fork of its parent. Rows whose next token differs below a node belong to the children, so that a row has one target.
 */
import { InterruptedError } from '../errors.ts';
import type { Engine } from '../generation/engine.ts';
import type { Sequence } from '../generation/sequence.ts';
import type { ScoredIds } from './encode.ts';
import type { WorkOptions } from './types.ts';

export interface IdsScore {
  /** Natural logarithms of the probabilities of the continuation's tokens. */
  readonly logprobs: readonly number[];
  readonly is_greedy: boolean;
}

/** Rows of a batch: enough for full steps on every level of its tree, few enough to tell of progress and to be interrupted. */
const BATCH_ROWS = 2048;
/** A shared run shorter than this is computed again: a fork copies a page of the cache. */
const LEAST_SHARED = 3;

interface Entry {
  /** Context and continuation. */
  readonly ids: readonly number[];
  /** Length of the context. */
  readonly given: number;
  /** Places of the requests with these ids and this context. */
  readonly requests: number[];
}

/** Rows `from` to `to` of the sequences below it. */
interface Node {
  readonly ids: readonly number[];
  readonly from: number;
  readonly to: number;
  /** The first row that somebody below wants judged. */
  readonly judged: number;
  /** Entries that end here. */
  readonly ends: readonly Entry[];
  readonly children: readonly Node[];
}

/** What is known along the way to a node: of each row from the first of the sequence on that was judged. */
interface Judged {
  readonly logprobs: readonly number[];
  readonly greedy: readonly boolean[];
}

interface Open {
  readonly node: Node;
  readonly sequence: Sequence;
  readonly before: Judged;
}

/**
 * The scores of continuations, in the order of the requests. Every request has to fit into the engine's context: see `fitPair`.
 * @param options also which of the engine's adapters computes them.
 * @throws InterruptedError between two steps.
 */
export async function scoreIds(
  engine: Engine,
  requests: readonly ScoredIds[],
  options: WorkOptions<IdsScore> & { readonly adapter?: string | null } = {},
): Promise<IdsScore[]> {
  const results = new Array<IdsScore>(requests.length);
  const entries = sorted(requests);
  for (let from = 0; from < entries.length; ) {
    const to = batchEnd(engine, entries, from);
    await scoreBatch(engine, tree(entries, from, to, 0), options, (entry, score) => {
      for (const request of entry.requests) {
        results[request] = score;
        options.onResult?.(request, score);
      }
    });
    // A backend that computes on this thread keeps signals and timers waiting.
    await new Promise((resolve) => setTimeout(resolve, 0));
    from = to;
  }
  return results;
}

function sorted(requests: readonly ScoredIds[]): Entry[] {
  const entries = requests.map(({ context, continuation }, i): Entry => {
    return { ids: [...context, ...continuation], given: context.length, requests: [i] };
  });
  entries.sort((a, b) => compare(a.ids, b.ids) || a.given - b.given);
  const distinct: Entry[] = [];
  for (const entry of entries) {
    const last = distinct.at(-1);
    if (last && last.given === entry.given && compare(last.ids, entry.ids) === 0) last.requests.push(...entry.requests);
    else distinct.push(entry);
  }
  return distinct;
}

function compare(a: readonly number[], b: readonly number[]): number {
  const at = shared(a, b);
  if (at < a.length && at < b.length) return a[at] - b[at];
  return a.length - b.length;
}

/** How many ids two lists have in common from the first. */
function shared(a: readonly number[], b: readonly number[]): number {
  const most = Math.min(a.length, b.length);
  let at = 0;
  while (at < most && a[at] === b[at]) at++;
  return at;
}

/** Entries from `from` on that are computed together: at least one, and no more than the cache holds. */
function batchEnd(engine: Engine, entries: readonly Entry[], from: number): number {
  const room = engine.freeTokens / engine.pageSize;
  let [rows, pages, to] = [0, 0, from];
  for (; to < entries.length; to++) {
    const { length } = entries[to].ids;
    const fresh = to > from ? length - shared(entries[to].ids, entries[to - 1].ids) : length;
    // An entry adds two nodes at most, its own and the one where it parts from its neighbour; each copies a page and leaves one half full.
    pages += Math.min(Math.ceil(length / engine.pageSize) + 1, Math.ceil(fresh / engine.pageSize) + 4);
    rows += fresh;
    if (to > from && (rows > BATCH_ROWS || pages > room)) break;
  }
  return to;
}

/** The nodes of entries `lo` to `hi`, which have their first `from` ids in common; rows before `from` are computed above. */
function tree(entries: readonly Entry[], lo: number, hi: number, from: number): Node[] {
  const { ids } = entries[lo];
  const least = (list: readonly Entry[]): number => Math.min(...list.map(({ given }) => given)) - 1;
  if (hi - lo === 1) {
    const [judged, ends] = [entries[lo].given - 1, [entries[lo]]];
    return [{ ids, from, to: ids.length - 1, judged, ends, children: [] }];
  }
  const common = shared(ids, entries[hi - 1].ids);
  const to = common - 1;
  const isWorthIt = to - from >= LEAST_SHARED;
  const below: Node[] = [];
  const ends: Entry[] = [];
  for (let at = lo; at < hi; ) {
    const next = entries[at].ids[common];
    let end = at + 1;
    if (next === undefined) {
      if (isWorthIt) ends.push(entries[at]);
      else below.push(...tree(entries, at, end, from));
    } else {
      while (end < hi && entries[end].ids[common] === next) end++;
      below.push(...tree(entries, at, end, isWorthIt ? to : from));
    }
    at = end;
  }
  if (!isWorthIt) return below;
  return [{ ids, from, to, judged: least(entries.slice(lo, hi)), ends, children: below }];
}

/** Compute a tree, a level at a time. */
async function scoreBatch(
  engine: Engine,
  roots: readonly Node[],
  { signal, adapter }: { readonly signal?: AbortSignal; readonly adapter?: string | null },
  onEnd: (entry: Entry, score: IdsScore) => void,
): Promise<void> {
  let level: Open[] = roots.map((node) => {
    return { node, sequence: engine.sequence([], adapter), before: { logprobs: [], greedy: [] } };
  });
  try {
    while (level.length > 0) {
      if (signal?.aborted) throw new InterruptedError();
      for (const { node, sequence } of level) sequence.append(node.ids.slice(node.from, node.to));
      const results = await engine.step(
        level.map(({ node: { ids, from, to, judged }, sequence }) => {
          return { sequence, logits: 'none', targets: ids.slice(Math.max(from, judged) + 1, to + 1) };
        }),
      );
      const next: Open[] = [];
      level.forEach(({ node, sequence, before }, i) => {
        const { logprobs, best } = results[i];
        const rows = node.ids.slice(node.to + 1 - logprobs.length, node.to + 1);
        // Rows before the first that is judged have no part in any sum.
        const gap = new Array(node.to - logprobs.length - before.logprobs.length).fill(0);
        const judged: Judged = {
          logprobs: [...before.logprobs, ...gap, ...logprobs],
          greedy: [...before.greedy, ...gap.map(() => true), ...rows.map((id, row) => id === best[row])],
        };
        for (const entry of node.ends) onEnd(entry, scoreOf(entry, judged));
        for (const child of node.children) next.push({ node: child, sequence: sequence.fork(), before: judged });
        sequence.free();
      });
      level = next;
    }
  } finally {
    for (const { sequence } of level) sequence.free();
  }
}

function scoreOf({ ids, given }: Entry, { logprobs, greedy }: Judged): IdsScore {
  const [from, to] = [given - 1, ids.length - 1];
  return { logprobs: logprobs.slice(from, to), is_greedy: greedy.slice(from, to).every(Boolean) };
}
