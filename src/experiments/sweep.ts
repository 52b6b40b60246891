/**
 * A comparison of settings: every cell of a grid, or of a search, answers the same prompts with the same seeds, so that cells differ by
 * their settings and not by luck (common random numbers), and is measured.
 */
import { CapacityError, InterruptedError, SettingError } from '../errors.ts';
import type { GenerationModel } from '../generation/generate.ts';
import { encodePrompt, type Prompt } from '../generation/prompt.ts';
import { resolveSettings } from '../generation/settings.ts';
import type { GenerationSettings } from '../generation/types.ts';
import { type Answered, type Request, runAll } from './answers.ts';
import { measureCell, type Reference, referenceOf, type SweepAnswer, type SweepCell } from './cell.ts';
import { type MeasureName, measureNames, measureTable, measureUnits } from './measures.ts';
import { scoreText } from './score.ts';
import { type Axes, type CellSettings, cellsOf, halvingRounds, type Search } from './space.ts';
import { unitsOf } from './units.ts';

export interface SweepOptions {
  readonly model: GenerationModel;
  readonly prompts: Prompt | readonly Prompt[];
  /** What is tried of each setting: lists, or ranges where the search draws. */
  readonly vary?: Axes;
  /** Settings that all cells share. Cells sample unless do_sample says otherwise. */
  readonly settings?: CellSettings;
  /** Answers to each prompt in each cell; 8 unless given. Cells without sampling have one. */
  readonly seeds?: number;
  /** The first of the seeds, which follow each other; 0 unless given. Searches and intervals use it too. */
  readonly seed?: number;
  /** A text to compare with: turns mauve on. */
  readonly reference?: string;
  /** `grid` unless given. */
  readonly search?: Search;
  /** Cells that are drawn; 16 unless given. */
  readonly samples?: number;
  /** What successive halving goes by, and what cells are sorted by: a measure, or `-` and a measure for the contrary. */
  readonly objective?: string;
  /** Of confidence intervals; 0.95 unless given. */
  readonly level?: number;
  readonly signal?: AbortSignal;
  /** New tokens where neither the settings nor the model say; 20 unless given. */
  readonly fallbackNewTokens?: number;
}

export interface SweepReport {
  readonly search: Search;
  readonly seeds: readonly number[];
  readonly level: number;
  /** The measure that cells are sorted by, and whether more of it is better; null for the order of the grid. */
  readonly objective: { readonly name: MeasureName; readonly isMore: boolean } | null;
  /** Settings that differ between cells. */
  readonly varied: readonly string[];
  readonly settings: CellSettings;
  readonly has_reference: boolean;
  /** False when it was interrupted: cells that have no answer are missing then. */
  readonly is_complete: boolean;
  /** Best first where there is an objective. */
  readonly cells: readonly SweepCell[];
}

export type SweepEvent =
  | { readonly type: 'start'; readonly cells: number; readonly answers: number }
  /** An answer was written and measured; `total` is how many there will be, as far as is known. */
  | { readonly type: 'answer'; readonly cell: number; readonly done: number; readonly total: number }
  /** A cell has all its answers of this round. */
  | { readonly type: 'cell'; readonly cell: SweepCell }
  | {
      readonly type: 'round';
      readonly round: number;
      readonly rounds: number;
      readonly cells: number;
      readonly seeds: number;
    }
  | { readonly type: 'done'; readonly report: SweepReport };

/** What a cell has so far. */
interface Entry {
  readonly index: number;
  readonly settings: CellSettings;
  readonly resolved: readonly GenerationSettings[];
  readonly answers: SweepAnswer[];
  eliminated: number | null;
}

const MOST_SEEDS = 4096;

/**
 * Run a sweep. The last event is `done`, also when the signal is raised: its report then has what was finished.
 * @throws SettingError, before anything runs, for settings that a cell cannot have, CapacityError for a prompt that is too long.
 */
