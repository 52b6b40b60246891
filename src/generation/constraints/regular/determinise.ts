/**
 * From expressions to deterministic automata: Thompson's construction and the subset construction, with anchors and word boundaries as conditions on what
 * stands before and after. Look-aheads are intersections with what follows.
 */
import { complement, type Dfa, everything, intersection, partition } from './dfa.ts';
import { minimal } from './minimal.ts';
import { PatternProblem } from './problem.ts';
import type { Ranges } from './ranges.ts';
import { type PatternNode, parseExpression, WORD } from './syntax.ts';
import { bounded } from './table.ts';

/** `search`: the text holds a match somewhere, as `pattern` means it. `whole`: the text is a match. */
export type Anchoring = 'search' | 'whole';

const MOST_NODES = 12_000;
const MOST_WORK = 4_000_000;

/** @throws PatternProblem that completes "the expression …". */
export function compileExpression(source: string, anchoring: Anchoring): Dfa {
  return compileNode(parseExpression(source), anchoring);
}

export function compileNode(node: PatternNode, anchoring: Anchoring): Dfa {
  const items = node.kind === 'sequence' ? node.items : [node];
  const tail = anchoring === 'search' ? everything() : undefined;
  if (!hasLook(node)) return new Machine(items, anchoring === 'search', undefined, tail).determinise();
  if (node.kind === 'choice') {
    // Each way on its own: a look-ahead is of its way alone.
    const ways = node.items.map((item) => compileNode(item, anchoring));
    return ways.reduce((a, b) => complement(intersection(complement(a), complement(b))));
  }
  return withLooks(items, anchoring === 'search', tail);
}

/** The texts of `items`, then `tail`. Right to left: a look-ahead narrows all that follows it. */
function withLooks(items: readonly PatternNode[], searching: boolean, tail: Dfa | undefined): Dfa {
  let after = tail;
  let end = items.length;
  for (let i = items.length - 1; i >= 0; i--) {
    const item = items[i];
    if (item.kind !== 'look') continue;
    const following = items.slice(i + 1, end);
    const rest =
      following.length === 0 ? (after ?? emptyText()) : new Machine(following, false, 'unknown', after).determinise();
    if (hasLook(item.item)) throw new PatternProblem('has a look-ahead inside another, which is not supported');
    const ahead = new Machine([item.item], false, 'unknown', everything()).determinise();
    after = intersection(rest, item.negative ? complement(ahead) : ahead);
    end = i;
  }
  const first = items.slice(0, end);
  return new Machine(first, searching, undefined, after).determinise();
}

function emptyText(): Dfa {
  return { ...everything(), next: Int32Array.from([-1, -1]), final: Uint8Array.from([1]) };
}

/** A look-ahead is understood in the outermost sequence, or in one of its ways; elsewhere it is refused. */
function hasLook(node: PatternNode): boolean {
  if (node.kind === 'look') return true;
  if (node.kind === 'repeat') return hasLook(node.item);
  return (node.kind === 'sequence' || node.kind === 'choice') && node.items.some(hasLook);
}

const START = 0;
const OTHER = 1;
const WORDS = 2;
const END = 3;

class Machine {
  /** Edges of each node: on a set (its index), or free under a condition. */
  private readonly sets: Ranges[] = [];
  private readonly setIds = new Map<string, number>();
  private readonly onSet: number[] = [];
  private readonly to: number[] = [];
  private readonly free: number[][] = [];
  private readonly condition: (string | undefined)[] = [];
  private words = false;
  private work = 0;
  private readonly entry: number;
  private readonly exit: number;
  private readonly tailFrom: number = -1;

  constructor(
    items: readonly PatternNode[],
    searching: boolean,
    /** What stands before is not known: anchors of the start and boundaries of words cannot be decided. */
    private readonly before: 'unknown' | undefined,
    private readonly tail: Dfa | undefined,
  ) {
    this.entry = this.node();
    let at = this.entry;
    if (searching) {
      // Any text may stand before, unless the expression says that it begins at the start.
      const loop = this.node();
      this.link(this.entry, loop);
      const any = this.edge([0, 0xd7ff, 0xe000, 0x10ffff]);
      this.link(loop, any);
      this.to[any] = loop;
      at = loop;
    }
    for (const item of items) at = this.add(item, at);
    this.exit = this.node();
    this.link(at, this.exit);
    if (tail !== undefined) this.tailFrom = this.addTail(tail);
  }

  private node(): number {
    if (this.free.length >= MOST_NODES) throw new PatternProblem('has too many repetitions for an automaton', true);
    this.onSet.push(-1);
    this.to.push(-1);
    this.free.push([]);
    this.condition.push(undefined);
    return this.free.length - 1;
  }

  private edge(set: Ranges): number {
    const key = set.join();
    let id = this.setIds.get(key);
    if (id === undefined) {
      id = this.sets.length;
      this.sets.push(set);
      this.setIds.set(key, id);
    }
    const node = this.node();
    this.onSet[node] = id;
    return node;
  }

  private link(from: number, to: number): void {
    this.free[from].push(to);
  }

