/** Stop strings in text that arrives in pieces. */

export interface StopResult {
  /** Text that may be given out: it is before any stop string and cannot become part of one. */
  readonly text: string;
  readonly stopped: boolean;
}

/** A place in the tree of all beginnings of stop strings. */
interface Node {
  /** Length of the beginning that it stands for. */
  readonly depth: number;
  /** Length of the longest stop string that ends here; 0 for none. */
  match: number;
  /** Where the longest proper end of this beginning that is a beginning too stands. */
  fallback: Node | null;
  readonly next: Map<number, Node>;
}

/**
 * Finds the stop string that is complete first and, of those that are complete at the same place, the longest, however the text is
 * cut into pieces. Text is held back only as long as it may become a stop string: the longest end of what has come that begins one.
 * One automaton for all stop strings (Aho & Corasick 1975), so time is linear in the text whatever the strings are.
 */
export class StopMatcher {
  private readonly root: Node;
  private at: Node;
  private held = '';
  private hasStopped = false;

  /** @param stops the strings; empty ones stop nothing. */
  constructor(stops: readonly string[]) {
    this.root = buildTree(stops);
    this.at = this.root;
  }

  /** Take the next piece. After a stop nothing more comes. */
  push(piece: string): StopResult {
    if (this.hasStopped) return { text: '', stopped: true };
    const text = this.held + piece;
    for (let i = this.held.length; i < text.length; i++) {
      this.at = step(this.at, text.charCodeAt(i), this.root);
      if (this.at.match > 0) {
        this.hasStopped = true;
        this.held = '';
        return { text: text.slice(0, i + 1 - this.at.match), stopped: true };
      }
    }
    const settled = text.length - this.at.depth;
    this.held = text.slice(settled);
    return { text: text.slice(0, settled), stopped: false };
  }

  /** What was held back, when nothing more comes. The matcher begins anew. */
  end(): string {
    const rest = this.held;
    this.held = '';
    this.at = this.root;
    this.hasStopped = false;
    return rest;
  }
}

function step(from: Node, code: number, root: Node): Node {
  let node: Node | null = from;
  while (node) {
    const next = node.next.get(code);
    if (next) return next;
    node = node.fallback;
  }
  return root;
}

function buildTree(stops: readonly string[]): Node {
  const root: Node = { depth: 0, match: 0, fallback: null, next: new Map() };
  for (const stop of stops) {
    let node = root;
    for (let i = 0; i < stop.length; i++) {
      const code = stop.charCodeAt(i);
      let next = node.next.get(code);
      if (!next) {
        next = { depth: node.depth + 1, match: 0, fallback: root, next: new Map() };
        node.next.set(code, next);
      }
      node = next;
    }
    node.match = node.depth;
  }
  // By depth: a fallback is shorter than its node, so it is complete when the node needs it.
  const order: Node[] = [root];
  for (const node of order) {
    for (const [code, child] of node.next) {
      child.fallback = node === root ? root : step(node.fallback!, code, root);
      child.match ||= child.fallback.match;
      order.push(child);
    }
  }
  return root;
}
