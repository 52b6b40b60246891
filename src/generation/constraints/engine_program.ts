/**
 * A grammar as a network of nodes that the engine walks: bytes to read, calls of rules with places to return to, and counters. Each region (the body of a
 * rule, the item of a counted repeat, the members of an object) runs on a frame of its own kind; see engine_frames.ts.
 */
import { CapacityError, SettingError } from '../../errors.ts';
import { type Analysis, analyse, type Part, usefulStates } from './engine_analysis.ts';
import { DEAD, EXIT } from './engine_characters.ts';
import { NODE_SPAN } from './engine_frames.ts';
import type { Automaton, Grammar } from './grammar.ts';

export const LITERAL = 0;
export const ROW = 1;
export const FORK = 2;
export const CALL = 3;
export const RETURN = 4;
export const ENTER = 5;
export const DONE = 6;
export const OPEN = 7;
export const CHOOSE = 8;
export const KEY = 9;
export const CLOSE = 10;

/** Rows of targets, of an automaton or of characters. */
export interface Table {
  readonly next: Int32Array;
  readonly final: Uint8Array | null;
  /** Eight words a row: which bytes lead on. */
  readonly live: Uint32Array;
}

export interface RepeatNode {
  item: number;
  /** Where an item after another begins: at the separator. */
  again: number;
  exit: number;
  min: number;
  readonly max: number;
  /** Whether it may be left at once. */
  readonly nullable: boolean;
  /** Whether its first item may be empty, and a separator follows it. */
  readonly firstMayBeEmpty: boolean;
}

export interface MembersNode {
  readonly count: number;
  /** Bitset over the named members, in the order of their keys. */
  readonly required: Uint32Array;
  readonly requiredCount: number;
  /** Where the key of a named member goes on after its leading bytes. */
  readonly rest: number[];
  /** The tree of leading bytes; -1 where there are no named members. */
  keys: number;
  /** Starts of the keys of other members. */
  readonly others: number[];
  again: number;
  exit: number;
  readonly min: number;
  readonly max: number;
}

/** A place in the tree of keys: the members from `low` to `high` begin alike, those before `ends` go on with their rest. */
export interface KeyNode {
  readonly members: number;
  readonly low: number;
  readonly ends: number;
  readonly high: number;
  readonly bytes: number[];
  readonly targets: number[];
}

export interface Program {
  /** Kind of each node, and up to five numbers: see {@link Builder}. */
  readonly kind: Uint8Array;
  readonly a: Int32Array;
  readonly b: Int32Array;
  readonly c: Int32Array;
  readonly d: Int32Array;
  readonly lists: Int32Array;
  readonly tables: readonly Table[];
  readonly repeats: readonly RepeatNode[];
  readonly members: readonly MembersNode[];
  readonly keys: readonly KeyNode[];
  /** The first node of each rule, and whether it may write nothing. */
  readonly ruleStart: Int32Array;
  readonly ruleNullable: Uint8Array;
  /** Rule 0 is the start. */
  readonly returnSites: readonly (readonly number[])[];
}

const MOST_NODES = NODE_SPAN - 1;
/** Expressions smaller than this are written out where they stand, larger ones that stand at several places become rules. */
const SMALL = 12;
const LONG_BYTES = 64;
/** Counted repeats are written out up to this many nodes. */
const UNROLLED = 40;

export function compileProgram(grammar: Grammar): Program {
  return new Builder(analyse(grammar)).build();
}

type Task = () => void;

class Ints {
  data = new Int32Array(256);
  length = 0;
  push(value: number): void {
    if (this.length === this.data.length) {
      const grown = new Int32Array(this.length * 2);
      grown.set(this.data);
      this.data = grown;
    }
    this.data[this.length++] = value;
  }
  done(): Int32Array {
    return this.data.slice(0, this.length);
  }
}

/**
 * Expressions are built from their end: `build(part, next)` gives the node where the part begins when `next` is what follows. Nested parts are tasks on
 * a stack; `result` is what the last one gave.
 *
 * Nodes: LITERAL a = byte, b = next · ROW a = table, b = row, c = node of row 0, d = exit · FORK a = place in lists, b = how many · CALL a = rule,
 * b = return to · RETURN a = rule · ENTER, DONE a = repeat · OPEN, CHOOSE a = members · KEY a = key node · CLOSE a = members, b = which, or -1.
 */
