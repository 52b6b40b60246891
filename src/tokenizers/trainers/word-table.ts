/**
 * Counts words without making a string of each: the UTF-16 units of every distinct word lie in one pool, found through an
 * open-addressing table of (hash, index).
 */
const MULTIPLIER = 0x01000193;

export class WordTable {
  /** Distinct words. */
  size = 0;
  /** Words in all, repeated ones too. */
  total = 0;
  /** The units of all distinct words, one after the other. */
  units = new Uint16Array(1 << 16);
  /** Where word i begins in {@link units}; it ends where the next begins. */
  starts = new Int32Array(1 << 12);
  /** How often word i was added. */
  counts = new Float64Array(1 << 12);
  /** Pairs of hash and index + 1 (0 where free). */
  private slots = new Int32Array(1 << 14);
  private mask = (1 << 13) - 1;

  /** Counts the word source[start, end). */
  add(source: Uint16Array, start: number, end: number): void {
    const length = end - start;
    if (length === 0) return;
    this.total++;
    let hash = 0x811c9dc5;
    for (let i = start; i < end; i++) hash = Math.imul(hash ^ source[i], MULTIPLIER);
    hash ^= hash >>> 15;
    const { slots, mask, starts, units } = this;
    for (let slot = (hash ^ (hash >>> 7)) & mask; ; slot = (slot + 1) & mask) {
      const index = slots[2 * slot + 1] - 1;
      if (index < 0) {
        slots[2 * slot] = hash;
        slots[2 * slot + 1] = this.size + 1;
        this.append(source, start, end);
        return;
      }
      if (slots[2 * slot] !== hash) continue;
      const from = starts[index];
      if (starts[index + 1] - from !== length) continue;
      let i = 0;
      while (i < length && units[from + i] === source[start + i]) i++;
      if (i === length) {
        this.counts[index]++;
        return;
      }
    }
  }

  /** The word as a string. */
  text(index: number): string {
    let text = '';
    const end = this.starts[index + 1];
    for (let i = this.starts[index]; i < end; i += 4096) {
      text += String.fromCharCode(...this.units.subarray(i, Math.min(end, i + 4096)));
    }
    return text;
  }

  private append(source: Uint16Array, start: number, end: number): void {
    const at = this.starts[this.size];
    const after = at + end - start;
    if (after > this.units.length) {
      const grown = new Uint16Array(Math.max(after, this.units.length * 2));
      grown.set(this.units);
      this.units = grown;
    }
    for (let i = start, to = at; i < end; i++, to++) this.units[to] = source[i];
    this.counts[this.size] = 1;
    this.size++;
    if (this.size + 1 >= this.starts.length) {
      const starts = new Int32Array(this.starts.length * 2);
      starts.set(this.starts);
      this.starts = starts;
      const counts = new Float64Array(this.counts.length * 2);
      counts.set(this.counts);
      this.counts = counts;
    }
    this.starts[this.size] = after;
    if (this.size * 2 > this.mask) this.grow();
  }

  private grow(): void {
    const old = this.slots;
    this.slots = new Int32Array(old.length * 2);
    this.mask = this.mask * 2 + 1;
    const { slots, mask } = this;
    for (let i = 0; i < old.length; i += 2) {
      if (old[i + 1] === 0) continue;
      const hash = old[i];
      let slot = (hash ^ (hash >>> 7)) & mask;
      while (slots[2 * slot + 1] !== 0) slot = (slot + 1) & mask;
      slots[2 * slot] = hash;
      slots[2 * slot + 1] = old[i + 1];
    }
  }
}
