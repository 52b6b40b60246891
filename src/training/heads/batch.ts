/** Batches of examples of a task head: sequences side by side in rows of one length, and where each one's extract token stands. */
import { SettingError } from '../../errors.ts';
import { type HeadShape, sequencesOf } from '../../models/heads.ts';
import { IGNORED } from '../data/batch.ts';
import { recordError, type TaskExample } from '../examples/example.ts';

/** The sizes of a batch, which all batches of a plan share. */
export interface HeadBatchSettings {
  /** Rows of a batch. */
  readonly batch_size: number;
  /** Tokens of a row. */
  readonly block_size: number;
  /** Whether sequences share rows, without seeing each other. Default true. */
  readonly packing?: boolean;
}

export interface HeadBatch {
  readonly block_size: number;
  /** All (batch_size, block_size), row-major. */
  readonly tokens: Int32Array;
  /** The next token of each one's sequence, or -100. */
  readonly targets: Int32Array;
  readonly positions: Int32Array;
  readonly first_keys: Int32Array;
  /** (slots, sequences): the place of each extract token, row * block_size + column; 0 where there is none. */
  readonly extracts: Int32Array;
  /** (slots, sequences): 1 where there is a sequence. */
  readonly present: Uint8Array;
  /** (slots): the class; 0 in empty slots. */
  readonly labels: Int32Array;
  /** Examples: the first of the slots. */
  readonly count: number;
  /** Targets that are tokens. */
  readonly target_count: number;
}

/** Tokens that a slot stands for: a batch has room for as many examples as it has sequences of this length. */
const SLOT_TOKENS = 8;

/** How many examples a batch may hold. */
export function headSlots(head: HeadShape, { batch_size, block_size, packing = true }: HeadBatchSettings): number {
  const sequences = packing ? batch_size * Math.max(1, Math.floor(block_size / SLOT_TOKENS)) : batch_size;
  return Math.max(1, Math.floor(sequences / sequencesOf(head)));
}

/** Room in the rows of one batch. */
export class BatchRoom {
  private readonly used: Int32Array;
  private count = 0;
  private readonly slots: number;

  constructor(
    head: HeadShape,
    private readonly settings: HeadBatchSettings,
  ) {
    this.used = new Int32Array(settings.batch_size);
    this.slots = headSlots(head, settings);
  }

  /**
   * The places of an example's sequences, each in the first row with room for it.
   * @returns place = row * block_size + column of each one's first token; null where the batch is full.
   */
  place(lengths: readonly number[]): number[] | null {
    const { block_size, packing = true } = this.settings;
    if (this.count === this.slots) return null;
    const before = this.used.slice();
    const places: number[] = [];
    for (const length of lengths) {
      const row = this.used.findIndex((used) => (packing ? used + length <= block_size : used === 0));
      if (row < 0) {
        this.used.set(before);
        return null;
      }
      places.push(row * block_size + this.used[row]);
      this.used[row] += length;
    }
    this.count++;
    return places;
  }
}

/** A batch of examples that fit into one. */
export function fillHeadBatch(
  head: HeadShape,
  settings: HeadBatchSettings,
  examples: readonly TaskExample[],
): HeadBatch {
  const { batch_size, block_size } = settings;
  const size = batch_size * block_size;
  const S = sequencesOf(head);
  const slots = headSlots(head, settings);
  const [tokens, positions, first_keys] = Array.from({ length: 3 }, () => new Int32Array(size));
  const targets = new Int32Array(size).fill(IGNORED);
  const extracts = new Int32Array(slots * S);
  const present = new Uint8Array(slots * S);
  const labels = new Int32Array(slots);
  const filled = new Uint8Array(size);
  const room = new BatchRoom(head, settings);
  let target_count = 0;
  for (const [slot, { sequences, label }] of examples.entries()) {
    const places = room.place(sequences.map(({ length }) => length));
    if (!places) throw new Error(`example ${slot} of a batch does not fit`);
    labels[slot] = label;
    for (const [s, ids] of sequences.entries()) {
      const start = places[s];
      const column = start % block_size;
      for (let i = 0; i < ids.length; i++) {
        tokens[start + i] = ids[i];
        positions[start + i] = i;
        first_keys[start + i] = column;
        filled[start + i] = 1;
        if (i + 1 < ids.length) targets[start + i] = ids[i + 1];
      }
      target_count += ids.length - 1;
      extracts[slot * S + s] = start + ids.length - 1;
      present[slot * S + s] = 1;
    }
  }
  // The rest of a row is a sequence of its own, of token 0.
  for (let i = 0; i < size; i++) {
    if (filled[i]) continue;
    const starts = i % block_size === 0 || filled[i - 1] === 1;
    first_keys[i] = starts ? i % block_size : first_keys[i - 1];
    positions[i] = starts ? 0 : positions[i - 1] + 1;
  }
  return {
    block_size,
    tokens,
    targets,
    positions,
    first_keys,
    extracts,
    present,
    labels,
    count: examples.length,
    target_count,
  };
}

