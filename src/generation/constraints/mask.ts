/**
 * Which tokens of a vocabulary may come at a place. Of each configuration only the topmost frame is looked at: what that decides is walked once over the
 * whole vocabulary and remembered as a bitset (inside a string that is nearly everything). The few tokens that read on beyond the frame are remembered as
 * a tree of what is left of them, and walked at run time from the frame's real parents (the split into context-independent and context-dependent tokens
 * is XGrammar's: Dong et al. 2024). In a counted repeat the tokens are remembered with how many items they need, so that all counts share one walk.
 */
import { type Configurations, type Place, UNKNOWN_TARGET } from './engine_configurations.ts';
import { COUNT, type Frame, TALLY, TALLY_START } from './engine_frames.ts';
import { CALL, ENTER, FORK, KEY, LITERAL, OPEN, ROW } from './engine_program.ts';
import { suffixTrie, type TokenTrie, trieOf } from './trie.ts';
import type { ConstraintVocabulary } from './types.ts';

/** What a node on a frame of its kind decides by itself. */
interface Local {
  /** In a counted repeat: the tokens that may come if enough items may. */
  readonly accepted: Uint32Array;
  /** In a counted repeat: accepted tokens that begin a second item or later ones, those of most items first; how many items each begins. */
  readonly counted: Int32Array;
  readonly counts: Int32Array;
  exits: readonly Exit[] | null;
  /** Nodes of the vocabulary at each exit: made into exits when first asked for. */
  readonly nodes: ReadonlyMap<number, readonly number[]>;
  /** The exits as one for all counts, where no count is in their way; null where there are none of a repeat. */
  readonly merged: readonly Exit[] | null;
  /** The most items that an exit needs. */
  readonly most: number;
  /** The counted repeat, or -1. */
  readonly repeat: number;
}

/** What is left of tokens once the frame's parent has to be known. */
interface Exit {
  /** Where to go on. */
  readonly node: number;
  /** Items of the counted repeat that are complete then; -1 where that does not matter. */
  readonly items: number;
  readonly rest: TokenTrie;
  /** Tokens that end there: where the items are complete and no more may come, they are not among the accepted ones. */
  readonly whole: Int32Array;
}

const NONE = new Int32Array(0);
/** Of exits after one item or more, however many. */
const ANY_COUNT = 0;

/** Masks remembered for whole places, in words. */
const MOST_REMEMBERED = 1 << 20;
/** Nodes whose part of the vocabulary is walked when the grammar is compiled, so that no first token has to wait for it: those that read most bytes. */
const WALKED_AHEAD = 6;
const MANY_BYTES = 40;
const MOST_CANDIDATES = 1024;

export class Masks {
  private readonly words: number;
  private readonly trie: TokenTrie;
  private readonly locals = new Map<number, Local>();
  private readonly remembered: Place[] = [];
  private oldest = 0;
  private path = new Int32Array(0);

  constructor(
    private readonly configurations: Configurations,
    vocabulary: ConstraintVocabulary,
  ) {
    this.words = (vocabulary.size + 31) >> 5;
    this.trie = trieOf(vocabulary);
    for (const [node, repeat] of wideNodes(configurations)) this.local(node, repeat);
  }

  /** The mask of a place. It stays what it is: never written to again. */
  of(place: Place): Uint32Array {
    if (place.mask !== null) return place.mask;
    const { configurations } = this;
    configurations.renew();
    const mask = new Uint32Array(this.words);
    if (place.few !== null) {
      // Where few bytes may come the vocabulary is walked as it is: most of it is passed over.
      this.walk(configurations.idOf(place), this.trie, mask);
      this.remember(place, mask);
      return mask;
    }
    const groups = new Map<Local, Frame[]>();
    for (let i = 0; i < place.nodes.length; i++) {
      const frame = place.frames[i];
      const local = this.local(place.nodes[i], frame.kind === COUNT ? frame.index : -1);
      const group = groups.get(local);
      if (group === undefined) groups.set(local, [frame]);
      else group.push(frame);
    }
    for (const [local, frames] of groups) {
      this.add(local, frames, mask);
      const free = local.merged !== null && frames.every((frame) => frame.need <= 1 && frame.left > local.most);
      for (const { node, items, rest, whole } of free ? local.merged! : this.exitsOf(local)) {
        if (whole.length > 0 && frames.some((frame) => frame.left === items && frame.need <= items)) {
          for (let i = 0; i < whole.length; i++) mask[whole[i] >> 5] |= 1 << (whole[i] & 31);
        }
        if (rest.count === 1) continue;
        const from = configurations.place(...parentsOf(node, items, frames));
        if (from !== null) this.walk(configurations.idOf(from), rest, mask);
      }
    }
    this.remember(place, mask);
    return mask;
  }

