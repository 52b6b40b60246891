/**
 * A run over its folder: what every kind of training has in common once its step and its data are there. It restores or begins, runs the
 * loop, and writes events and checkpoints as they come.
 */
import { renameSync, writeFileSync } from 'node:fs';
import type { TrainingEvent } from '../training/events.ts';
import {
  type EvaluationSet,
  type LoopHost,
  type LoopOptions,
  type LoopSettings,
  type LoopState,
  type StepBatches,
  trainingLoop,
} from '../training/loop.ts';
import { measurePeak } from '../training/peak.ts';
import type { TrainingStep } from '../training/step.ts';
import { findCheckpoint, type Snapshot, saveCheckpoint } from './checkpoints.ts';
import { appendEvents, createRun, type EventWriter, machineInfo, type RunDescription } from './run_folder.ts';
import { lockRun } from './run_lock.ts';
import { packageVersion } from './version.ts';

export interface TrainingRun<B> {
  readonly out: string;
  /** Whether the folder holds the run already. */
  readonly isResumed: boolean;
  readonly command: readonly string[];
  /** What run.json says of a new run. */
  readonly description: Omit<RunDescription, 'command' | 'version' | 'machine'>;
  readonly step: TrainingStep<B>;
  /** Give the parameters their first values. */
  initialize(): void | Promise<void>;
  /** Write what a run that is stopped before its first checkpoint needs. */
  begin?(): void;
  /** What has to be known of the first weights before the first step, in a folder that is the run's already; at each start. */
  prepare?(): void | Promise<void>;
  readonly batches: StepBatches<B>;
  readonly evaluation: EvaluationSet<B> | null;
  readonly counts: LoopOptions<B>['counts'];
  readonly settings: LoopSettings;
  readonly flops_per_token: number;
  /** Tokens of the training and of the validation data. */
  readonly data: { readonly train: number; readonly validation: number };
  /** What a checkpoint holds besides the numbers of the step, as it is when one is saved. */
  snapshot(): Promise<Omit<Snapshot, 'step' | 'trainer'>>;
  /** Newest checkpoints that are kept. */
  readonly keep: number;
  readonly sample?: LoopHost['sample'];
  readonly signal?: AbortSignal;
  readonly onNotice?: (text: string) => void;
}

/** Run to the end, from the last checkpoint on. The last event is of type `end`; everything is on disk by then. */
export async function* trainingRun<B>(run: TrainingRun<B>): AsyncGenerator<TrainingEvent, void, void> {
  const { out, isResumed, step, settings, batches, onNotice } = run;
  const { info } = step.backend;
  const start = { command: run.command, version: packageVersion(), machine: machineInfo(info) };
  let writer: EventWriter | null = null;
  let unlock: (() => void) | undefined;
  try {
    // Before the checkpoints are looked at, for that tidies them too: another process may be writing one.
    if (isResumed) unlock = lockRun(out);
    const state = isResumed ? await restoredState(out, step, onNotice) : null;
    if (!state) await run.initialize();
    if (!isResumed) {
      createRun(out, { ...start, ...run.description });
      run.begin?.();
    }
    await run.prepare?.();
    const seconds = () => performance.now() / 1000;
    const peak_flops = info.name === 'reference' ? null : await measurePeak(step.backend, seconds);
    writer = appendEvents(out, { ...start, step: state?.step ?? 0 }, unlock);
    const tell = (event: TrainingEvent): TrainingEvent => {
      writer?.append(event);
      return event;
    };
    const elements = (shapes: Iterable<readonly number[]>) =>
      [...shapes].reduce((total, shape) => total + shape.reduce((a, b) => a * b, 1), 0);
    const frozen = [...step.task.frozen.values()].reduce((total, { buffer }) => total + buffer.byteLength, 0);
    yield tell({
      type: 'start',
      step: state?.step ?? 0,
      max_steps: settings.max_steps,
      parameters: elements(step.specs.map(({ shape }) => shape)),
      tokens_per_step: batches.tokensPerStep,
      flops_per_token: run.flops_per_token,
      memory: frozen + 4 * elements([...step.state.values()].map(({ shape }) => shape)) + step.arenaBytes,
      data: run.data,
      backend: `${info.name} ${info.variant}`,
      threads: info.threads,
      peak_flops,
      time: Date.now() / 1000,
    });
    const loop = trainingLoop({
      step,
      batches,
      settings,
      evaluation: run.evaluation,
      counts: run.counts,
      flops_per_token: run.flops_per_token,
      peak_flops,
      state: state ?? undefined,
      signal: run.signal,
      host: {
        now: seconds,
        resident: () => process.memoryUsage.rss(),
        async save(now, best) {
          const trainer = now as unknown as Record<string, unknown>;
          const snapshot = { ...(await run.snapshot()), step: now.step, trainer };
          return saveCheckpoint(out, step, snapshot, { keep: run.keep, best });
        },
        rollBack: () => restoredState(out, step, onNotice),
        sample: run.sample,
      },
    });
    for await (const event of loop) yield tell(event);
  } finally {
    writer?.close();
    unlock?.();
  }
}

/** The last whole checkpoint of a run, brought into a step; null where there is none. */
async function restoredState<B>(
  out: string,
  step: TrainingStep<B>,
  onNotice?: (text: string) => void,
): Promise<LoopState | null> {
  const onDamaged = (path: string, reason: string) =>
    onNotice?.(`${path} is damaged (${reason}): an earlier one is used`);
  const found = await findCheckpoint(out, { onDamaged });
  if (!found) {
    onNotice?.(`${out} has no whole checkpoint: the run begins anew`);
    return null;
  }
  await found.restore(step);
  // A run that was over goes on where it is given more steps.
  return { ...(found.trainer as unknown as LoopState), ended: null };
}

/** Write a small file so that it is there whole or not at all. */
export function writeWhole(path: string, text: string): void {
  const beside = `${path}.${process.pid}.new`;
  writeFileSync(beside, text);
  renameSync(beside, path);
}