export interface FittedTaskExamples {
  readonly examples: readonly TaskExample[];
  /** How many lost a part. */
  readonly cut: number;
  /** Tokens of the longest sequence before anything was cut. */
  readonly longest: number;
}

/**
 * Examples of a head whose sequences fit rows of `block_size` tokens: longer ones keep their first token, and lose what follows it.
 * @throws FileFormatError or SettingError for an example that is none of this head: too few or too many sequences, a label out of range.
 */
export function fitTaskExamples(
  head: HeadShape,
  examples: readonly TaskExample[],
  { block_size, batch_size, packing = true }: HeadBatchSettings,
): FittedTaskExamples {
  if (examples.length === 0) throw new SettingError('examples', 0, 'there are none');
  for (const [name, value, least] of [
    ['block_size', block_size, 2],
    ['batch_size', batch_size, packing ? 1 : sequencesOf(head)],
  ] as const) {
    if (!Number.isSafeInteger(value) || value < least)
      throw new SettingError(name, value, `must be a whole number from ${least}`);
  }
  let [cut, longest] = [0, 0];
  const fitted = examples.map((example) => {
    checkTaskExample(head, example);
    longest = example.sequences.reduce((most, { length }) => Math.max(most, length), longest);
    if (example.sequences.every(({ length }) => length <= block_size)) return example;
    cut++;
    return { ...example, sequences: example.sequences.map((ids) => shorten(ids, block_size)) };
  });
  const room = (example: TaskExample) =>
    new BatchRoom(head, { block_size, batch_size, packing }).place(example.sequences.map(({ length }) => length));
  const tooLarge = fitted.find((example) => room(example) === null);
  if (tooLarge) {
    const problem = `does not hold the ${tooLarge.sequences.length} sequences of one example in rows of ${block_size} tokens`;
    throw new SettingError('batch_size', batch_size, problem);
  }
  return { examples: fitted, cut, longest };
}

/** Whether an example is one of a head. */
function checkTaskExample(head: HeadShape, { sequences, label, origin }: TaskExample): void {
  const { kind, classes } = head;
  const count = sequences.length;
  const fits = kind === 'multiple_choice' ? count >= 2 && count <= classes : count === sequencesOf(head);
  if (!fits) {
    const wanted = kind === 'multiple_choice' ? `from 2 to ${classes} choices` : `${sequencesOf(head)} sequences`;
    throw recordError(origin, null, `it has ${count} sequences where the head "${kind}" reads ${wanted}`);
  }
  const most = kind === 'multiple_choice' ? count : classes;
  if (!Number.isInteger(label) || label < 0 || label >= most) {
    throw recordError(origin, 'label', `${label} is not a class from 0 to ${most - 1}`);
  }
  if (sequences.some(({ length }) => length === 0)) throw recordError(origin, null, 'a sequence has no tokens');
}

function shorten(ids: Int32Array, size: number): Int32Array {
  if (ids.length <= size) return ids;
  const kept = ids.slice(ids.length - size);
  kept[0] = ids[0];
  return kept;
}