class Builder {
  private readonly kind = new Ints();
  private readonly a = new Ints();
  private readonly b = new Ints();
  private readonly c = new Ints();
  private readonly d = new Ints();
  private readonly lists = new Ints();
  private readonly tables: Table[] = [];
  private readonly tableOf = new Map<Automaton | Part, number>();
  private readonly repeats: RepeatNode[] = [];
  private readonly members: MembersNode[] = [];
  private readonly keys: KeyNode[] = [];
  private readonly ruleOf = new Map<number, number>();
  private readonly rules: number[] = [];
  private readonly starts: number[] = [];
  private readonly returnSites: number[][] = [];
  private readonly parts: readonly Part[];
  private readonly tasks: Task[] = [];
  private result = -1;

  constructor(private readonly analysis: Analysis) {
    this.parts = analysis.parts;
  }

  build(): Program {
    this.rule(this.analysis.start);
    for (let i = 0; i < this.rules.length; i++) {
      const end = this.node(RETURN, i);
      const part = this.parts[this.rules[i]];
      // The body of a named rule is its part; that of a shared expression is itself.
      if (part.expression.kind === 'rule') this.expand(part.parts[0], end);
      else this.expandInline(this.rules[i], end);
      this.run();
      this.starts.push(this.result);
    }
    return {
      kind: Uint8Array.from(this.kind.done()),
      a: this.a.done(),
      b: this.b.done(),
      c: this.c.done(),
      d: this.d.done(),
      lists: this.lists.done(),
      tables: this.tables,
      repeats: this.repeats,
      members: this.members,
      keys: this.keys,
      ruleStart: Int32Array.from(this.starts),
      ruleNullable: Uint8Array.from(this.rules, (index) => (this.parts[index].nullable ? 1 : 0)),
      returnSites: this.returnSites,
    };
  }

  private run(): void {
    while (this.tasks.length > 0) this.tasks.pop()!();
  }

  private node(kind: number, a = 0, b = 0, c = 0, d = 0): number {
    const index = this.kind.length;
    if (index >= MOST_NODES) throw new CapacityError('grammar', index + 1, MOST_NODES, 'nodes');
    this.kind.push(kind);
    this.a.push(a);
    this.b.push(b);
    this.c.push(c);
    this.d.push(d);
    return index;
  }

  private rule(part: number): number {
    let rule = this.ruleOf.get(part);
    if (rule === undefined) {
      rule = this.rules.length;
      this.rules.push(part);
      this.returnSites.push([]);
      this.ruleOf.set(part, rule);
    }
    return rule;
  }

  private fork(targets: readonly number[]): number {
    if (targets.length === 1) return targets[0];
    const place = this.lists.length;
    for (const target of targets) this.lists.push(target);
    return this.node(FORK, place, targets.length);
  }

  private call(part: number, next: number): number {
    const rule = this.rule(part);
    this.returnSites[rule].push(next);
    return this.node(CALL, rule, next);
  }

  /**
   * Whether a part is written out at each of its places. One with rules in it never is: whatever stands at one place only then cannot stand inside itself,
   * since one of the parts of a circle has a place outside of it too.
   */
  private isSmall({ expression, size, plain }: Part): boolean {
    return plain && size <= (expression.kind === 'bytes' ? LONG_BYTES : SMALL);
  }

  /** Sets `result` to the node where the part begins, now or when the tasks on top have run. */
  private expand(index: number, next: number): void {
    const part = this.parts[index];
    if (part.expression.kind === 'rule') {
      if (part.uses === 1 || this.isSmall(this.parts[part.parts[0]])) this.expand(part.parts[0], next);
      else this.result = this.call(index, next);
      return;
    }
    if (part.uses > 1 && !this.isSmall(part)) this.result = this.call(index, next);
    else this.expandInline(index, next);
  }

  private expandInline(index: number, next: number): void {
    const part = this.parts[index];
    const { expression } = part;
    switch (expression.kind) {
      case 'bytes':
        this.result = this.literal(expression.bytes, 0, next);
        return;
      case 'characters':
        this.result = this.table(part, next);
        return;
      case 'automaton':
        this.result = this.table(expression.automaton, next);
        return;
      case 'sequence': {
        this.sequence(part.parts, next);
        return;
      }
      case 'choice':
        this.choice(part, next);
        return;
      case 'repeat':
        this.repeat(part, expression.min, expression.max, next);
        return;
      case 'members':
        this.object(part, next);
        return;
      case 'rule':
        this.expand(part.parts[0], next);
    }
  }

  private literal(bytes: Uint8Array, from: number, next: number): number {
    let at = next;
    for (let i = bytes.length - 1; i >= from; i--) at = this.node(LITERAL, bytes[i], at);
    return at;
  }

