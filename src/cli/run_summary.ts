/** What a list of runs says of each. */
import { basename, resolve } from 'node:path';
import { type RunInfo, readRunInfo, runEvents } from '../node/run_folder.ts';
import { isBeingWritten } from '../node/run_lock.ts';
import { RunHistory, type RunState } from './run_history.ts';

export interface RunSummary {
  readonly name: string;
  readonly dir: string;
  /** The preset or model that the settings stand over. */
  readonly preset: string | null;
  readonly parameters: number | null;
  readonly step: number;
  readonly max_steps: number | null;
  /** The last training loss, without its noise. */
  readonly loss: number | null;
  /** The least validation loss. */
  readonly validation: number | null;
  readonly validation_step: number | null;
  readonly perplexity: number | null;
  readonly bits_per_byte: number | null;
  readonly bits_per_character: number | null;
  readonly tokens: number | null;
  readonly tokens_per_second: number | null;
  readonly mfu: number | null;
  /** Of training, over all starts. */
  readonly seconds: number | null;
  readonly resident: number | null;
  readonly skipped: number;
  readonly rollbacks: number;
  readonly state: RunState;
  /** Seconds since 1970. */
  readonly started: number | null;
}

export interface LoadedRun {
  readonly summary: RunSummary;
  readonly info: RunInfo;
  readonly history: RunHistory;
}

/** @throws NotFoundError, FileFormatError. */
export function loadRun(dir: string): LoadedRun {
  const info = readRunInfo(dir);
  const history = new RunHistory();
  for (const event of runEvents(dir)) history.push(event);
  const { start, step, best, end } = history;
  const known = (value: number | null | undefined): number | null =>
    value !== null && value !== undefined && Number.isFinite(value) ? value : null;
  const isKilled = history.state === 'running' && !isBeingWritten(dir);
  const summary: RunSummary = {
    name: basename(resolve(dir)),
    dir,
    preset: info.preset,
    parameters: known(start?.parameters),
    step: history.done,
    max_steps: known(start?.max_steps),
    loss: known(history.smoothed),
    validation: known(best?.loss),
    validation_step: known(best?.step),
    perplexity: known(best?.perplexity),
    bits_per_byte: known(best?.bits_per_byte),
    bits_per_character: known(best?.bits_per_character),
    tokens: known(step?.tokens),
    tokens_per_second: known(step?.tokens_per_second),
    mfu: known(step?.mfu),
    seconds: known(end?.seconds ?? step?.seconds),
    resident: known(step?.resident),
    skipped: history.skips,
    rollbacks: history.rollbacks,
    state: isKilled ? 'interrupted' : history.state,
    started: known(info.starts[0]?.time ?? info.created),
  };
  return { summary, info, history };
}
