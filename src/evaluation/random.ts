/** Random numbers for draws of documents and resamples: one stream for each seed and name. */

/** FNV-1a over UTF-16 units (Fowler, Noll, Vo; 32 bits). */
export function hash32(text: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  return hash >>> 0;
}

/** A hash of a text as 16 hexadecimal digits: two runs of FNV-1a, enough to see that a document changed. */
export function textHash(text: string): string {
  const hex = (value: number): string => value.toString(16).padStart(8, '0');
  return hex(hash32(text)) + hex(hash32(`${text.length}:${text}`));
}

/** Numbers in [0, 1) from sfc32 (Doty-Humphrey, PractRand), 32 bits each. */
export function stream(seed: number, name: string): () => number {
  let [a, b, c, counter] = [seed >>> 0, Math.floor(seed / 2 ** 32) >>> 0, hash32(name), 1];
  const next = (): number => {
    const sum = (a + b + counter++) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = (((c << 21) | (c >>> 11)) + sum) | 0;
    return (sum >>> 0) / 2 ** 32;
  };
  for (let i = 0; i < 16; i++) next();
  return next;
}

/** A whole number below `count`. */
export function below(random: () => number, count: number): number {
  return Math.floor(random() * count);
}

/** The items in another order (Fisher and Yates), or the first `most` of that order. */
export function shuffled<T>(items: readonly T[], random: () => number, most = items.length): T[] {
  const list = [...items];
  const count = Math.min(most, list.length);
  for (let i = 0; i < count; i++) {
    const j = i + below(random, list.length - i);
    [list[i], list[j]] = [list[j], list[i]];
  }
  return list.slice(0, count);
}
