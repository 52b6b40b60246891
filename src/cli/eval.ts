/** `inkstone eval`: a model scored on tasks. */
import { existsSync } from 'node:fs';
import { basename } from 'node:path';
import { SettingError } from '../errors.ts';
import { builtinNames } from '../evaluation/builtin.ts';
import { engineModel } from '../evaluation/engine_model.ts';
import { type EvaluationEvent, evaluate } from '../evaluation/evaluate.ts';
import { metricInfo } from '../evaluation/metrics.ts';
import { serverModel } from '../evaluation/server_model.ts';
import type { EvaluationResult, LanguageModel, Task, TaskGroup } from '../evaluation/types.ts';
import { openTask } from '../node/eval_data.ts';
import { evaluationFiles, readEvaluation, saveResult, writeEvaluation } from '../node/eval_files.ts';
import { packageVersion } from '../node/version.ts';
import { hasColour } from './charts/index.ts';
import { evalTable, shotCharts, shown } from './eval_table.ts';
import { interruptSignal } from './interrupt.ts';
import { type ModelFlags, openFromFlags } from './session.ts';
import { progress, say, sayAside, write, writeJson } from './terminal.ts';
import { EXIT, Exit, UsageError } from './usage.ts';

export interface EvalFlags extends ModelFlags {
  readonly tasks?: string;
  readonly data?: string;
  readonly dataset?: readonly string[];
  readonly shots?: readonly number[];
  readonly limit?: number;
  readonly seed?: number;
  readonly chat?: boolean;
  readonly baseUrl?: string;
  readonly apiModel?: string;
  readonly apiKeyEnv?: string;
  readonly apiPrefix?: string;
  readonly concurrency?: number;
  readonly samples?: boolean;
  readonly min?: readonly string[];
  readonly out?: string;
  readonly json?: boolean;
}

/** The exit code when a metric is below what --min asks for. */
const BELOW = 100;

export async function evalCommand(what: readonly string[], flags: EvalFlags): Promise<void> {
  if (what[0] === 'compare') return (await import('./eval_compare.ts')).compareCommand(what.slice(1), flags);
  const isSearch = what[0] === 'contamination';
  if (what.length > 0 && !isSearch) throw new UsageError(`"${what[0]}": there is nothing of this name to do`);
  if (flags.tasks === undefined) throw new UsageError('the tasks are missing: give --tasks lambada,blimp');
  if (flags.tasks === 'list') return write(`${builtinNames.join('\n')}\n`);
  const tasks = tasksOf(flags);
  if (isSearch) return (await import('./eval_contamination.ts')).contaminationCommand(what.slice(1), tasks, flags);
  const floors = (flags.min ?? []).map(floorOf);
  const signal = interruptSignal();
  // Data that is missing is told before a model is opened.
  for (const task of tasks.flatMap((one) => ('tasks' in one ? one.tasks : [one])))
    await task.documents(task.definition.dataset.split);
  const server = serverFromFlags(flags);
  if (server) return run(server, tasks, floors, signal, flags);
  const model = await openFromFlags(flags, signal);
  try {
    const name = basename(model.name);
    await run(engineModel(model, { name, chat: flags.chat }), tasks, floors, signal, flags);
  } finally {
    await model.close();
  }
}

/** The model behind --base-url, if there is one. */
function serverFromFlags(flags: EvalFlags): LanguageModel | undefined {
  const { baseUrl: url, apiModel, apiKeyEnv, apiPrefix: prefix, concurrency, chat } = flags;
  if (url === undefined) {
    const alone = { '--api-model': apiModel, '--api-key-env': apiKeyEnv, '--api-prefix': prefix };
    const [flag] = Object.entries(alone).find(([, value]) => value !== undefined) ?? [];
    if (flag) throw new UsageError(`${flag} goes with --base-url`);
    return undefined;
  }
  if (flags.model !== undefined) throw new UsageError('--model and --base-url name two models: give one');
  if (apiModel === undefined) throw new UsageError("--base-url needs --api-model NAME: the model's name there");
  const key = process.env[apiKeyEnv ?? 'OPENAI_API_KEY'];
  if (apiKeyEnv !== undefined && !key) throw new UsageError(`--api-key-env ${apiKeyEnv}: this variable is not set`);
  return serverModel({ url, model: apiModel, key, prefix, concurrency, chat });
}