export async function* sweep(options: SweepOptions): AsyncGenerator<SweepEvent, void, void> {
  const { model, vary = {}, settings = {}, seeds = 8, seed = 0, search = 'grid', samples = 16, level = 0.95 } = options;
  checkCount('seeds', seeds, MOST_SEEDS);
  checkCount('samples', samples, 10_000);
  if (!Number.isSafeInteger(seed) || seed < 0)
    throw new SettingError('seed', seed, 'has to be a whole number, 0 or more');
  if (!(level > 0 && level < 1)) throw new SettingError('level', level, 'has to be between 0 and 1');
  if (!['grid', 'random', 'halving'].includes(search)) {
    throw new SettingError('search', search, 'has to be grid, random or halving');
  }
  const objective = objectiveOf(options);
  const prompts = promptsOf(model, options.prompts);
  const reference = referenceFrom(options.reference);
  const fixed = { ...('do_sample' in vary ? {} : { do_sample: true }), ...settings };
  const entries = cellsOf(vary, fixed, search, samples, seed).map((cell, index): Entry => {
    const resolved = prompts.map((ids) => resolve(model, cell, ids, options.fallbackNewTokens));
    return { index, settings: cell, resolved, answers: [], eliminated: null };
  });
  const rounds = search === 'halving' ? halvingRounds(entries.length, seeds) : [{ cells: entries.length, seeds }];
  const measure = (entry: Entry): SweepCell => finish(entry, reference, { level, seed });

  // Cells without sampling answer once, in the first round.
  const planned = (from: number): number =>
    rounds.slice(from).reduce((sum, round, i) => {
      const before = from + i === 0 ? 0 : rounds[from + i - 1].seeds;
      return sum + round.cells * (round.seeds - before) * prompts.length;
    }, 0);
  const inRound = (r: number, cells: readonly Entry[]): Request[] =>
    cells.flatMap((entry) => requestsOf(entry, prompts, seed, rounds[r - 1]?.seeds ?? 0, rounds[r].seeds));
  let total = inRound(0, entries).length + planned(1);
  yield { type: 'start', cells: entries.length, answers: total };
  let done = 0;
  let isComplete = true;
  let alive = entries;
  for (const [r, round] of rounds.entries()) {
    if (r > 0) {
      const ranked = sorted(alive.map(measure), objective).map(({ index }) => entries[index]);
      for (const entry of ranked.slice(round.cells)) entry.eliminated = r;
      alive = entries.filter((entry) => ranked.indexOf(entry) >= 0 && entry.eliminated === null);
    }
    if (rounds.length > 1) yield { type: 'round', round: r + 1, rounds: rounds.length, ...round };
    const requests = inRound(r, alive);
    total = done + requests.length + planned(r + 1);
    const left = new Map<number, number>();
    for (const { cell } of requests) left.set(cell, (left.get(cell) ?? 0) + 1);
    const record = async ({ request, result }: Answered): Promise<SweepEvent[]> => {
      const entry = entries[request.cell];
      const own = entry.resolved[request.prompt];
      const score = await scoreText(model.engine, prompts[request.prompt], result.ids, own, model.adapter);
      entry.answers.push({
        prompt: request.prompt,
        seed: request.seed,
        text: result.text,
        ids: result.ids,
        finish_reason: result.finish_reason,
        measures: { ...measureUnits(unitsOf(result.text)), ...score, length: withoutEnd(result.ids, own).length },
      });
      const remaining = left.get(entry.index)! - 1;
      left.set(entry.index, remaining);
      const events: SweepEvent[] = [{ type: 'answer', cell: entry.index, done: ++done, total }];
      return remaining > 0 ? events : [...events, { type: 'cell', cell: measure(entry) }];
    };
    const late: Answered[] = [];
    try {
      for await (const answered of runAll(model, requests, options)) {
        try {
          yield* await record(answered);
        } catch (error) {
          // The cache is full of answers that are being written: this one is scored after them.
          if (!(error instanceof CapacityError)) throw error;
          late.push(answered);
        }
      }
      for (const answered of late) yield* await record(answered);
    } catch (error) {
      if (!(error instanceof InterruptedError)) throw error;
      isComplete = false;
      break;
    }
  }
  const cells = entries.filter(({ answers }) => answers.length > 0).map(measure);
  yield {
    type: 'done',
    report: {
      search,
      seeds: Array.from({ length: seeds }, (_, i) => seed + i),
      level,
      objective,
      varied: Object.keys(vary),
      settings: fixed,
      has_reference: reference !== null,
      is_complete: isComplete,
      cells: sorted(cells, objective),
    },
  };
}

/** Run a sweep to its end. */
export async function sweepAll(options: SweepOptions): Promise<SweepReport> {
  for await (const event of sweep(options)) if (event.type === 'done') return event.report;
  throw new InterruptedError();
}

