/**
 * Where a text may stand in a grammar: a set of configurations, each a node of the program that reads the next byte, on a frame. Sets are numbered and
 * equal ones found again, and each remembers where its bytes lead: walked often enough, a grammar becomes a table.
 */
import { CapacityError } from '../../errors.ts';
import {
  ANY,
  COUNT,
  edgeKey,
  Frame,
  Frames,
  MEMBERS,
  ROOT,
  RULE,
  TALLY,
  TALLY_START,
  UNKNOWN,
  type Written,
} from './engine_frames.ts';
import {
  CALL,
  CHOOSE,
  CLOSE,
  DEAD,
  DONE,
  ENTER,
  EXIT,
  FORK,
  KEY,
  LITERAL,
  type MembersNode,
  OPEN,
  type Program,
  RETURN,
  ROW,
} from './engine_program.ts';

/** A set of configurations: what was read decides it, and it decides what may come. */
export interface Place {
  /** Number in its generation of sets: see {@link Configurations.renew}. */
  id: number;
  generation: number;
  /** Nodes that read a byte, and their frames. */
  readonly nodes: readonly number[];
  readonly frames: readonly Frame[];
  readonly canEnd: boolean;
  /** Where what is not known would have to be known: nodes, or -n where n items of a repeat whose counts are not known are complete. */
  readonly exits: readonly number[];
  /** The bytes that may come, where they are few; else null, and the place has a row in the table. */
  readonly few: readonly number[] | null;
  /** For few bytes: the places they lead to, -2 where not known yet. */
  readonly targets: number[];
  /** For many: which, as eight words. */
  readonly live: Uint32Array | null;
  row: number;
  /** The mask of a whole vocabulary, while it is remembered. */
  mask: Uint32Array | null;
}

export const UNKNOWN_TARGET = -2;
const FEW = 16;
const MOST_CONFIGURATIONS = 65_536;
const MOST_PLACES = 12_000;
const MOST_ROWS = 16_000;
/** Steps of closing that one mask or one token may take: about a second. */
const MOST_WORK = 8_000_000;

export class Configurations {
  readonly frames = new Frames();
  places: Place[] = [];
  /** 256 targets for each place of many bytes. */
  table = new Int32Array(256 * 64);
  /** Where the row of each place begins, -1 where it has none. */
  rowOf = new Int32Array(256);
  private rows = 0;
  private generation = 0;
  private byKernel = new Map<string, Place>();
  private readonly writtenOf: Written[][] = [];
  private readonly writtenKeys: Map<string, Written>[] = [];
  private work = 0;

  // Scratch of one step.
  private readonly live = new Uint32Array(8);
  private readonly seenSet = new Set<number>();
  private stackNodes: number[] = [];
  private stackFrames: Frame[] = [];
  private seenNodes: number[] = [];
  private seenFrames: Frame[] = [];
  private fresh: Frame[] = [];
  private readonly freshByHead = new Map<string, Frame>();
  private readonly freshRule: (Frame | null)[];

  constructor(readonly program: Program) {
    this.freshRule = program.returnSites.map(() => null);
  }

  /** Starts a count of work anew, and forgets the sets when they have become many: no number of a place may be held across. */
  renew(): void {
    this.work = 0;
    if (this.places.length < MOST_PLACES && this.rows < MOST_ROWS && this.frames.size < 4 * MOST_PLACES) return;
    this.generation++;
    this.places = [];
    this.rows = 0;
    if (this.table.length > 256 * 1024) this.table = new Int32Array(256 * 64);
    this.byKernel = new Map();
    this.frames.clear();
  }

  /** The number of a place in this generation. */
  idOf(place: Place): number {
    if (place.generation !== this.generation) this.enter(place);
    return place.id;
  }

  start(): Place {
    return this.place([this.program.ruleStart[0]], [this.frames.root])!;
  }

  /** The number of the place after a byte, or -1. */
  step(id: number, byte: number): number {
    const place = this.places[id];
    if (place.few === null) {
      const known = this.table[place.row + byte];
      return known === UNKNOWN_TARGET ? this.extend(place, byte) : known;
    }
    for (let i = 0; i < place.few.length; i++) {
      if (place.few[i] !== byte) continue;
      const known = place.targets[i];
      return known === UNKNOWN_TARGET ? this.extend(place, byte) : known;
    }
    return -1;
  }

