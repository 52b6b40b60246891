/** `inkstone tune`: a model made to do a task, with the run in view. */
import { existsSync } from 'node:fs';
import { basename, join } from 'node:path';
import { stderr } from 'node:process';
import { runEvents } from '../node/run_folder.ts';
import { openTuning, type TuneOptions, type TunePlan, type TuneSettings } from '../node/tune.ts';
import type { EndEvent } from '../training/events.ts';
import { parseValue } from '../training/preset_fields.ts';
import { type TuneMethod, tuneField } from '../training/tuning_fields.ts';
import { written } from './charts/index.ts';
import { interruptSignal } from './interrupt.ts';
import { progress, say, write, writeJson } from './terminal.ts';
import { trainView } from './train_view.ts';
import { EXIT, UsageError } from './usage.ts';

export interface TuneFlags extends TuneSettings {
  readonly method?: TuneMethod;
  readonly model?: string;
  readonly data?: readonly string[];
  readonly out?: string;
  readonly resume?: string;
  readonly maxTime?: number;
  readonly backend?: string;
  readonly threads?: number;
  readonly offline?: boolean;
  readonly reward?: readonly string[];
  readonly plan?: boolean;
  readonly json?: boolean;
  readonly plain?: boolean;
  /** Fields of fine-tuning, as texts. */
  readonly [field: string]: unknown;
}

export async function tuneCommand(paths: readonly string[], flags: TuneFlags): Promise<void> {
  const { json, plain, plan: planOnly, maxTime, reward, separator, ...rest } = flags;
  const own = Object.entries(rest);
  const fields = Object.fromEntries(
    own
      .filter(([name, value]) => tuneField(name) && value !== undefined)
      .map(([name, value]) => [name, parseValue(tuneField(name)!, String(value))]),
  );
  const options = Object.fromEntries(own.filter(([name]) => !tuneField(name))) as Partial<TuneOptions>;
  const { resume, method = 'sft' } = options;
  const data = [...paths, ...(options.data ?? [])];
  if (resume !== undefined && data.length > 0)
    throw new UsageError('--resume goes on with the data of its run: name no other');
  if (resume === undefined && data.length === 0) throw new UsageError('name the records to learn from: --data FILE…');
  if (resume === undefined && options.model === undefined)
    throw new UsageError('name the model to tune: --model NAME, a directory or a file');
  const out = options.out ?? resume ?? freeFolder(`${stem(options.model ?? '')}-${method}`);

  const bar = progress();
  const view = trainView(stderr, {
    name: out,
    isLive: !plain,
    maxTime,
    history: resume === undefined ? undefined : runEvents(resume),
  });
  let last: EndEvent | null = null;
  let isBegun = false;
  try {
    const tuning = await openTuning({
      ...options,
      ...(resume === undefined ? { data, out, method } : {}),
      ...(separator === undefined ? {} : { separator: String(separator).replaceAll('\\n', '\n') }),
      ...(reward === undefined ? {} : { rewards: reward }),
      fields,
      max_time: maxTime,
      command: process.argv.slice(2),
      signal: interruptSignal('SIGTERM'),
      onNotice: (text) => (isBegun ? view.note(text) : say(text)),
      onProgress: ({ label, done, total }) =>
        bar({ label, done, total, unit: label === 'records' ? 'read' : 'rows', finished: done === total }),
    });
    try {
      bar.stop();
      if (planOnly) return await (json ? writeJson(tuning.plan) : write(`${planLines(tuning.plan).join('\n')}\n`));
      if (resume === undefined && options.out === undefined) say(`the run goes to ${out} (--out names another folder)`);
      for (const line of tuning.plan.data) say(line);
      for await (const event of tuning.events()) {
        if (event.type === 'start') {
          bar.stop();
          isBegun = true;
        }
        view.event(event);
        if (event.type === 'end') last = event;
      }
    } finally {
      await tuning.close();
    }
  } finally {
    bar.stop();
    view.close();
  }
  if (json) await writeJson({ out, ...last });
  else if (last && existsSync(out)) say(whatNow(out, method));
  if (last?.reason === 'interrupted') process.exitCode = EXIT.interrupted;
  if (last?.reason === 'diverged') process.exitCode = EXIT.error;
}

function whatNow(out: string, method: TuneMethod): string {
  if (existsSync(join(out, 'head.json'))) return `the classifier is in ${out}: inkstone classify --model ${out} "…"`;
  const what = existsSync(join(out, 'adapter_config.json')) ? 'adapter' : 'model';
  return `the ${what}, tuned by ${method}, is in ${out}: inkstone generate --model ${out} "…"`;
}

/** What a run will be, for people. */
function planLines({ method, model, learning, frozen, steps, tokens_per_step, memory, ...rest }: TunePlan): string[] {
  const bytes = (x: number) => written(x, 'bytes');
  const parts = [
    ...(memory.frozen > 0 ? [`frozen weights ${bytes(memory.frozen)}`] : []),
    `what learns, with its optimiser, ${bytes(memory.learning)}`,
    `activations ${bytes(memory.activations)}`,
  ];
  return [
    `${method} of ${model}`,
    ...rest.data.map((line) => `  ${line}`),
    `  ${written(learning, 'count')} numbers learn${frozen > 0 ? `, ${written(frozen, 'count')} are frozen` : ''}`,
    `  ${written(steps, 'count')} steps of ${written(tokens_per_step, 'count')} tokens`,
    `  memory ${bytes(memory.total)}: ${parts.join(', ')}`,
    `  ${written(rest.flops_per_token, 'count')} floating-point operations a token`,
  ];
}

function stem(model: string): string {
  return basename(model)
    .replace(/\.(gguf|safetensors|bin)$/i, '')
    .replace(/[^\w.-]+/g, '-');
}

/** The first of runs/<name>, runs/<name>-2 … that is not there yet. */
function freeFolder(name: string): string {
  for (let i = 1; ; i++) {
    const folder = join('runs', i === 1 ? name : `${name}-${i}`);
    if (!existsSync(folder)) return folder;
  }
}
