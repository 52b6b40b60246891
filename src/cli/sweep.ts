/** `inkstone sweep`: settings compared with each other on the same prompts and seeds. */
import { existsSync } from 'node:fs';
import { basename } from 'node:path';
import { type Search, type SweepReport, sweep } from '../experiments/index.ts';
import type { Prompt } from '../generation/prompt.ts';
import { defaultModelFor, type OpenModel } from '../node/open_model.ts';
import { freeFolder, readReference, sweepFiles, writeSweep } from '../node/sweep_files.ts';
import { packageVersion } from '../node/version.ts';
import { interruptSignal } from './interrupt.ts';
import { type ModelFlags, openFromFlags } from './session.ts';
import { readAxes } from './sweep_axes.ts';
import { sweepSamples, sweepTable } from './sweep_table.ts';
import { progress, say, sayAside, write, writeJson } from './terminal.ts';
import { EXIT, Exit, UsageError } from './usage.ts';

/** New tokens when neither the flags nor the model say. */
const NEW_TOKENS = 128;

export interface SweepFlags extends ModelFlags {
  readonly prompt?: readonly string[];
  readonly chat?: boolean;
  readonly seeds?: number;
  readonly reference?: string;
  readonly search?: Search;
  readonly samples?: number;
  readonly objective?: string;
  readonly out?: string;
  readonly json?: boolean;
}

export async function sweepCommand(flags: SweepFlags): Promise<void> {
  const { prompt: texts = [], chat, seeds, search, samples, objective } = flags;
  if (texts.length === 0) throw new UsageError('the prompt is missing: give --prompt TEXT, once or several times');
  if (flags.out !== undefined && existsSync(sweepFiles(flags.out).json)) {
    throw new UsageError(`--out ${flags.out}: a sweep is there already: give another folder`);
  }
  const { vary, settings } = readAxes(flags);
  const { seed, ...fixed } = settings;
  const reference = flags.reference === undefined ? undefined : readReference(flags.reference);
  const prompts = texts.map((text): Prompt => (chat ? [{ role: 'user', content: text }] : text));
  const signal = interruptSignal();
  const model = await openFromFlags(flags, signal, chat ? undefined : defaultModelFor(texts));
  let report: SweepReport | undefined;
  try {
    const events = sweep({
      ...{ model, prompts, vary, settings: fixed, seeds, reference, search, samples, objective, signal },
      // What is no number is refused where all settings are.
      ...(seed === undefined || seed === null ? {} : { seed: seed as number }),
      fallbackNewTokens: NEW_TOKENS,
    });
    const show = progress();
    let label = 'answers';
    for await (const event of events) {
      if (event.type === 'start') sayAside(`${event.cells} cells, ${event.answers} answers`);
      else if (event.type === 'round') {
        label = `answers, round ${event.round} of ${event.rounds}`;
        say(`round ${event.round} of ${event.rounds}: ${event.cells} cells with ${event.seeds} seeds`);
      } else if (event.type === 'answer') {
        const { done, total } = event;
        show({ label, done, total, unit: 'answers', finished: done === total });
      } else if (event.type === 'done') report = event.report;
    }
    show.stop();
    await tell(model, report!, flags);
  } finally {
    await model.close();
  }
  if (!report?.is_complete) throw new Exit(EXIT.interrupted);
}

/** The files, the table, and where the files are. */
async function tell(model: OpenModel, report: SweepReport, flags: SweepFlags): Promise<void> {
  const { info } = model.engine.backend;
  const head = {
    model: basename(model.name),
    prompts: flags.prompt!,
    backend: `${info.name} (${info.variant}, ${info.threads} threads)`,
    precision: model.engine.precision,
    version: packageVersion(),
    date: new Date().toISOString(),
  };
  if (!report.is_complete) say('interrupted: what was finished follows');
  if (report.cells.length === 0) {
    say('nothing was finished');
    return;
  }
  const files = writeSweep(flags.out ?? freeFolder(head.model), head, report);
  if (flags.json) await writeJson({ ...head, ...report });
  else {
    const width = process.stdout.columns ? Math.min(process.stdout.columns, 160) : 80;
    for (const line of sweepTable(report, width)) await write(`${line}\n`);
    await write('\n');
    for (const line of sweepSamples(report, 12, width)) await write(`${line}\n`);
  }
  const isVague = report.cells.some(
    ({ measures: { mauve } }) => mauve && (mauve.count < 2 || mauve.high - mauve.low > 0.3),
  );
  if (isVague) sayAside('MAUVE* rests on little text here: more seeds or longer answers make it sharper');
  const level = Math.round(report.level * 100);
  sayAside(`± is half of the ${level} % interval over seeds; ${files.html}, ${files.json}`);
}
