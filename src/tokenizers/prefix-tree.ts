/**
 * A prefix tree over UTF-16 units in three flat arrays: an open-addressing table from (node, unit) to node. Finding all
 * tokens that begin at a place costs one probe a unit.
 */
export class PrefixTree {
  private nodes = 1;
  private used = 0;
  private mask: number;
  private parents: Int32Array;
  private children: Int32Array;
  private units: Uint16Array;
  /** The value at a node, -1 where none ends there. */
  private values: Int32Array;

  constructor(expected = 64) {
    let capacity = 64;
    while (capacity < expected * 2) capacity *= 2;
    this.mask = capacity - 1;
    this.parents = new Int32Array(capacity).fill(-1);
    this.children = new Int32Array(capacity);
    this.units = new Uint16Array(capacity);
    this.values = new Int32Array(capacity).fill(-1);
  }

  /** Adds a key from its units; a later value for the same key wins. */
  add(length: number, unitAt: (index: number) => number, value: number): void {
    let node = 0;
    for (let i = 0; i < length; i++) {
      const unit = unitAt(i);
      let next = this.child(node, unit);
      if (next < 0) {
        if (this.used * 2 >= this.mask) this.grow();
        next = this.nodes++;
        this.place(node, unit, next);
      }
      node = next;
    }
    this.values[node] = value;
  }

  /** The root, from which {@link child} goes on. */
  get root(): number {
    return 0;
  }

  /** The node one unit further, or -1. */
  child(node: number, unit: number): number {
    for (let slot = this.slot(node, unit); ; slot = (slot + 1) & this.mask) {
      const parent = this.parents[slot];
      if (parent < 0) return -1;
      if (parent === node && this.units[slot] === unit) return this.children[slot];
    }
  }

  /** The value of the key that ends at a node, or -1. */
  valueAt(node: number): number {
    return this.values[node];
  }

  private slot(node: number, unit: number): number {
    const hash = Math.imul(node * 31 + unit, 0x9e3779b1);
    return (hash ^ (hash >>> 15)) & this.mask;
  }

  private place(node: number, unit: number, child: number): void {
    let slot = this.slot(node, unit);
    while (this.parents[slot] >= 0) slot = (slot + 1) & this.mask;
    this.parents[slot] = node;
    this.units[slot] = unit;
    this.children[slot] = child;
    this.used++;
  }

  private grow(): void {
    const { parents, units, children, values } = this;
    const capacity = (this.mask + 1) * 2;
    this.mask = capacity - 1;
    this.parents = new Int32Array(capacity).fill(-1);
    this.children = new Int32Array(capacity);
    this.units = new Uint16Array(capacity);
    this.values = new Int32Array(capacity).fill(-1);
    this.values.set(values);
    this.used = 0;
    for (let i = 0; i < parents.length; i++) if (parents[i] >= 0) this.place(parents[i], units[i], children[i]);
  }
}