  /** Adds the tokens that need no more items than one of the frames may have. */
  private add({ accepted, counted, counts }: Local, frames: readonly Frame[], mask: Uint32Array): void {
    let most = 0;
    if (counted.length > 0) for (const frame of frames) most = Math.max(most, frame.left);
    if (counted.length === 0 || counts[0] <= most) {
      for (let i = 0; i < accepted.length; i++) mask[i] |= accepted[i];
      return;
    }
    const fitting = accepted.slice();
    for (let i = 0; i < counted.length && counts[i] > most; i++) fitting[counted[i] >> 5] &= ~(1 << (counted[i] & 31));
    for (let i = 0; i < fitting.length; i++) mask[i] |= fitting[i];
  }

  private remember(place: Place, mask: Uint32Array): void {
    const most = Math.max(4, Math.floor(MOST_REMEMBERED / Math.max(1, this.words)));
    if (this.remembered.length < most) this.remembered.push(place);
    else {
      this.remembered[this.oldest].mask = null;
      this.remembered[this.oldest] = place;
      this.oldest = (this.oldest + 1) % most;
    }
    place.mask = mask;
  }

  /** @param repeat the counted repeat on whose frame the node stands, or -1. */
  private local(node: number, repeat: number): Local {
    const key = (repeat + 1) * this.configurations.program.kind.length + node;
    let local = this.locals.get(key);
    if (local === undefined) {
      local = this.compute(node, repeat);
      this.locals.set(key, local);
    }
    return local;
  }

  private compute(node: number, repeat: number): Local {
    const { configurations, trie } = this;
    const accepted = new Uint32Array(this.words);
    if (configurations.program.kind[node] === KEY) {
      return {
        accepted,
        counted: NONE,
        counts: NONE,
        exits: [{ node, items: -1, rest: trie, whole: NONE }],
        nodes: new Map(),
        repeat,
        merged: null,
        most: 0,
      };
    }
    const exits = new Map<number, number[]>();
    const byCount: number[][] = [];
    const place = configurations.only(node, repeat < 0 ? configurations.frames.unknown : configurations.tally(repeat));
    this.walkLocal(configurations.idOf(place), accepted, exits, repeat < 0 ? null : byCount);
    const after: number[] = [];
    let most = 0;
    for (const [exit, nodes] of exits) {
      if (exit >= 0) continue;
      most = Math.max(most, -exit);
      for (const at of nodes) if (trie.skip[at] > at + 1) after.push(at);
    }
    let merged: Exit[] | null = null;
    if (most > 0) {
      merged = this.exits(new Map([...exits].filter(([exit]) => exit >= 0)), repeat);
      const { exit } = configurations.program.repeats[repeat];
      merged.push({ node: exit, items: ANY_COUNT, rest: this.rest(exit, after), whole: NONE });
    }
    let total = 0;
    for (let count = 2; count < byCount.length; count++) total += byCount[count]?.length ?? 0;
    const counted = new Int32Array(total);
    const counts = new Int32Array(total);
    for (let count = byCount.length - 1, at = 0; count > 1; count--) {
      const list = byCount[count];
      if (list === undefined) continue;
      counted.set(list, at);
      counts.fill(count, at, at + list.length);
      at += list.length;
    }
    return {
      accepted,
      counted,
      counts,
      exits: null,
      nodes: exits,
      repeat,
      merged,
      most,
    };
  }

  private exitsOf(local: Local): readonly Exit[] {
    local.exits ??= this.exits(local.nodes, local.repeat);
    return local.exits;
  }