  /** The place of nodes on frames, closed. Null where there is none. */
  place(nodes: readonly number[], frames: readonly Frame[]): Place | null {
    if (nodes.length === 0) return null;
    if (nodes.length === 1) {
      const frame = frames[0];
      frame.places ??= new Map();
      let place = frame.places.get(nodes[0]);
      if (place === undefined) {
        // A byte to read and nothing else is the most frequent of all, and closed as it is.
        place = this.program.kind[nodes[0]] === LITERAL ? this.only(nodes[0], frame) : this.close(nodes, frames);
        frame.places.set(nodes[0], place);
      }
      return place;
    }
    const key = nodes
      .map((node, i) => edgeKey(node, frames[i]))
      .sort(ascending)
      .join();
    let place = this.byKernel.get(key);
    if (place === undefined) {
      place = this.close(nodes, frames);
      this.byKernel.set(key, place);
    }
    return place;
  }

  /** The place of a node alone that reads a byte, whatever else could be done there. */
  only(node: number, frame: Frame): Place {
    const { kind, a, b, tables } = this.program;
    const live = this.live.fill(0);
    if (kind[node] === LITERAL) live[a[node] >> 5] = 1 << (a[node] & 31);
    else live.set(tables[a[node]].live.subarray(8 * b[node], 8 * b[node] + 8));
    return this.made([node], [frame], false, [], live);
  }

  /** The frame of a counted repeat whose counts and surroundings are not known. */
  tally(repeat: number): Frame {
    const frame = new Frame(-1, TALLY, repeat, 0, TALLY_START, null);
    frame.add(this.program.repeats[repeat].exit, this.frames.unknown);
    this.frames.settle([frame]);
    frame.settled!.fresh = false;
    return frame.settled!;
  }

  /** Computes where a byte leads that was not asked for before. */
  private extend(place: Place, byte: number): number {
    const { kind, a, b, c, d, tables, keys } = this.program;
    const nodes: number[] = [];
    const frames: Frame[] = [];
    const put = (node: number, frame: Frame) => {
      for (let i = 0; i < nodes.length && i < 32; i++) if (nodes[i] === node && frames[i] === frame) return;
      nodes.push(node);
      frames.push(frame);
    };
    for (let i = 0; i < place.nodes.length; i++) {
      const node = place.nodes[i];
      switch (kind[node]) {
        case LITERAL:
          if (a[node] === byte) put(b[node], place.frames[i]);
          break;
        case ROW: {
          const target = tables[a[node]].next[256 * b[node] + byte];
          if (target !== DEAD) put(target === EXIT ? d[node] : c[node] + target, place.frames[i]);
          break;
        }
        case KEY: {
          const key = keys[a[node]];
          const at = key.bytes.indexOf(byte);
          if (at >= 0 && this.hasFree(key.targets[at], place.frames[i])) put(key.targets[at], place.frames[i]);
        }
      }
    }
    const next = this.place(nodes, frames);
    const id = next === null ? -1 : this.idOf(next);
    if (place.few === null) this.remember(place, byte, id);
    else place.targets[place.few.indexOf(byte)] = id;
    return id;
  }

  /** Bytes that lead every configuration to the same node lead to the same place. */
  private remember(place: Place, byte: number, id: number): void {
    const { kind, a, b, tables } = this.program;
    const { table } = this;
    const { row, nodes } = place;
    table[row + byte] = id;
    if (nodes.length > 6) return;
    const lists: Int32Array[] = [];
    const offsets: number[] = [];
    const literals: number[] = [];
    for (const node of nodes) {
      if (kind[node] === LITERAL) literals.push(a[node]);
      else if (kind[node] === ROW) {
        lists.push(tables[a[node]].next);
        offsets.push(256 * b[node]);
      } else return;
    }
    if (literals.includes(byte)) return;
    next: for (let other = 0; other < 256; other++) {
      if (table[row + other] !== UNKNOWN_TARGET || literals.includes(other)) continue;
      for (let i = 0; i < lists.length; i++) {
        if (lists[i][offsets[i] + other] !== lists[i][offsets[i] + byte]) continue next;
      }
      table[row + other] = id;
    }
  }

  // ---- closing

