/** Reading events.jsonl, which a killed process may have left torn and anybody may have written. */
import { closeSync, openSync, readSync } from 'node:fs';
import type { TrainingEvent } from '../training/events.ts';

type EventOf<T extends TrainingEvent['type']> = Extract<TrainingEvent, { type: T }>;
type Kind = 'number' | 'number?' | 'number??' | 'text' | 'text?' | 'boolean' | 'best' | 'data' | 'reason' | 'numbers?';

/** The fields of each event besides its type and step. */
const FIELDS: {
  readonly [T in TrainingEvent['type']]: Readonly<Record<Exclude<keyof EventOf<T>, 'type' | 'step'>, Kind>>;
} = {
  start: {
    max_steps: 'number',
    parameters: 'number',
    tokens_per_step: 'number',
    flops_per_token: 'number',
    memory: 'number',
    data: 'data',
    backend: 'text',
    threads: 'number',
    peak_flops: 'number?',
    time: 'number',
  },
  step: {
    loss: 'number',
    grad_norm: 'number',
    learning_rate: 'number',
    tokens: 'number',
    tokens_per_second: 'number',
    mfu: 'number?',
    seconds: 'number',
    resident: 'number?',
    outside_kernels: 'number??',
    metrics: 'numbers?',
  },
  evaluation: {
    loss: 'number',
    perplexity: 'number??',
    bits_per_byte: 'number??',
    bits_per_character: 'number??',
    metrics: 'numbers?',
    best: 'boolean',
  },
  sample: { prompt: 'text', text: 'text' },
  checkpoint: { path: 'text', best: 'boolean' },
  skipped: { loss: 'number', grad_norm: 'number', reason: 'text' },
  rollback: { to: 'number', rate_factor: 'number', reason: 'text' },
  end: { reason: 'reason', loss: 'number?', best: 'best', seconds: 'number', detail: 'text?' },
};

const REASONS = ['finished', 'early_stopping', 'max_time', 'interrupted', 'diverged'];

/** An event from a line, or null. Numbers that JSON cannot hold were written as null and are NaN again; so is what is missing. */
export function parseEvent(line: string): TrainingEvent | null {
  let raw: unknown;
  try {
    raw = JSON.parse(line);
  } catch {
    return null;
  }
  if (!isObject(raw) || typeof raw.type !== 'string' || !Object.hasOwn(FIELDS, raw.type)) return null;
  if (typeof raw.step !== 'number' || !(raw.step >= 0)) return null;
  const event: Record<string, unknown> = { type: raw.type, step: raw.step };
  for (const [name, kind] of Object.entries(FIELDS[raw.type as TrainingEvent['type']])) {
    const value = made(raw[name], kind);
    if (value === undefined) {
      if (kind === 'text?' || kind === 'number??' || kind === 'numbers?') continue;
      return null;
    }
    event[name] = value;
  }
  return event as unknown as TrainingEvent;
}

/** A field's value; undefined where it is none of its kind. */
function made(value: unknown, kind: Kind): unknown {
  switch (kind) {
    case 'number':
      return typeof value === 'number' ? value : (value ?? null) === null ? Number.NaN : undefined;
    case 'number?':
      return typeof value === 'number' ? value : (value ?? null) === null ? null : undefined;
    case 'number??':
      return typeof value === 'number' ? value : undefined;
    case 'numbers?': {
      if (!isObject(value)) return undefined;
      return Object.fromEntries(
        Object.entries(value).map(([name, each]) => [name, made(each, 'number') ?? Number.NaN]),
      );
    }
    case 'text':
    case 'text?':
      return typeof value === 'string' ? value : undefined;
    case 'boolean':
      return value === true;
    case 'reason':
      return REASONS.includes(value as string) ? value : undefined;
    case 'best': {
      if (!isObject(value)) return null;
      return { step: made(value.step, 'number') ?? Number.NaN, loss: made(value.loss, 'number') ?? Number.NaN };
    }
    case 'data': {
      const { train, validation } = isObject(value) ? value : {};
      return { train: made(train, 'number') ?? Number.NaN, validation: made(validation, 'number') ?? Number.NaN };
    }
    default:
      return kind satisfies never;
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

export interface EventLine {
  /** Null for a line that is no event. */
  readonly event: TrainingEvent | null;
  /** Where the next line begins, in bytes. */
  readonly end: number;
}

const CHUNK = 1 << 18;
/** A longer line is no event: nothing reads it into memory. */
const LONGEST = 1 << 22;

/** The lines of events.jsonl, in order; what stands behind the last newline was torn and is left out. Empty if there is no file. */
export function* eventLines(path: string): Generator<EventLine, void, void> {
  let file: number;
  try {
    file = openSync(path, 'r');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return;
    throw error;
  }
  try {
    const chunk = Buffer.alloc(CHUNK);
    let rest: Buffer[] = [];
    let restLength = 0;
    let at = 0;
    for (;;) {
      const count = readSync(file, chunk, 0, CHUNK, at);
      if (count === 0) return;
      let from = 0;
      for (let next = chunk.indexOf(10); next >= 0 && next < count; next = chunk.indexOf(10, from)) {
        const isLong = restLength + next - from > LONGEST;
        const line = isLong ? '' : Buffer.concat([...rest, chunk.subarray(from, next)]).toString('utf8');
        [rest, restLength] = [[], 0];
        from = next + 1;
        yield { event: isLong ? null : parseEvent(line), end: at + from };
      }
      restLength += count - from;
      if (restLength > LONGEST) rest = [];
      else rest.push(Buffer.from(chunk.subarray(from, count)));
      at += count;
    }
  } finally {
    closeSync(file);
  }
}
