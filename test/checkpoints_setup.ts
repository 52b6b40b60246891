/** A tiny training step with its checkpoints, and a disk that fails, for tests of checkpoints. */
import { createReferenceBackend } from '../src/backends/reference/backend.ts';
import { type CheckpointFiles, diskFiles, type WritableFile } from '../src/node/checkpoint_files.ts';
import type { Snapshot } from '../src/node/checkpoints.ts';
import { wholeModel } from '../src/training/learner.ts';
import { type PresetOverrides, resolvePreset } from '../src/training/presets.ts';
import { TrainingStep } from '../src/training/step.ts';
import { nextTokenTask } from '../src/training/task.ts';

/** Pseudo-random numbers in [0, 1) of a seed. */
export function random(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

export interface Tiny {
  readonly step: TrainingStep;
  readonly config: Record<string, unknown>;
  /** Every number of the state becomes one of a seed. */
  fill(seed: number): void;
  /** The whole state, as text to compare. */
  read(): Promise<string>;
  snapshot(step: number): Snapshot;
}

export function tiny(overrides: PresetOverrides = {}, preset = 'nano'): Tiny {
  const sizes = { n_layer: 1, n_head: 2, n_embd: 8, block_size: 4, vocab_size: 11, batch_size: 1, ...overrides };
  const { config, decoder, training } = resolvePreset(preset, sizes);
  const settings = { ...training, block_size: 4, seed: 0 };
  const step = new TrainingStep(createReferenceBackend(), nextTokenTask(wholeModel(decoder), settings), settings);
  return {
    step,
    config: { ...config },
    fill(seed) {
      const next = random(seed);
      for (const [name, { shape }] of step.state) {
        const size = shape.reduce((a, b) => a * b, 1);
        step.write(
          name,
          Float32Array.from({ length: size }, () => next() - 0.5),
        );
      }
    },
    async read() {
      const parts: string[] = [];
      for (const name of step.state.keys()) {
        const values = await step.read(name);
        parts.push(`${name} ${Buffer.from(values.buffer, values.byteOffset, values.byteLength).toString('base64')}`);
      }
      return parts.join('\n');
    },
    snapshot: (at) => ({
      step: at,
      config: { ...config },
      tokenizer: { version: '1.0', model: { type: 'BPE' } },
      tokenizerConfig: { tokenizer_class: 'PreTrainedTokenizerFast' },
      trainer: { step: at, losses: [1 / at, at] },
    }),
  };
}

/** A disk that does not wait for its platters. */
export const quickFiles: CheckpointFiles = {
  ...diskFiles,
  async create(path) {
    const file = await diskFiles.create(path);
    return { write: (bytes) => file.write(bytes), sync: async () => {}, close: () => file.close() };
  },
  syncFolder: async () => {},
};

/** Fails the k-th operation that changes the disk (counted from 1), and each after it when `forever`. Half of a failing write arrives. */
export function failing(k: number, code: string, forever = false): CheckpointFiles & { readonly count: number } {
  let count = 0;
  const check = (what: string) => {
    count++;
    if (count === k || (forever && count > k)) throw Object.assign(new Error(`${code}: ${what}`), { code });
  };
  const guard =
    <A extends unknown[], R>(what: string, work: (...args: A) => Promise<R>) =>
    async (...args: A): Promise<R> => {
      check(what);
      return work(...args);
    };
  const wrap = (file: WritableFile): WritableFile => ({
    async write(bytes) {
      try {
        check('write');
      } catch (error) {
        await file.write(bytes.subarray(0, bytes.length >> 1));
        throw error;
      }
      await file.write(bytes);
    },
    sync: guard('fsync', () => file.sync()),
    async close() {
      await file.close();
      check('close');
    },
  });
  return {
    get count() {
      return count;
    },
    makeFolder: guard('mkdir', quickFiles.makeFolder),
    create: guard('open', async (path: string) => wrap(await quickFiles.create(path))),
    rename: guard('rename', quickFiles.rename),
    link: guard('link', quickFiles.link),
    copy: guard('copyfile', quickFiles.copy),
    remove: guard('rm', quickFiles.remove),
    syncFolder: guard('fsync', quickFiles.syncFolder),
  };
}