  private close(nodes: readonly number[], frames: readonly Frame[]): Place {
    const { program, stackNodes, stackFrames } = this;
    const { kind, a, b, lists, repeats, members, keys } = program;
    const readers: number[] = [];
    const readerFrames: Frame[] = [];
    const exits: number[] = [];
    const live = this.live.fill(0);
    let canEnd = false;
    this.seenNodes.length = 0;
    this.seenFrames.length = 0;
    this.seenSet.clear();
    // What an error left of the step before.
    for (const frame of this.fresh) if (frame.kind === RULE) this.freshRule[frame.index] = null;
    this.freshByHead.clear();
    this.fresh = [];
    stackNodes.length = 0;
    stackFrames.length = 0;
    for (let i = nodes.length - 1; i >= 0; i--) {
      stackNodes.push(nodes[i]);
      stackFrames.push(frames[i]);
    }
    while (stackNodes.length > 0) {
      const node = stackNodes.pop()!;
      const frame = stackFrames.pop()!;
      if (!this.isNew(node, frame)) continue;
      switch (kind[node]) {
        case LITERAL:
          live[a[node] >> 5] |= 1 << (a[node] & 31);
          readers.push(node);
          readerFrames.push(frame);
          break;
        case ROW: {
          const table = program.tables[a[node]];
          const row = b[node];
          if (table.final !== null && table.final[row] !== 0) this.push(program.d[node], frame);
          let any = 0;
          for (let i = 0; i < 8; i++) {
            const word = table.live[8 * row + i];
            live[i] |= word;
            any |= word;
          }
          if (any === 0) break;
          readers.push(node);
          readerFrames.push(frame);
          break;
        }
        case FORK:
          for (let i = b[node] - 1; i >= 0; i--) this.push(lists[a[node] + i], frame);
          break;
        case CALL:
          this.call(a[node], b[node], frame);
          break;
        case RETURN:
          if (frame.fresh) break; // Nothing was read: the call has gone on without it.
          if (frame.kind === ROOT) canEnd = true;
          else if (frame.kind === UNKNOWN) exits.push(node);
          else if (frame.kind === ANY) for (const site of program.returnSites[a[node]]) this.push(site, frame);
          else this.leave(frame);
          break;
        case ENTER: {
          const repeat = repeats[a[node]];
          if (repeat.nullable) this.push(repeat.exit, frame);
          const inner = this.begin(COUNT, a[node], repeat.min, repeat.max, null);
          inner.add(repeat.exit, frame);
          this.push(repeat.item, inner);
          if (repeat.firstMayBeEmpty && repeat.max > 1) {
            const second = this.begin(COUNT, a[node], Math.max(0, repeat.min - 1), repeat.max - 1, null);
            second.add(repeat.exit, frame);
            this.push(repeat.again, second);
          }
          break;
        }
        case DONE: {
          if (frame.fresh) break; // An item of nothing is not counted.
          if (frame.kind === UNKNOWN) {
            exits.push(node);
            break;
          }
          if (frame.kind === TALLY) {
            exits.push(frame.left - 1 - TALLY_START);
            this.again(frame, repeats[a[node]].again, 0, null);
            break;
          }
          if (frame.kind === ANY) {
            this.push(repeats[a[node]].exit, frame);
            this.push(repeats[a[node]].again, frame);
            break;
          }
          const need = Math.max(0, frame.need - 1);
          if (need === 0) this.leave(frame);
          if (frame.left > 1) this.again(frame, repeats[a[node]].again, need, null);
          break;
        }
        case OPEN: {
          const object = members[a[node]];
          if (object.min === 0 && object.requiredCount === 0) this.push(object.exit, frame);
          if (object.max < 1) break;
          const inner = this.begin(MEMBERS, a[node], object.min, object.max, this.noneWritten(a[node], object));
          inner.add(object.exit, frame);
          this.choose(object, inner);
          break;
        }
        case CHOOSE:
          if (frame.kind === UNKNOWN) exits.push(node);
          else this.choose(members[a[node]], frame);
          break;
        case KEY: {
          if (frame.kind === UNKNOWN) {
            exits.push(node);
            break;
          }
          const key = keys[a[node]];
          const object = members[key.members];
          for (let i = key.low; i < key.ends; i++) {
            if (isFree(object, frame, i)) this.push(object.rest[i], frame);
          }
          let any = false;
          for (let i = 0; i < key.bytes.length; i++) {
            if (!this.hasFree(key.targets[i], frame)) continue;
            any = true;
            live[key.bytes[i] >> 5] |= 1 << (key.bytes[i] & 31);
          }
          if (!any) break;
          readers.push(node);
          readerFrames.push(frame);
          break;
        }
        case CLOSE:
          if (frame.fresh) break;
          if (frame.kind === UNKNOWN) exits.push(node);
          else if (frame.kind === ANY) {
            this.push(members[a[node]].exit, frame);
            this.push(members[a[node]].again, frame);
          } else this.memberDone(a[node], b[node], frame);
      }
    }
    this.work += this.seenNodes.length;
    if (this.work > MOST_WORK) {
      throw new CapacityError(
        'grammar',
        this.work,
        MOST_WORK,
        'steps for one token',
        'It is too ambiguous for this text',
      );
    }
    if (readers.length > MOST_CONFIGURATIONS) {
      throw new CapacityError(
        'grammar',
        readers.length,
        MOST_CONFIGURATIONS,
        'ways to read the text',
        'It is too ambiguous',
      );
    }
    this.settle(readerFrames);
    return this.made(readers, readerFrames, canEnd, exits, live);
  }