  private sequence(list: readonly number[], next: number): void {
    let i = list.length;
    this.result = next;
    const step = () => {
      if (i === 0) return;
      i--;
      this.tasks.push(step);
      this.expand(list[i], this.result);
    };
    this.tasks.push(step);
  }

  /** Builds each part with the same end, then hands the nodes where they begin to `then`. */
  private each(list: readonly (readonly [part: number, next: number])[], then: (starts: number[]) => void): void {
    const starts: number[] = [];
    const step = () => {
      if (starts.length > 0 || begun) starts.push(this.result);
      begun = true;
      if (starts.length === list.length) {
        then(starts);
        return;
      }
      this.tasks.push(step);
      const [part, next] = list[starts.length];
      this.expand(part, next);
    };
    let begun = false;
    if (list.length === 0) then(starts);
    else this.tasks.push(step);
  }

  private table(source: Automaton | Part, exit: number): number {
    let index = this.tableOf.get(source);
    if (index === undefined) {
      index = this.tables.length;
      this.tables.push('final' in source ? tableOfAutomaton(source) : tableOfRows(source));
      this.tableOf.set(source, index);
    }
    const count = this.tables[index].next.length / 256;
    const base = this.kind.length;
    for (let row = 0; row < count; row++) this.node(ROW, index, row, base, exit);
    return base;
  }

  /** Alternatives that begin with bytes are a tree, so that a thousand words cost what one costs. */
  private choice(part: Part, next: number): void {
    const alive = part.parts.filter((index) => this.parts[index].productive);
    const heads: Head[] = [];
    const rest: number[] = [];
    for (const index of alive) {
      const head = this.headOf(index);
      if (head === null) rest.push(index);
      else heads.push(head);
    }
    if (heads.length < 2) {
      this.each(
        alive.map((index) => [index, next] as const),
        (starts) => {
          this.result = this.fork([...new Set(starts)]);
        },
      );
      return;
    }
    const tails: number[] = [];
    this.eachTail(heads, next, tails, () => {
      this.each(
        rest.map((index) => [index, next] as const),
        (starts) => {
          const root = this.literalTree(heads, tails);
          this.result = this.fork([...new Set([root, ...starts])]);
        },
      );
    });
  }

  /** The bytes that an expression begins with, and what follows them. */
  private headOf(index: number): Head | null {
    let at = index;
    for (;;) {
      const part = this.parts[at];
      const { expression } = part;
      if (expression.kind === 'bytes') return { bytes: expression.bytes, rest: [] };
      if (expression.kind === 'rule') {
        if (part.uses !== 1 && !this.isSmall(this.parts[part.parts[0]])) return null;
        at = part.parts[0];
        continue;
      }
      if (expression.kind !== 'sequence' || part.parts.length === 0 || (part.uses > 1 && part.size > SMALL))
        return null;
      const first = this.parts[part.parts[0]];
      if (first.expression.kind !== 'bytes') return null;
      return { bytes: first.expression.bytes, rest: part.parts.slice(1) };
    }
  }

  private eachTail(heads: readonly Head[], next: number, tails: number[], then: () => void): void {
    const step = () => {
      if (begun) tails.push(this.result);
      begun = true;
      // Most heads have nothing after them: no task for each.
      while (tails.length < heads.length && heads[tails.length].rest.length === 0) tails.push(next);
      if (tails.length === heads.length) {
        then();
        return;
      }
      this.tasks.push(step);
      this.sequence(heads[tails.length].rest, next);
    };
    let begun = false;
    this.tasks.push(step);
  }

  private literalTree(heads: readonly Head[], tails: readonly number[]): number {
    const order = heads.map((_head, i) => i).sort((x, y) => compareBytes(heads[x].bytes, heads[y].bytes));
    interface Open {
      readonly low: number;
      readonly high: number;
      readonly depth: number;
      at: number;
      readonly targets: number[];
      byte: number;
    }
    const open = (low: number, high: number, depth: number): Open => {
      const targets: number[] = [];
      let at = low;
      while (at < high && heads[order[at]].bytes.length === depth) {
        const tail = tails[order[at++]];
        if (!targets.includes(tail)) targets.push(tail);
      }
      return { low, high, depth, at, targets, byte: 0 };
    };
    const stack = [open(0, order.length, 0)];
    for (;;) {
      const top = stack[stack.length - 1];
      if (top.at < top.high) {
        const start = top.at;
        const byte = heads[order[start]].bytes[top.depth];
        let end = start + 1;
        while (end < top.high && heads[order[end]].bytes[top.depth] === byte) end++;
        top.at = end;
        top.byte = byte;
        if (end === start + 1) {
          const { bytes } = heads[order[start]];
          top.targets.push(this.literal(bytes, top.depth, tails[order[start]]));
        } else stack.push(open(start, end, top.depth + 1));
        continue;
      }
      stack.pop();
      const node = this.fork(top.targets);
      const above = stack[stack.length - 1];
      if (above === undefined) return node;
      above.targets.push(this.node(LITERAL, above.byte, node));
    }
  }

