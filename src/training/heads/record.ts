/** What has to be known of a model with a task head besides its numbers: the content of head.json. */
import { FileFormatError } from '../../errors.ts';
import { type HeadKind, type HeadShape, headKinds } from '../../models/heads.ts';
import type { TaskTokens } from '../examples/task_inputs.ts';

export interface HeadRecord {
  readonly kind: HeadKind;
  /** Names of the classes by number; of multiple choice the numbers of the choices. */
  readonly labels: readonly string[];
  /** The ids that stand around the texts. */
  readonly tokens: TaskTokens;
  /** Tokens of the longest sequence. */
  readonly block_size: number;
  /** The model that stays as it is under what was learnt: a name, a path or a hub id; null where the folder holds the whole model. */
  readonly base: string | null;
  /** What was learnt with the head. */
  readonly learned: 'all' | 'adapter' | 'head';
}

const MOST_LABELS = 65536;
const MOST_TOKENS = 2 ** 24;

/** The shape of the head of a record. */
export function headShape({ kind, labels }: Pick<HeadRecord, 'kind' | 'labels'>): HeadShape {
  return { kind, classes: labels.length };
}

/** The content of head.json. @throws FileFormatError */
export function readHeadRecord(value: unknown, file = 'head.json'): HeadRecord {
  const refuse = (field: string, problem: string) =>
    new FileFormatError(file, field, problem, 'It is written by inkstone tune --method classify');
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw refuse('', 'is not an object');
  const { kind, labels, tokens, block_size, base = null, learned } = value as Record<string, unknown>;
  if (!headKinds.includes(kind as HeadKind)) throw refuse('kind', `is not one of ${headKinds.join(', ')}`);
  const isNames = Array.isArray(labels) && labels.every((label) => typeof label === 'string');
  if (!isNames || labels.length < 2 || labels.length > MOST_LABELS || new Set(labels).size !== labels.length)
    throw refuse('labels', 'is not a list of two or more different names');
  const whole = (x: unknown, least: number): x is number =>
    Number.isSafeInteger(x) && (x as number) >= least && (x as number) <= MOST_TOKENS;
  if (!whole(block_size, 2)) throw refuse('block_size', 'is not a whole number from 2');
  const ids = (typeof tokens === 'object' && tokens !== null ? tokens : {}) as Record<string, unknown>;
  const id = (name: string): number => {
    const found = Object.hasOwn(ids, name) ? ids[name] : undefined;
    if (!whole(found, 0)) throw refuse(`tokens.${name}`, 'is not a token');
    return found;
  };
  if (base !== null && typeof base !== 'string') throw refuse('base', 'is not a name or a path');
  if (learned !== 'all' && learned !== 'adapter' && learned !== 'head')
    throw refuse('learned', 'is not one of all, adapter, head');
  if ((learned === 'all') !== (base === null)) throw refuse('base', `is ${base}, but "${learned}" was learnt`);
  return {
    kind: kind as HeadKind,
    labels: labels as string[],
    tokens: { start: id('start'), delimiter: id('delimiter'), extract: id('extract') },
    block_size,
    base,
    learned,
  };
}