  private isNew(node: number, frame: Frame): boolean {
    const { seenNodes, seenFrames, seenSet } = this;
    if (seenNodes.length < 12) {
      for (let i = 0; i < seenNodes.length; i++) if (seenNodes[i] === node && seenFrames[i] === frame) return false;
    } else {
      if (seenNodes.length === 12) {
        for (let i = 0; i < 12; i++) seenSet.add(edgeKey(seenNodes[i], seenFrames[i]));
      }
      const key = edgeKey(node, frame);
      if (seenSet.has(key)) return false;
      seenSet.add(key);
    }
    seenNodes.push(node);
    seenFrames.push(frame);
    return true;
  }

  private push(node: number, frame: Frame): void {
    this.stackNodes.push(node);
    this.stackFrames.push(frame);
  }

  private leave(frame: Frame): void {
    for (let i = frame.returns.length - 1; i >= 0; i--) this.push(frame.returns[i], frame.parents[i]);
  }

  private call(rule: number, back: number, frame: Frame): void {
    const { program } = this;
    if (program.ruleNullable[rule] === 1) this.push(back, frame);
    let inner = this.freshRule[rule];
    if (inner === null) {
      inner = new Frame(-1 - this.fresh.length, RULE, rule, 0, 0, null);
      this.freshRule[rule] = inner;
      this.fresh.push(inner);
      this.push(program.ruleStart[rule], inner);
    }
    // A call that nothing follows returns at once to where its caller does: lists that end in themselves need no more stack.
    if (program.kind[back] === RETURN && frame.kind === RULE && !frame.fresh) {
      for (let i = 0; i < frame.returns.length; i++) inner.add(frame.returns[i], frame.parents[i]);
    } else inner.add(back, frame);
  }

  private begin(kind: number, index: number, need: number, left: number, written: Written | null): Frame {
    const frame = new Frame(-1 - this.fresh.length, kind, index, need, left, written);
    const head = frame.head();
    const known = this.freshByHead.get(head);
    if (known !== undefined) return known;
    this.freshByHead.set(head, frame);
    this.fresh.push(frame);
    return frame;
  }

  /** Another item or member on a frame like this one, but for its counts. */
  private again(frame: Frame, node: number, need: number, written: Written | null): void {
    const next = this.begin(frame.kind, frame.index, need, frame.left - 1, written);
    for (let i = 0; i < frame.returns.length; i++) next.add(frame.returns[i], frame.parents[i]);
    this.push(node, next);
  }

  private settle(readerFrames: Frame[]): void {
    const { fresh } = this;
    if (fresh.length === 0) return;
    this.frames.settle(fresh);
    for (let i = 0; i < readerFrames.length; i++) readerFrames[i] = readerFrames[i].settled ?? readerFrames[i];
    for (const frame of fresh) {
      frame.settled!.fresh = false;
      if (frame.kind === RULE) this.freshRule[frame.index] = null;
    }
    this.freshByHead.clear();
  }

  // ---- members

  private choose(object: MembersNode, frame: Frame): void {
    if (object.keys >= 0) this.push(object.keys, frame);
    if (frame.kind === ANY || frame.left - 1 >= frame.written!.requiredLeft)
      for (const other of object.others) this.push(other, frame);
  }

  /** Whether any member of a part of the tree of keys may still be written. */
  private hasFree(keyNode: number, frame: Frame): boolean {
    if (frame.kind === ANY) return true;
    const key = this.program.keys[this.program.a[keyNode]];
    const object = this.program.members[key.members];
    for (let i = key.low; i < key.high; i++) if (isFree(object, frame, i)) return true;
    return false;
  }