  private repeat(part: Part, least: number, most: number, next: number): void {
    const item = part.parts[0];
    const separator = part.parts.length > 1 ? part.parts[1] : -1;
    const itemPart = this.parts[item];
    let [min, max] = [least, most];
    if (!itemPart.productive) max = 0;
    else if (separator >= 0 && !this.parts[separator].productive) max = Math.min(max, 1);
    if (max === 0) {
      this.result = next;
      return;
    }
    const separatorNullable = separator < 0 || this.parts[separator].nullable;
    // Empty items fill up what is missing, and need not be counted.
    if (itemPart.nullable && separatorNullable) min = 0;
    if (max === Number.POSITIVE_INFINITY && min <= 1) {
      this.loop(item, separator, min, next);
      return;
    }
    const separatorSize = separator < 0 ? 0 : this.parts[separator].size;
    const cost = itemPart.size + separatorSize;
    const copies = max === Number.POSITIVE_INFINITY ? min : max;
    if (copies * cost <= UNROLLED || copies === 1) {
      this.unroll(item, separator, min, max, next);
      return;
    }
    const index = this.repeats.length;
    this.repeats.push({
      item: -1,
      again: -1,
      exit: next,
      min,
      max,
      nullable: min === 0 || (itemPart.nullable && (min === 1 || separatorNullable)),
      firstMayBeEmpty: itemPart.nullable && separator >= 0,
    });
    const done = this.node(DONE, index);
    this.each([[item, done]], ([start]) => {
      const { repeats } = this;
      repeats[index].item = start;
      const finish = (again: number) => {
        repeats[index].again = again;
        this.result = this.node(ENTER, index);
      };
      if (separator < 0) finish(start);
      else this.each([[separator, start]], ([again]) => finish(again));
    });
  }

  /** Any number of items: a circle of nodes, without a frame. */
  private loop(item: number, separator: number, min: number, next: number): void {
    const place = this.lists.length;
    this.lists.push(next);
    this.lists.push(next);
    const again = this.node(FORK, place, 2);
    this.each([[item, again]], ([start]) => {
      const finish = (back: number) => {
        this.lists.data[place] = back;
        this.result = min === 0 && back !== start ? this.fork([start, next]) : min === 0 ? again : start;
      };
      if (separator < 0) finish(start);
      else this.each([[separator, start]], ([back]) => finish(back));
    });
  }

  private unroll(item: number, separator: number, min: number, max: number, next: number): void {
    let copy = max === Number.POSITIVE_INFINITY ? min : max;
    let after = next;
    const nextCopy = () => {
      this.each([[item, after]], ([start]) => {
        copy--;
        const finish = (begin: number) => {
          after = copy >= min ? this.fork([begin, next]) : begin;
          if (copy > 0) nextCopy();
          else this.result = after;
        };
        if (copy > 0 && separator >= 0) this.each([[separator, start]], ([begin]) => finish(begin));
        else finish(start);
      });
    };
    if (max !== Number.POSITIVE_INFINITY) {
      nextCopy();
      return;
    }
    // The last of at least `min` items may be followed by any number of others.
    const place = this.lists.length;
    this.lists.push(next);
    this.lists.push(next);
    const again = this.node(FORK, place, 2);
    after = again;
    const whole = copy;
    nextCopy();
    const first = this.tasks.pop()!;
    this.tasks.push(() => {
      this.each([[item, again]], ([start]) => {
        const finish = (back: number) => {
          this.lists.data[place] = back;
          copy = whole;
          this.tasks.push(first);
        };
        if (separator < 0) finish(start);
        else this.each([[separator, start]], ([back]) => finish(back));
      });
    });
  }

