/**
 * Frames: what a configuration has to come back to. A frame is immutable and shared; it knows all places and frames that it may return to at once (a
 * graph-structured stack: Tomita 1985, Scott and Johnstone 2010), so that ambiguity merges instead of multiplying. Equal frames are one object.
 */
import { CapacityError } from '../../errors.ts';
import type { Place } from './engine_configurations.ts';

/** A rule's body, a counted repeat's item, the members of an object; the whole text; what is not known (see mask.ts). */
export const RULE = 0;
export const COUNT = 1;
export const MEMBERS = 2;
export const ROOT = 3;
export const UNKNOWN = 4;
/** Of a counted repeat, where the counts are not known: it counts what was written down from {@link TALLY_START}. */
export const TALLY = 5;
/** Of anything: returns to wherever the program could, so that what is read on it is more than what can be. */
export const ANY = 6;
export const TALLY_START = 2 ** 30;

/** Which members were written: immutable, equal ones of an object are one. */
export interface Written {
  readonly id: number;
  readonly bits: Uint32Array;
  /** Required members that are still to come. */
  readonly requiredLeft: number;
  readonly after: (Written | undefined)[];
}

export class Frame {
  /** Nodes to go on at, with the frames to go on with. */
  readonly returns: number[] = [];
  readonly parents: Frame[] = [];
  /** While it is being made, in the step in which it begins: it has read nothing yet. */
  fresh = true;
  /** Where fresh: itself, or the equal frame that was there before. */
  settled: Frame | null = null;
  /** The places of single nodes on this frame, closed: see engine_configurations.ts. */
  places: Map<number, Place> | null = null;
  private edges: Set<number> | null = null;

  constructor(
    public id: number,
    readonly kind: number,
    /** Of the rule, repeat or members. */
    readonly index: number,
    /** How many more items have to come, and may come. */
    readonly need: number,
    readonly left: number,
    readonly written: Written | null,
  ) {}

  /** Adds a place to return to, once. */
  add(node: number, parent: Frame): void {
    const { returns, parents } = this;
    if (this.edges === null) {
      for (let i = 0; i < returns.length; i++) if (returns[i] === node && parents[i] === parent) return;
      if (returns.length === 16) {
        this.edges = new Set(returns.map((place, i) => edgeKey(place, parents[i])));
        this.edges.add(edgeKey(node, parent));
      }
    } else {
      const key = edgeKey(node, parent);
      if (this.edges.has(key)) return;
      this.edges.add(key);
    }
    if (returns.length >= MOST_RETURNS) {
      throw new CapacityError(
        'grammar',
        returns.length + 1,
        MOST_RETURNS,
        'ways to read the text',
        'It is too ambiguous',
      );
    }
    returns.push(node);
    parents.push(parent);
  }

  /** What makes it: all but where it returns to. */
  head(): string {
    return `${this.kind}:${this.index}:${this.need}:${this.left}:${this.written === null ? '' : this.written.id}`;
  }

  forgetEdges(): void {
    this.edges = null;
  }
}

const MOST_RETURNS = 65_536;

/** More nodes than a program may have, so that a node on a frame is one exact number. */
export const NODE_SPAN = 2 ** 21;

/** A node on a frame. Ids of fresh frames are negative, so that no two frames of a step share one. */
export function edgeKey(node: number, frame: Frame): number {
  return frame.id * NODE_SPAN + node;
}

export class Frames {
  readonly root = this.fixed(ROOT);
  readonly unknown = this.fixed(UNKNOWN);
  readonly any = this.fixed(ANY);
  private readonly known = new Map<string, Frame | Frame[]>();
  private nextId = ANY + 1;

  private fixed(kind: number): Frame {
    const frame = new Frame(kind, kind, 0, 0, 0, null);
    frame.fresh = false;
    return frame;
  }

  get size(): number {
    return this.known.size;
  }

  /** Forgets which frames there are; those in use stay as they are. */
  clear(): void {
    this.known.clear();
  }

