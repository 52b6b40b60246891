/** `inkstone train`: text to a model, with the run in view. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { stderr } from 'node:process';
import type { CorpusSource } from '../node/corpus.ts';
import { runEvents } from '../node/run_folder.ts';
import { type TrainOptions, train } from '../node/train.ts';
import type { EndEvent } from '../training/events.ts';
import { parseField, presetField, resolvePreset } from '../training/presets.ts';
import { interruptSignal } from './interrupt.ts';
import { progress, say, writeJson } from './terminal.ts';
import { trainView } from './train_view.ts';
import { EXIT, UsageError } from './usage.ts';

export interface TrainFlags {
  readonly maxTime?: number;
  readonly format?: CorpusSource['format'];
  readonly text_field?: string;
  readonly separator?: string;
  readonly weights?: readonly number[];
  readonly json?: boolean;
  readonly plain?: boolean;
  /** Fields of the preset, as texts. */
  readonly [field: string]: unknown;
}

export async function trainCommand(data: readonly string[], flags: TrainFlags): Promise<void> {
  const { json, plain, maxTime, format, text_field, separator, weights, ...rest } = flags;
  const own = Object.entries(rest);
  const fields = Object.fromEntries(
    own
      .filter(([name, value]) => presetField(name) && value !== undefined)
      .map(([k, v]) => [k, parseField(k, String(v))]),
  );
  const options = Object.fromEntries(own.filter(([name]) => !presetField(name))) as Partial<TrainOptions>;
  const { resume } = options;
  if (resume !== undefined && data.length > 0)
    throw new UsageError('--resume goes on with the data of its run: name no other');
  if (resume === undefined && data.length === 0)
    throw new UsageError('name the text to learn from: files, folders or globs');
  if (weights && weights.length !== data.length)
    throw new UsageError(`--weights has ${weights.length} numbers for ${data.length} sources: give one to each`);
  const how = { format, text_field, separator: separator?.replaceAll('\\n', '\n') };
  const sources = data.map((path, i): CorpusSource => ({ path, ...how, weight: weights?.[i] }));
  const out = options.out ?? resume ?? freeFolder(options.model ?? 'nano');
  // What is wrong with the fields is said before any data is read.
  if (resume === undefined) resolvePreset(options.model ?? 'nano', fields);
  if (resume === undefined && options.out === undefined) say(`the run goes to ${out} (--out names another folder)`);

  const bar = progress();
  const view = trainView(stderr, {
    name: out,
    isLive: !plain,
    maxTime,
    history: resume === undefined ? undefined : runEvents(resume),
  });
  const signal = interruptSignal('SIGTERM');
  let last: EndEvent | null = null;
  try {
    const events = train({
      ...options,
      ...(resume === undefined ? { data: sources, out } : {}),
      fields,
      signal,
      max_time: maxTime,
      command: process.argv.slice(2),
      onNotice: (text) => view.note(text),
      onTokenizer({ stage, share, bytes }) {
        if (stage === 'read') bar({ label: 'tokenizer: read', done: bytes });
        else bar({ label: `tokenizer: ${stage}`, done: Math.round(100 * share), total: 100, unit: '%' });
      },
      onCorpus: ({ source, phase, done, total }) =>
        bar({ label: `${source}: ${phase}`, done, total, finished: done >= total }),
    });
    for await (const event of events) {
      if (event.type === 'start') bar.stop();
      view.event(event);
      if (event.type === 'end') last = event;
    }
  } finally {
    bar.stop();
    view.close();
  }
  if (json) await writeJson({ out, ...last });
  else if (last && existsSync(join(out, 'model.safetensors')))
    say(`the model is in ${out}: inkstone generate --model ${out} "…"`);
  if (last?.reason === 'interrupted') process.exitCode = EXIT.interrupted;
  if (last?.reason === 'diverged') process.exitCode = EXIT.error;
}

/** The first of runs/<model>, runs/<model>-2 … that is not there yet. */
function freeFolder(model: string): string {
  for (let i = 1; ; i++) {
    const folder = join('runs', i === 1 ? model : `${model}-${i}`);
    if (!existsSync(folder)) return folder;
  }
}
