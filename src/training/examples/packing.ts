/** Which examples share a window. */

/** Examples by window, flat: window w has `members[starts[w]]` to before `members[starts[w + 1]]`, in their order. */
export interface Packing {
  readonly windows: number;
  readonly starts: Int32Array;
  readonly members: Int32Array;
}

/**
 * First-fit packing (Johnson 1973): each example goes into the first window that still has room for it, which takes at
 * most 1.7 times the windows of the best packing, and far fewer where examples are short. A tree of the room that is
 * left makes it O(n log n).
 * @param lengths of the examples, each from 1 to `size`.
 * @param order in which they are placed: their numbers.
 */
export function packFirstFit(lengths: ArrayLike<number>, order: ArrayLike<number>, size: number): Packing {
  const count = order.length;
  let leaves = 1;
  while (leaves < count) leaves *= 2;
  // Node i has the most room of any window below it; windows that nobody has opened are empty, so they need no rule.
  const room = new Int32Array(2 * leaves).fill(size);
  const windowOf = new Int32Array(count);
  let windows = 0;
  for (let i = 0; i < count; i++) {
    const need = lengths[order[i]];
    let node = 1;
    while (node < leaves) node = room[2 * node] >= need ? 2 * node : 2 * node + 1;
    windowOf[i] = node - leaves;
    windows = Math.max(windows, windowOf[i] + 1);
    room[node] -= need;
    for (node >>= 1; node > 0; node >>= 1) room[node] = Math.max(room[2 * node], room[2 * node + 1]);
  }
  return byWindow(windowOf, order, windows);
}

/** One example a window. */
export function packSingly(order: ArrayLike<number>): Packing {
  const starts = Int32Array.from({ length: order.length + 1 }, (_, i) => i);
  return { windows: order.length, starts, members: Int32Array.from(order) };
}

function byWindow(windowOf: Int32Array, order: ArrayLike<number>, windows: number): Packing {
  const starts = new Int32Array(windows + 1);
  for (const window of windowOf) starts[window + 1]++;
  for (let w = 0; w < windows; w++) starts[w + 1] += starts[w];
  const next = starts.slice();
  const members = new Int32Array(order.length);
  for (let i = 0; i < order.length; i++) members[next[windowOf[i]]++] = order[i];
  return { windows, starts, members };
}