  private exits(found: ReadonlyMap<number, readonly number[]>, repeat: number): Exit[] {
    const { trie } = this;
    const list: Exit[] = [];
    for (const [exit, nodes] of found) {
      const whole: number[] = [];
      if (exit < 0) {
        for (const at of nodes) for (let t = trie.first[at]; t < trie.first[at + 1]; t++) whole.push(trie.tokens[t]);
      }
      const node = exit < 0 ? this.configurations.program.repeats[repeat].exit : exit;
      const rest = this.rest(node, nodes);
      if (rest.count === 1 && whole.length === 0) continue;
      list.push({ node, items: exit < 0 ? -exit : -1, rest, whole: new Int32Array(whole) });
    }
    return list;
  }

  /** What is left of the tokens below nodes when they go on at a node: as far as it could follow anywhere in the grammar. */
  private rest(target: number, nodes: readonly number[]): TokenTrie {
    const { configurations } = this;
    const place = configurations.place([target], [configurations.frames.any]);
    const start = place === null ? -1 : configurations.idOf(place);
    return suffixTrie(this.trie, nodes, start, (state, byte) => configurations.step(state, byte));
  }

  /** Sets the bits of all tokens of a tree that may come. */
  private walk(start: number, trie: TokenTrie, mask: Uint32Array): void {
    const { first, tokens } = trie;
    for (let t = first[0]; t < first[1]; t++) mask[tokens[t] >> 5] |= 1 << (tokens[t] & 31);
    const { few } = this.configurations.places[start];
    if (few === null) this.walkPart(start, trie, 1, trie.count, mask);
    else {
      for (let i = 0; i < few.length; i++) {
        const child = trie.roots[few[i]];
        if (child >= 0) this.walkPart(start, trie, child, trie.skip[child], mask);
      }
    }
  }

  private walkPart(start: number, trie: TokenTrie, from: number, to: number, mask: Uint32Array): void {
    const { configurations } = this;
    const { byte, depth, skip, first, tokens } = trie;
    const path = this.pathOf(trie);
    path[0] = start;
    let { table, rowOf } = configurations;
    for (let i = from; i < to; ) {
      const d = depth[i];
      const row = rowOf[path[d - 1]];
      let next = row < 0 ? UNKNOWN_TARGET : table[row + byte[i]];
      if (next === UNKNOWN_TARGET) {
        next = configurations.step(path[d - 1], byte[i]);
        ({ table, rowOf } = configurations);
      }
      if (next < 0) {
        i = skip[i];
        continue;
      }
      path[d] = next;
      for (let t = first[i]; t < first[i + 1]; t++) mask[tokens[t] >> 5] |= 1 << (tokens[t] & 31);
      i++;
    }
  }

  /** The same over the whole vocabulary where not all is known: notes where that would matter, and how many items a token begins. */
  private walkLocal(start: number, mask: Uint32Array, exits: Map<number, number[]>, byCount: number[][] | null): void {
    const { configurations, trie } = this;
    const { byte, depth, skip, first, tokens, count } = trie;
    const path = this.pathOf(trie);
    const begun: number[] = [];
    const after: number[][] = [];
    path[0] = start;
    let { table, rowOf } = configurations;
    for (let i = 1; i < count; ) {
      const d = depth[i];
      const row = rowOf[path[d - 1]];
      let next = row < 0 ? UNKNOWN_TARGET : table[row + byte[i]];
      if (next === UNKNOWN_TARGET) {
        next = configurations.step(path[d - 1], byte[i]);
        ({ table, rowOf } = configurations);
      }
      if (next < 0) {
        i = skip[i];
        continue;
      }
      path[d] = next;
      const place = configurations.places[next];
      if (first[i] < first[i + 1]) {
        let items = 0;
        if (byCount !== null) {
          items = begun[next] ??= itemsBegun(place);
        }
        // What is complete with no item to go on with is left to the exits, which know how many there may be.
        if (byCount === null || items > 0) {
          for (let t = first[i]; t < first[i + 1]; t++) {
            mask[tokens[t] >> 5] |= 1 << (tokens[t] & 31);
            if (items > 1) {
              byCount![items] ??= [];
              byCount![items].push(tokens[t]);
            }
          }
        }
      }
      for (let e = 0; e < place.exits.length; e++) {
        const exit = place.exits[e];
        if (exit < 0) {
          let list = after[-exit];
          if (list === undefined) {
            list = [];
            after[-exit] = list;
          }
          list.push(i);
          continue;
        }
        if (skip[i] === i + 1) continue;
        const list = exits.get(exit);
        if (list === undefined) exits.set(exit, [i]);
        else list.push(i);
      }
      i++;
    }
    after.forEach((list, items) => {
      exits.set(-items, list);
    });
  }

