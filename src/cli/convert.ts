/**
 * `inkstone convert`: the work is done by a thread of its own (convert_worker.ts), so that Ctrl-C can end it at any moment; what is
 * half-written lies beside the output and is removed. The output appears when it is complete.
 */
import { existsSync, renameSync, rmSync } from 'node:fs';
import { basename, extname, join, resolve } from 'node:path';
import { Worker } from 'node:worker_threads';
import { InkstoneError, InterruptedError, SettingError } from '../errors.ts';
import { requireFile } from '../node/open_weights.ts';
import { grouped } from '../weights/index.ts';
import type { ConvertJob, ConvertMessage, ConvertSummary } from './convert_worker.ts';
import { interruptSignal } from './interrupt.ts';
import { progress, say, write, writeJson } from './terminal.ts';
import { UsageError } from './usage.ts';

/** An error with a message for the user, from the other thread: its class stayed there. */
class RelayedError extends InkstoneError {}

interface ConvertFlags extends Pick<ConvertJob, 'type' | 'names' | 'merge'> {
  readonly force?: boolean;
  readonly json?: boolean;
}

export async function convertCommand(input: string, output: string, flags: ConvertFlags): Promise<void> {
  requireFile(input);
  if (flags.merge !== undefined) requireFile(flags.merge);
  const isFile = ['.gguf', '.safetensors'].includes(extname(output).toLowerCase());
  if (!isFile && extname(output) !== '' && !output.endsWith('/'))
    throw new UsageError(`${output}: an output is a .gguf file, a .safetensors file or a directory`);
  if (resolve(input) === resolve(output)) throw new SettingError('output', output, 'is the input itself');
  if (existsSync(output) && !flags.force)
    throw new SettingError('output', output, 'is there already: --force replaces it');
  const temporary = `${resolve(output)}.tmp-${process.pid}`;
  const made = isFile ? join(temporary, basename(output)) : temporary;
  const job: ConvertJob = {
    input,
    output: made,
    format: output.toLowerCase().endsWith('.gguf') ? 'gguf' : 'safetensors',
    isFile,
    type: flags.type,
    names: flags.names,
    merge: flags.merge,
  };
  try {
    const summary = await work(job, output, interruptSignal());
    if (existsSync(output)) rmSync(output, { recursive: true });
    renameSync(made, output);
    for (const note of summary.notes) say(`note: ${note}`);
    for (const { name, reason } of summary.dropped) say(`left out: ${name} (${reason})`);
    for (const line of keptLines(summary)) say(line);
    if (flags.json) await writeJson({ output, ...summary });
    else await write(`${output}: ${grouped(summary.tensors)} tensors, ${grouped(summary.parameters)} parameters\n`);
  } finally {
    rmSync(temporary, { recursive: true, force: true });
  }
}

/** Tensors that did not become the wanted type, by reason. */
function keptLines({ kept }: ConvertSummary): string[] {
  const byReason = new Map<string, number>();
  for (const { type, reason } of kept) {
    const key = `${type} (${reason})`;
    byReason.set(key, (byReason.get(key) ?? 0) + 1);
  }
  return [...byReason].map(([key, count]) => `kept: ${count} tensors as ${key}`);
}

/** Run the job in its thread. Rejects with InterruptedError when the signal comes first. */
function work(job: ConvertJob, label: string, signal: AbortSignal): Promise<ConvertSummary> {
  const worker = new Worker(new URL('./convert_worker.js', import.meta.url), { workerData: job });
  return new Promise<ConvertSummary>((done, fail) => {
    signal.addEventListener('abort', () => {
      worker.terminate().then(() => fail(new InterruptedError()), fail);
    });
    worker.on('message', (message: ConvertMessage) => {
      if (message.kind === 'progress') {
        const { done, total } = message;
        progress()({ label, done, total, unit: 'tensors', finished: done === total });
      } else if (message.kind === 'done') done(message.summary);
      else fail(message.isDefect ? new Error(message.text) : new RelayedError(message.text));
    });
    worker.on('error', fail);
  });
}