  private object(part: Part, next: number): void {
    const { expression } = part;
    if (expression.kind !== 'members') return;
    const index = this.members.length;
    const value = (i: number) => part.parts[2 * i + 1];
    const heads: (Head & { readonly named: number })[] = [];
    const alive = (i: number) => {
      const [key, own] = [this.parts[part.parts[2 * i]], this.parts[value(i)]];
      if (key.nullable) throw new SettingError('grammar', 'members', 'has a key that may be empty');
      return key.productive && own.productive;
    };
    expression.named.forEach((_member, i) => {
      if (!alive(i)) return;
      const key = part.parts[2 * i];
      heads.push({ ...(this.headOf(key) ?? { bytes: new Uint8Array(0), rest: [key] }), named: i });
    });
    heads.sort((x, y) => compareBytes(x.bytes, y.bytes));
    const others = expression.others.map((_other, i) => expression.named.length + i).filter(alive);
    if (others.length === 0 && heads.length < expression.min) {
      throw new SettingError('grammar', expression.min, 'is more members than can be written');
    }
    const required = new Uint32Array((heads.length + 31) >> 5);
    let requiredCount = 0;
    heads.forEach((head, i) => {
      if (!expression.named[head.named].required) return;
      required[i >> 5] |= 1 << (i & 31);
      requiredCount++;
    });
    const separator = part.parts[part.parts.length - 1];
    const separable = this.parts[separator].productive;
    const node: MembersNode = {
      count: heads.length,
      required,
      requiredCount,
      rest: [],
      keys: -1,
      others: [],
      again: -1,
      exit: next,
      min: expression.min,
      max: separable ? expression.max : Math.min(1, expression.max),
    };
    this.members.push(node);
    const choose = this.node(CHOOSE, index);
    let i = 0;
    const total = heads.length + others.length;
    const step = () => {
      if (i === total) {
        node.keys = heads.length === 0 ? -1 : this.keyTree(index, heads);
        if (!separable) {
          node.again = choose;
          this.result = this.node(OPEN, index);
        } else {
          this.each([[separator, choose]], ([again]) => {
            node.again = again;
            this.result = this.node(OPEN, index);
          });
        }
        return;
      }
      const named = i < heads.length;
      const which = named ? heads[i].named : others[i - heads.length];
      const rest = named ? heads[i].rest : [part.parts[2 * which]];
      const close = this.node(CLOSE, index, named ? i : -1);
      i++;
      this.tasks.push(step);
      this.tasks.push(() => (named ? node.rest : node.others).push(this.result));
      this.sequence([...rest, value(which)], close);
    };
    this.tasks.push(step);
  }

  private keyTree(members: number, heads: readonly Head[]): number {
    const open = (low: number, high: number, depth: number) => {
      let ends = low;
      while (ends < high && heads[ends].bytes.length === depth) ends++;
      const key: KeyNode = { members, low, ends, high, bytes: [], targets: [] };
      this.keys.push(key);
      return { key, node: this.node(KEY, this.keys.length - 1), at: ends, depth };
    };
    const root = open(0, heads.length, 0);
    const stack = [root];
    while (stack.length > 0) {
      const top = stack[stack.length - 1];
      if (top.at === top.key.high) {
        stack.pop();
        continue;
      }
      const start = top.at;
      const byte = heads[start].bytes[top.depth];
      while (top.at < top.key.high && heads[top.at].bytes[top.depth] === byte) top.at++;
      const child = open(start, top.at, top.depth + 1);
      top.key.bytes.push(byte);
      top.key.targets.push(child.node);
      stack.push(child);
    }
    return root.node;
  }
}

interface Head {
  readonly bytes: Uint8Array;
  readonly rest: readonly number[];
}

function compareBytes(a: Uint8Array, b: Uint8Array): number {
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i++) if (a[i] !== b[i]) return a[i] - b[i];
  return a.length - b.length;
}

const automatonTables = new WeakMap<Automaton, Table>();

/** Ways that lead to no complete text are cut. */
function tableOfAutomaton(automaton: Automaton): Table {
  let table = automatonTables.get(automaton);
  if (table === undefined) {
    const useful = usefulStates(automaton);
    let { next } = automaton;
    if (useful.includes(0)) next = next.map((target) => (target >= 0 && useful[target] === 1 ? target : DEAD));
    table = { next, final: automaton.final, live: liveBytes(next) };
    automatonTables.set(automaton, table);
  }
  return table;
}

function tableOfRows(part: Part): Table {
  const next = part.rows!.next;
  return { next, final: null, live: liveBytes(next) };
}

function liveBytes(next: Int32Array): Uint32Array {
  const live = new Uint32Array(next.length / 32);
  for (let i = 0; i < next.length; i++) if (next[i] !== DEAD) live[i >> 5] |= 1 << (i & 31);
  return live;
}

export { DEAD, EXIT };
