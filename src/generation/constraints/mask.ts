/**
 * Which tokens of a vocabulary may come at a place. Of each configuration only the topmost frame is looked at, with its counts rounded to what one token
 * can tell apart: what that decides is walked once over the whole vocabulary and remembered as a bitset (inside a string that is nearly everything).
 * The few tokens that read on beyond the frame are remembered as a tree of what is left of them, and walked at run time from the frame's real parents
 * (the split into context-independent and context-dependent tokens is XGrammar's: Dong et al. 2024).
 */
import type { Configurations, Place } from './engine_configurations.ts';
import { COUNT, type Frame } from './engine_frames.ts';
import { CALL, CHOOSE, CLOSE, DONE, ENTER, FORK, KEY, LITERAL, OPEN, RETURN, ROW } from './engine_program.ts';
import { suffixTrie, type TokenTrie } from './trie.ts';

/** What a node on a frame like this decides by itself. */
interface Local {
  readonly accepted: Uint32Array;
  /** Where the frame's parent would have to be known: the node to go on at, and what is left of the tokens. */
  readonly exits: readonly { readonly node: number; readonly rest: TokenTrie }[];
}

/** Masks remembered for whole places, in words. */
const MOST_REMEMBERED = 1 << 20;
/** Exits beyond which it pays to know what may follow them. */
const MANY_EXITS = 256;

export class Masks {
  private readonly words: number;
  private readonly locals = new Map<string, Local>();
  private readonly remembered: Place[] = [];
  private oldest = 0;
  private path = new Int32Array(0);

  constructor(
    private readonly configurations: Configurations,
    private readonly trie: TokenTrie,
    size: number,
  ) {
    this.words = (size + 31) >> 5;
  }

  /** The mask of a place. It stays what it is: never written to again. */
  of(place: Place): Uint32Array {
    if (place.mask !== null) return place.mask;
    const { configurations } = this;
    configurations.renew();
    const mask = new Uint32Array(this.words);
    const groups = new Map<Local, Frame[]>();
    for (let i = 0; i < place.nodes.length; i++) {
      const frame = place.frames[i];
      const local = this.local(place.nodes[i], frame);
      const group = groups.get(local);
      if (group === undefined) groups.set(local, [frame]);
      else group.push(frame);
    }
    for (const [local, frames] of groups) {
      const { accepted } = local;
      for (let i = 0; i < accepted.length; i++) mask[i] |= accepted[i];
      for (const { node, rest } of local.exits) {
        const from = configurations.place(...parentsOf(node, frames));
        if (from !== null) this.walk(configurations.idOf(from), rest, mask, null);
      }
    }
    this.remember(place, mask);
    return mask;
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

  private local(node: number, frame: Frame): Local {
    const reach = this.trie.deepest + 1;
    const need = frame.kind === COUNT ? rounded(frame.need, reach) : -1;
    const left = frame.kind === COUNT ? rounded(frame.left, reach) : -1;
    const key = frame.kind === COUNT ? `${node}:${frame.index}:${need}:${left}` : `${node}`;
    let local = this.locals.get(key);
    if (local === undefined) {
      local = this.compute(node, frame, need, left);
      this.locals.set(key, local);
    }
    return local;
  }

  private compute(node: number, frame: Frame, need: number, left: number): Local {
    const { configurations, trie } = this;
    const accepted = new Uint32Array(this.words);
    const { unknown } = configurations.frames;
    const own = frame.kind === COUNT ? configurations.counting(frame.index, need, left, unknown) : unknown;
    const place = configurations.place([node], [own])!;
    const exits = new Map<number, number[]>();
    for (const exit of place.exits) exits.set(exit, [0]);
    if (place.nodes.length > 0) this.walk(configurations.idOf(place), trie, accepted, exits);
    const list = [...exits].map(([exit, nodes]) => {
      const wanted = nodes.length > MANY_EXITS ? followers(configurations, exit) : null;
      return { node: exit, rest: suffixTrie(trie, nodes, wanted) };
    });
    return { accepted, exits: list.filter(({ rest }) => rest.count > 1) };
  }

  /** Sets the bits of all tokens of a tree that may come; notes where the walk would need what is not known. */
  private walk(start: number, trie: TokenTrie, mask: Uint32Array, exits: Map<number, number[]> | null): void {
    const { configurations } = this;
    const { byte, depth, skip, first, tokens, count } = trie;
    if (this.path.length <= trie.deepest) this.path = new Int32Array(trie.deepest + 1);
    const { path } = this;
    path[0] = start;
    for (let i = 1; i < count; ) {
      const d = depth[i];
      const next = configurations.step(path[d - 1], byte[i]);
      if (next < 0) {
        i = skip[i];
        continue;
      }
      path[d] = next;
      for (let t = first[i]; t < first[i + 1]; t++) mask[tokens[t] >> 5] |= 1 << (tokens[t] & 31);
      if (exits !== null && skip[i] > i + 1) {
        for (const exit of configurations.places[next].exits) {
          const list = exits.get(exit);
          if (list === undefined) exits.set(exit, [i]);
          else list.push(i);
        }
      }
      i++;
    }
  }
}

/** A count that is beyond what a token can reach is as good as endless. */
function rounded(count: number, reach: number): number {
  return count > reach ? Number.POSITIVE_INFINITY : count;
}

/** Where frames go on from a node that was reached on what was not known. */
function parentsOf(node: number, frames: readonly Frame[]): [nodes: number[], frames: Frame[]] {
  const nodes: number[] = [];
  const known = new Set<Frame>();
  for (const frame of frames) {
    if (frame.kind !== COUNT) known.add(frame);
    else for (const parent of frame.parents) known.add(parent);
  }
  const list = [...known];
  for (let i = 0; i < list.length; i++) nodes.push(node);
  return [nodes, list];
}

/** Bytes that can follow a node, whatever its frame: 1 for each. */
function followers(configurations: Configurations, node: number): Uint8Array {
  const { program } = configurations;
  const { kind, a, b, d, lists } = program;
  const bytes = new Uint8Array(256);
  const seen = new Set<number>();
  const stack = [node];
  while (stack.length > 0) {
    const at = stack.pop()!;
    if (seen.has(at)) continue;
    seen.add(at);
    switch (kind[at]) {
      case LITERAL:
        bytes[a[at]] = 1;
        break;
      case ROW: {
        const table = program.tables[a[at]];
        for (let byte = 0; byte < 256; byte++) if (table.next[256 * b[at] + byte] !== -1) bytes[byte] = 1;
        if (table.final !== null && table.final[b[at]] !== 0) stack.push(d[at]);
        break;
      }
      case FORK:
        for (let i = 0; i < b[at]; i++) stack.push(lists[a[at] + i]);
        break;
      case CALL:
        stack.push(program.ruleStart[a[at]]);
        if (program.ruleNullable[a[at]] === 1) stack.push(b[at]);
        break;
      case RETURN:
        for (const site of program.returnSites[a[at]]) stack.push(site);
        break;
      case ENTER:
      case DONE: {
        const repeat = program.repeats[a[at]];
        stack.push(repeat.item, repeat.again, repeat.exit);
        break;
      }
      case OPEN:
      case CHOOSE:
      case CLOSE: {
        const object = program.members[a[at]];
        stack.push(object.again, object.exit, ...object.others);
        if (object.keys >= 0) stack.push(object.keys);
        break;
      }
      case KEY: {
        const key = program.keys[a[at]];
        for (const byte of key.bytes) bytes[byte] = 1;
        for (let i = key.low; i < key.ends; i++) stack.push(program.members[key.members].rest[i]);
      }
    }
  }
  return bytes;
}