async function run(
  model: LanguageModel,
  tasks: readonly (Task | TaskGroup)[],
  floors: readonly Floor[],
  signal: AbortSignal,
  flags: EvalFlags,
): Promise<void> {
  const { shots, limit, seed, out } = flags;
  const previous = out === undefined ? undefined : earlier(out, model, flags);
  const show = progress();
  const onEvent = (event: EvaluationEvent): void => {
    if (event.type !== 'sample') return;
    const { task, done, wanted } = event;
    const label = `${task}, ${event.shots} shots`;
    show({ label, done, total: wanted, unit: 'documents', finished: done === wanted });
  };
  const result = await evaluate({
    ...{ model, tasks, shots, limit, seed, previous, signal, onEvent },
    keepSamples: flags.samples,
    versions: { inkstone: packageVersion() },
    date: previous?.date,
    onPart: out === undefined ? undefined : (part) => saveResult(out, part),
  });
  show.stop();
  const files = out === undefined ? undefined : writeEvaluation(out, result);
  if (!result.is_complete) say('interrupted: what was finished follows');
  if (flags.json) await writeJson(result);
  else {
    const width = process.stdout.columns ? Math.min(process.stdout.columns, 120) : 80;
    const isColoured = hasColour(process.stdout, process.env);
    for (const line of [...evalTable(result, width), ...shotCharts(result, width, isColoured)])
      await write(`${line}\n`);
  }
  const truncated = result.tasks.reduce((sum, task) => sum + task.truncated, 0);
  if (truncated > 0) say(`${truncated} prompts were longer than the context and lost their beginning`);
  if (files) sayAside(`${files.html}, ${files.json}`);
  if (!result.is_complete) {
    if (out !== undefined) sayAside('the same command goes on from here');
    throw new Exit(EXIT.interrupted);
  }
  const missed = floors.flatMap((floor) => missOf(floor, result));
  for (const text of missed) say(text);
  if (missed.length > 0) throw new Exit(BELOW);
}

function tasksOf({ tasks, data, dataset = [], seed }: EvalFlags): (Task | TaskGroup)[] {
  const datasets = new Map<string, string[]>();
  for (const text of dataset) {
    const at = text.indexOf('=');
    if (at < 1) throw new UsageError(`--dataset ${text}: it has to be TASK=FILE`);
    datasets.set(text.slice(0, at), [...(datasets.get(text.slice(0, at)) ?? []), text.slice(at + 1)]);
  }
  const names = [...new Set(tasks!.split(',').map((name) => name.trim()))].filter(Boolean);
  if (names.length === 0) throw new UsageError('--tasks names none');
  const found = names.map((name) => openTask(name, { data, datasets, seed }));
  const known = found.flatMap((one) => ('tasks' in one ? one.tasks : [one])).map(({ definition }) => definition.name);
  for (const name of datasets.keys()) {
    if (!known.includes(name))
      throw new UsageError(`--dataset ${name}=…: the tasks are ${known.slice(0, 8).join(', ')}`);
  }
  return found;
}

/** The result that is at --out already, when it is of the same run. */
function earlier(out: string, model: LanguageModel, flags: EvalFlags): EvaluationResult | undefined {
  if (!existsSync(evaluationFiles(out).json)) return undefined;
  const before = readEvaluation(out);
  const wanted = { model: model.description, seed: flags.seed ?? 1234, limit: flags.limit ?? null };
  const there = { model: before.model, seed: before.seed, limit: before.limit };
  if (before.is_complete || JSON.stringify(wanted) !== JSON.stringify(there)) {
    const problem = before.is_complete
      ? 'a whole evaluation is there already'
      : 'an evaluation of another kind is there';
    throw new SettingError('out', out, `${problem}: give another path`);
  }
  sayAside('goes on with what is there');
  return before;
}

interface Floor {
  readonly name: string;
  readonly metric: string;
  readonly value: number;
}

function floorOf(text: string): Floor {
  const match = /^(.+)\.([^.=]+)=([-+.\deE]+)$/.exec(text);
  const value = Number(match?.[3]);
  if (!match || !Number.isFinite(value)) throw new UsageError(`--min ${text}: it has to be TASK.METRIC=VALUE`);
  if (!metricInfo(match[2])) throw new UsageError(`--min ${text}: there is no metric "${match[2]}"`);
  return { name: match[1], metric: match[2], value };
}

/** What is not met, of every number of exemplars; of metrics where less is better the value is the most. */
function missOf({ name, metric, value }: Floor, { tasks, groups }: EvaluationResult): string[] {
  const entries = [
    ...tasks.map((one) => ({ ...one, name: one.task })),
    ...groups.map((one) => ({ ...one, name: one.group })),
  ].filter((one) => one.name === name && one.metrics[metric]);
  if (entries.length === 0) return [`--min: ${name} has no ${metric} in this run`];
  const isHigher = metricInfo(metric)!.isHigher;
  return entries.flatMap(({ shots, metrics }) => {
    const found = metrics[metric].value;
    if (isHigher ? found >= value : found <= value) return [];
    return [`${name}.${metric} is ${shown(found)} with ${shots} shots, ${isHigher ? 'below' : 'above'} ${value}`];
  });
}