  private pathOf(trie: TokenTrie): Int32Array {
    if (this.path.length <= trie.deepest) this.path = new Int32Array(trie.deepest + 1);
    return this.path;
  }
}

/** The fewest items that have begun where a place is inside a repeat whose counts are not known; 0 where it is in none. */
function itemsBegun(place: Place): number {
  let fewest = Number.POSITIVE_INFINITY;
  const seen = new Set<Frame>(place.frames);
  for (const frame of seen) {
    if (frame.kind === TALLY) fewest = Math.min(fewest, TALLY_START - frame.left + 1);
    else for (const parent of frame.parents) seen.add(parent);
  }
  return fewest === Number.POSITIVE_INFINITY ? 0 : fewest;
}

/** Where frames go on from a node, or from a repeat after so many items, that was reached while they were not known. */
function parentsOf(node: number, items: number, frames: readonly Frame[]): [nodes: number[], frames: Frame[]] {
  const known = new Set<Frame>();
  for (const frame of frames) {
    if (items < 0 || frame.kind !== COUNT) known.add(frame);
    else if (items === ANY_COUNT || (frame.need <= items && items <= frame.left))
      for (const parent of frame.parents) known.add(parent);
  }
  const list = [...known];
  return [list.map(() => node), list];
}

/** Nodes that read many different bytes, each with the counted repeat on whose frame it stands, or -1. */
function wideNodes({ program }: Configurations): [node: number, repeat: number][] {
  const { kind, a, b, d, lists } = program;
  const found: [node: number, repeat: number, bytes: number][] = [];
  const visit = (starts: readonly number[], repeat: number) => {
    const seen = new Set<number>();
    const stack = [...starts];
    while (stack.length > 0 && found.length < MOST_CANDIDATES) {
      const at = stack.pop()!;
      if (at < 0 || seen.has(at)) continue;
      seen.add(at);
      switch (kind[at]) {
        case LITERAL:
          stack.push(b[at]);
          break;
        case ROW: {
          const table = program.tables[a[at]];
          stack.push(d[at]);
          for (let row = 0; row < table.next.length / 256 && found.length < MOST_CANDIDATES; row++) {
            if (seen.has(at + row - b[at]) && row !== b[at]) continue;
            seen.add(at + row - b[at]);
            let count = 0;
            for (let byte = 0; byte < 128; byte++) if (table.next[256 * row + byte] !== -1) count++;
            if (count >= MANY_BYTES) found.push([at + row - b[at], repeat, count]);
          }
          break;
        }
        case FORK:
          for (let i = 0; i < b[at]; i++) stack.push(lists[a[at] + i]);
          break;
        case CALL:
          stack.push(b[at]);
          break;
        case ENTER:
          stack.push(program.repeats[a[at]].exit);
          break;
        case OPEN:
          stack.push(program.members[a[at]].exit);
          break;
        case KEY: {
          const key = program.keys[a[at]];
          stack.push(...key.targets, ...program.members[key.members].rest.slice(key.low, key.ends));
        }
      }
    }
  };
  program.repeats.forEach((repeat, i) => {
    if (found.length < MOST_CANDIDATES) visit([repeat.item, repeat.again], i);
  });
  for (const start of program.ruleStart) if (found.length < MOST_CANDIDATES) visit([start], -1);
  for (const object of program.members) {
    if (found.length < MOST_CANDIDATES) visit([object.keys, object.again, ...object.others], -1);
  }
  found.sort((x, y) => y[2] - x[2]);
  return found.slice(0, WALKED_AHEAD).map(([node, repeat]) => [node, repeat]);
}
