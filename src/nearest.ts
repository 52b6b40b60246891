/** Names that a mistyped one may stand for. */

/** The least number of insertions, deletions and substitutions that turn `a` into `b` (Levenshtein). */
export function editDistance(a: string, b: string): number {
  let previous = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      row.push(Math.min(previous[j] + 1, row[j - 1] + 1, previous[j - 1] + (a[i - 1] === b[j - 1] ? 0 : 1)));
    }
    previous = row;
  }
  return previous[b.length];
}

/** Up to `count` of `names` that are near enough to `wanted` to be meant, nearest first. */
export function nearestNames(wanted: string, names: Iterable<string>, count = 3): string[] {
  const plain = (name: string): string => name.toLowerCase().replace(/[-_. ]/g, '');
  const target = plain(wanted.slice(0, 200));
  const scored = [...new Set(names)].map((name) => {
    const other = plain(name);
    const distance = editDistance(target, other);
    const isPart = target.length > 2 && (other.includes(target) || target.includes(other));
    return { name, distance: isPart ? Math.min(distance, 1 + Math.abs(other.length - target.length) / 8) : distance };
  });
  const limit = Math.max(2, target.length / 3);
  return scored
    .filter(({ distance }) => distance <= limit)
    .sort((a, b) => a.distance - b.distance || (a.name < b.name ? -1 : 1))
    .slice(0, count)
    .map(({ name }) => name);
}