  /** Nodes for an item after `from`. @returns the node after it. */
  private add(item: PatternNode, from: number): number {
    switch (item.kind) {
      case 'set': {
        const edge = this.edge(item.set);
        const after = this.node();
        this.link(from, edge);
        this.to[edge] = after;
        return after;
      }
      case 'sequence':
        return item.items.reduce((at, one) => this.add(one, at), from);
      case 'choice': {
        const after = this.node();
        for (const one of item.items) {
          const start = this.node();
          this.link(from, start);
          this.link(this.add(one, start), after);
        }
        return after;
      }
      case 'repeat': {
        let at = from;
        if (item.min > MOST_NODES || (item.max < Infinity && item.max > MOST_NODES))
          throw new PatternProblem('has too many repetitions for an automaton', true);
        for (let i = 0; i < item.min; i++) at = this.add(item.item, at);
        if (item.max === Infinity) {
          const loop = this.node();
          this.link(at, loop);
          this.link(this.add(item.item, loop), loop);
          const after = this.node();
          this.link(loop, after);
          return after;
        }
        const after = this.node();
        this.link(at, after);
        for (let i = item.min; i < item.max; i++) {
          at = this.add(item.item, at);
          this.link(at, after);
        }
        return after;
      }
      case 'assert': {
        if (this.before === 'unknown' && item.at !== 'end')
          throw new PatternProblem(
            `has "${item.at === 'start' ? '^' : '\\b'}" after a look-ahead, which is not supported`,
          );
        if (item.at === 'word' || item.at === 'inside') {
          if (this.tail !== undefined && this.tail.final.length > 1)
            throw new PatternProblem('has "\\b" beside a look-ahead, which is not supported');
          this.words = true;
        }
        const node = this.node();
        const after = this.node();
        this.condition[node] = item.at;
        this.link(from, node);
        this.link(node, after);
        return after;
      }
      case 'look':
        throw new PatternProblem('has a look-ahead inside a group, which is not supported');
    }
  }

  /** The tail's own states become nodes, entered from the exit. @returns the first of them. */
  private addTail(tail: Dfa): number {
    const first = this.free.length;
    const count = tail.final.length;
    for (let s = 0; s < count; s++) this.node();
    const setsOf: Ranges[] = [];
    for (let i = 0; i < tail.bounds.length; i++) {
      const high = i + 1 < tail.bounds.length ? tail.bounds[i + 1] - 1 : 0x10ffff;
      setsOf[tail.classOf[i]] = [...(setsOf[tail.classOf[i]] ?? []), tail.bounds[i], high];
    }
    for (let s = 0; s < count; s++) {
      const by = new Map<number, number[]>();
      for (let c = 1; c < tail.classes; c++) {
        const to = tail.next[s * tail.classes + c];
        if (to >= 0) by.set(to, [...(by.get(to) ?? []), c]);
      }
      for (const [to, classes] of by) {
        for (const c of classes) {
          const edge = this.edge(setsOf[c]);
          this.link(first + s, edge);
          this.to[edge] = first + to;
        }
      }
    }
    this.link(this.exit, first);
    return first;
  }

  private isFinal(node: number): boolean {
    return this.tail === undefined
      ? node === this.exit
      : node >= this.tailFrom &&
          node - this.tailFrom < this.tail.final.length &&
          this.tail.final[node - this.tailFrom] === 1;
  }

  determinise(): Dfa {
    const sets = this.words ? [...this.sets, WORD] : this.sets;
    const split = partition(sets);
    const wordClass = new Uint8Array(split.classes);
    if (this.words) for (const c of split.members[sets.length - 1]) wordClass[c] = 1;
    const ids = new Map<string, number>();
    const kernels: { nodes: readonly number[]; before: number }[] = [];
    const enter = (nodes: readonly number[], before: number): number => {
      const key = `${before}:${nodes.join()}`;
      let id = ids.get(key);
      if (id === undefined) {
        id = kernels.length;
        ids.set(key, id);
        kernels.push({ nodes, before });
        bounded(kernels.length, split.classes);
      }
      return id;
    };
    enter([this.entry], START);
    const rows: Int32Array[] = [];
    const finals: number[] = [];
    for (let s = 0; s < kernels.length; s++) {
      const { nodes, before } = kernels[s];
      const row = new Int32Array(split.classes).fill(-1);
      const kinds = this.words ? [OTHER, WORDS] : [OTHER];
      for (const kind of kinds) {
        const buckets: number[][] = [];
        for (const node of this.closure(nodes, before, kind)) {
          if (this.onSet[node] < 0) continue;
          for (const c of split.members[this.onSet[node]]) {
            if (this.words && wordClass[c] !== (kind === WORDS ? 1 : 0)) continue;
            this.count(1);
            buckets[c] ??= [];
            buckets[c].push(this.to[node]);
          }
        }
        buckets.forEach((targets, c) => {
          const kernel = [...new Set(targets)].sort((a, b) => a - b);
          row[c] = enter(kernel, this.words && wordClass[c] === 1 ? WORDS : OTHER);
        });
      }
      rows.push(row);
      finals.push(this.closure(nodes, before, END).some((node) => this.isFinal(node)) ? 1 : 0);
    }
    const next = new Int32Array(rows.length * split.classes);
    for (let s = 0; s < rows.length; s++) next.set(rows[s], s * split.classes);
    return minimal({
      bounds: split.bounds,
      classOf: split.classOf,
      classes: split.classes,
      next,
      final: Uint8Array.from(finals),
    });
  }

  private count(cost: number): void {
    this.work += cost;
    if (this.work > MOST_WORK) throw new PatternProblem('needs too much work to become an automaton', true);
  }

  private closure(nodes: readonly number[], before: number, after: number): number[] {
    const seen = new Set<number>(nodes);
    const order = [...nodes];
    for (let i = 0; i < order.length; i++) {
      this.count(1);
      const condition = this.condition[order[i]];
      if (condition !== undefined && !holds(condition, before, after)) continue;
      for (const to of this.free[order[i]]) {
        if (!seen.has(to)) {
          seen.add(to);
          order.push(to);
        }
      }
    }
    return order;
  }
}

function holds(condition: string, before: number, after: number): boolean {
  if (condition === 'start') return before === START;
  if (condition === 'end') return after === END;
  const boundary = (before === WORDS) !== (after === WORDS);
  return condition === 'word' ? boundary : !boundary;
}