  private memberDone(index: number, which: number, frame: Frame): void {
    const object = this.program.members[index];
    const written = which < 0 ? frame.written! : this.withMember(index, object, frame.written!, which);
    const need = Math.max(0, frame.need - 1);
    const left = frame.left - 1;
    if (need === 0 && written.requiredLeft === 0) this.leave(frame);
    if (left <= 0) return;
    const optional = left > written.requiredLeft;
    let more = written.requiredLeft > 0 || (optional && object.others.length > 0);
    for (let i = 0; optional && !more && i < written.bits.length; i++) {
      const all = i === written.bits.length - 1 && (object.count & 31) !== 0 ? (1 << (object.count & 31)) - 1 : -1;
      more = (~written.bits[i] & all) !== 0;
    }
    if (more) this.again(frame, object.again, need, written);
  }

  private noneWritten(index: number, object: MembersNode): Written {
    return this.writtenSet(index, new Uint32Array((object.count + 31) >> 5), object.requiredCount);
  }

  private withMember(index: number, object: MembersNode, before: Written, which: number): Written {
    const known = before.after[which];
    if (known !== undefined) return known;
    const bits = before.bits.slice();
    bits[which >> 5] |= 1 << (which & 31);
    const isRequired = (object.required[which >> 5] >>> (which & 31)) & 1;
    const written = this.writtenSet(index, bits, before.requiredLeft - isRequired);
    before.after[which] = written;
    return written;
  }

  private writtenSet(index: number, bits: Uint32Array, requiredLeft: number): Written {
    this.writtenOf[index] ??= [];
    this.writtenKeys[index] ??= new Map();
    const key = bits.join();
    let written = this.writtenKeys[index].get(key);
    if (written === undefined) {
      written = { id: this.writtenOf[index].length, bits, requiredLeft, after: [] };
      this.writtenOf[index].push(written);
      this.writtenKeys[index].set(key, written);
    }
    return written;
  }

  // ---- places

  private made(nodes: number[], frames: Frame[], canEnd: boolean, exits: number[], live: Uint32Array): Place {
    let count = 0;
    for (let i = 0; i < 8; i++) count += bitCount(live[i]);
    let few: number[] | null = null;
    const targets: number[] = [];
    if (count <= FEW) {
      few = [];
      for (let i = 0; i < 8; i++) {
        for (let word = live[i]; word !== 0; word &= word - 1) {
          few.push(32 * i + 31 - Math.clz32(word & -word));
          targets.push(UNKNOWN_TARGET);
        }
      }
    }
    const place: Place = {
      id: -1,
      generation: -1,
      nodes,
      frames,
      canEnd,
      exits: exits.length > 1 ? [...new Set(exits)] : exits,
      few,
      targets,
      live: few === null ? live.slice() : null,
      row: -1,
      mask: null,
    };
    this.enter(place);
    return place;
  }

  private enter(place: Place): void {
    place.generation = this.generation;
    place.id = this.places.length;
    this.places.push(place);
    if (place.id === this.rowOf.length) {
      const grown = new Int32Array(this.rowOf.length * 2);
      grown.set(this.rowOf);
      this.rowOf = grown;
    }
    this.rowOf[place.id] = -1;
    if (place.live === null) {
      place.targets.fill(UNKNOWN_TARGET);
      return;
    }
    place.row = 256 * this.rows++;
    this.rowOf[place.id] = place.row;
    if (place.row + 256 > this.table.length) {
      const grown = new Int32Array(this.table.length * 2);
      grown.set(this.table);
      this.table = grown;
    }
    for (let byte = 0; byte < 256; byte++) {
      this.table[place.row + byte] = (place.live[byte >> 5] >>> (byte & 31)) & 1 ? UNKNOWN_TARGET : -1;
    }
  }
}

/** A member may come if it was not written, and if enough would be left for those that have to. */
function isFree(object: MembersNode, frame: Frame, which: number): boolean {
  if (frame.kind === ANY) return true;
  const { bits, requiredLeft } = frame.written!;
  if ((bits[which >> 5] >>> (which & 31)) & 1) return false;
  return frame.left > requiredLeft || ((object.required[which >> 5] >>> (which & 31)) & 1) === 1;
}

function bitCount(word: number): number {
  let x = word - ((word >>> 1) & 0x55555555);
  x = (x & 0x33333333) + ((x >>> 2) & 0x33333333);
  return Math.imul((x + (x >>> 4)) & 0x0f0f0f0f, 0x01010101) >>> 24;
}

function ascending(a: number, b: number): number {
  return a - b;
}