function checkCount(name: string, value: number, most: number): void {
  if (!Number.isInteger(value) || value < 1 || value > most) {
    throw new SettingError(name, value, `has to be a whole number, 1 or more and at most ${most}`);
  }
}

function objectiveOf({ objective, search, reference }: SweepOptions): SweepReport['objective'] {
  if (objective === undefined) {
    if (reference !== undefined) return { name: 'mauve', isMore: true };
    if (search === 'halving') {
      throw new SettingError(
        'objective',
        'none',
        `is needed for halving without a reference: ${measureNames.join(', ')}`,
      );
    }
    return null;
  }
  const name = objective.replace(/^-/, '');
  const spec = measureTable.find((each) => each.name === name);
  if (!spec) throw new SettingError('objective', objective, `has to be one of ${measureNames.join(', ')}`);
  if (name === 'mauve' && reference === undefined) {
    throw new SettingError('objective', objective, 'needs a reference text');
  }
  return { name: spec.name, isMore: spec.isMore !== objective.startsWith('-') };
}

/** The best first; cells of which the measure says nothing last. */
function sorted(cells: readonly SweepCell[], objective: SweepReport['objective']): SweepCell[] {
  if (!objective) return [...cells];
  const { name, isMore } = objective;
  const value = ({ measures }: SweepCell): number => {
    const mean = measures[name]?.value;
    return mean === undefined ? Number.NEGATIVE_INFINITY : isMore ? mean : -mean;
  };
  // Those that went early have fewer answers behind their numbers: they stand behind those that stayed.
  const stage = ({ eliminated }: SweepCell): number => eliminated ?? Number.POSITIVE_INFINITY;
  const compare = (a: number, b: number): number => (a === b ? 0 : a > b ? -1 : 1);
  return [...cells].sort((a, b) => compare(stage(a), stage(b)) || compare(value(a), value(b)) || a.index - b.index);
}

function promptsOf(model: GenerationModel, prompts: Prompt | readonly Prompt[]): number[][] {
  const [first] = prompts;
  const isOne =
    typeof prompts === 'string' ||
    typeof first === 'number' ||
    (typeof first === 'object' && first !== null && 'role' in first);
  const list = (isOne ? [prompts] : prompts) as readonly Prompt[];
  if (list.length === 0) throw new SettingError('prompts', prompts, 'has no prompt');
  return list.map((prompt) => encodePrompt(model, prompt));
}

function referenceFrom(text: string | undefined): Reference | null {
  if (text === undefined) return null;
  const reference = referenceOf(text);
  if (reference.length < 2) {
    throw new SettingError('reference', 'a text', 'is too short: it needs 64 words or characters at least');
  }
  return reference;
}

function resolve(
  model: GenerationModel,
  cell: CellSettings,
  ids: readonly number[],
  fallback = 20,
): GenerationSettings {
  const shape = {
    n_positions: model.engine.context,
    vocab_size: model.engine.model.config.vocab_size,
    eos_token_id: model.tokenizer?.special.eos,
  };
  return resolveSettings(cell, model.generationConfig, shape, ids.length, fallback).settings;
}

/** What a cell still has to write: seeds from `first` to before `end`. Without sampling every seed gives the same: one is enough. */
function requestsOf(entry: Entry, prompts: readonly number[][], seed: number, first: number, end: number): Request[] {
  return prompts.flatMap((ids, prompt) => {
    const most = entry.resolved[prompt].do_sample ? end : Math.min(1, end);
    return Array.from({ length: Math.max(0, most - first) }, (_, i): Request => {
      const own = seed + first + i;
      return { cell: entry.index, prompt, seed: own, ids, settings: { ...entry.settings, seed: own } };
    });
  });
}

function withoutEnd(ids: readonly number[], { eos_token_id }: GenerationSettings): readonly number[] {
  return eos_token_id.includes(ids[ids.length - 1]) ? ids.slice(0, -1) : ids;
}

function finish(entry: Entry, reference: Reference | null, options: { level: number; seed: number }): SweepCell {
  const answers = [...entry.answers].sort((a, b) => a.prompt - b.prompt || a.seed - b.seed);
  return {
    index: entry.index,
    settings: entry.settings,
    answers,
    measures: measureCell(answers, reference, options),
    eliminated: entry.eliminated,
  };
}