  /** Settles the frames that a step began. Afterwards `settled` of each is the frame to use. */
  settle(fresh: readonly Frame[]): void {
    let ordered = true;
    for (let i = 0; i < fresh.length && ordered; i++) {
      const { parents } = fresh[i];
      for (let j = 0; j < parents.length; j++) {
        const parent = parents[j];
        if (parent.fresh && parent.settled === null) {
          ordered = false;
          break;
        }
      }
      if (ordered) this.settleOne(fresh[i]);
    }
    if (!ordered) for (const group of circles(fresh)) this.settleGroup(group);
  }

  private settleOne(frame: Frame): void {
    const { returns, parents } = frame;
    for (let i = 0; i < parents.length; i++) parents[i] = parents[i].settled ?? parents[i];
    let key = `${frame.head()}|`;
    if (returns.length === 1) key += `${returns[0]},${parents[0].id}`;
    else
      key += returns
        .map((node, i) => `${node},${parents[i].id}`)
        .sort()
        .join(';');
    const known = this.known.get(key);
    if (known !== undefined) frame.settled = known as Frame;
    else {
      this.keep(frame);
      this.known.set(key, frame);
    }
  }

  private keep(frame: Frame): void {
    frame.id = this.nextId++;
    frame.settled = frame;
    frame.forgetEdges();
  }

  /** Frames that return into each other (left recursion) are equal to earlier ones when all that leads out of them is. */
  private settleGroup(group: readonly Frame[]): void {
    if (group.length === 1 && !group[0].parents.includes(group[0])) {
      this.settleOne(group[0]);
      return;
    }
    const heads = new Map(group.map((frame) => [frame, frame.head()]));
    const sorted = [...group].sort((x, y) => (heads.get(x)! < heads.get(y)! ? -1 : 1));
    const place = new Map(sorted.map((frame, i) => [frame, i]));
    const key = sorted
      .map((frame) => {
        const edges = frame.returns.map((node, i) => {
          const parent = frame.parents[i];
          const inside = place.get(parent);
          return inside === undefined ? `${node},${(parent.settled ?? parent).id}` : `${node},@${inside}`;
        });
        return `${heads.get(frame)}|${edges.sort().join(';')}`;
      })
      .join('&');
    const known = this.known.get(key) as Frame[] | undefined;
    if (known !== undefined) {
      sorted.forEach((frame, i) => {
        frame.settled = known[i];
      });
      return;
    }
    for (const frame of sorted) {
      this.keep(frame);
      for (let i = 0; i < frame.parents.length; i++) frame.parents[i] = frame.parents[i].settled ?? frame.parents[i];
    }
    this.known.set(key, sorted);
  }
}

/** The strongly connected components of the fresh frames, parents first (Tarjan 1972, without recursion). */
function circles(fresh: readonly Frame[]): Frame[][] {
  const index = new Map<Frame, number>();
  const low = new Map<Frame, number>();
  const onStack = new Set<Frame>();
  const stack: Frame[] = [];
  const groups: Frame[][] = [];
  let count = 0;
  for (const start of fresh) {
    if (index.has(start) || start.settled !== null) continue;
    const work: { readonly frame: Frame; next: number }[] = [{ frame: start, next: 0 }];
    while (work.length > 0) {
      const top = work[work.length - 1];
      const { frame } = top;
      if (top.next === 0) {
        index.set(frame, count);
        low.set(frame, count++);
        stack.push(frame);
        onStack.add(frame);
      }
      let deeper = false;
      while (top.next < frame.parents.length) {
        const parent = frame.parents[top.next++];
        if (!parent.fresh || parent.settled !== null) continue;
        if (!index.has(parent)) {
          work.push({ frame: parent, next: 0 });
          deeper = true;
          break;
        }
        if (onStack.has(parent)) low.set(frame, Math.min(low.get(frame)!, index.get(parent)!));
      }
      if (deeper) continue;
      if (frame.parents.length === 0) top.next = 1;
      work.pop();
      const above = work[work.length - 1];
      if (above !== undefined) low.set(above.frame, Math.min(low.get(above.frame)!, low.get(frame)!));
      if (low.get(frame) === index.get(frame)) {
        const group: Frame[] = [];
        let member: Frame;
        do {
          member = stack.pop()!;
          onStack.delete(member);
          group.push(member);
        } while (member !== frame);
        groups.push(group);
      }
    }
  }
  return groups;
}
