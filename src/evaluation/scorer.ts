/** A task made ready: from a document to its requests, and from their results to what it adds to each metric. */
import { FileFormatError } from '../errors.ts';
import { type MatchOptions, makeFilter, makeMatch } from './filters.ts';
import { choiceMeasures, rollingMeasures } from './metrics.ts';
import { placeOf, TaskTemplate } from './template.ts';
import type {
  Document,
  Generation,
  GenerationRequest,
  Likelihood,
  LikelihoodRequest,
  Measure,
  SampleRecord,
  TaskDefinition,
} from './types.ts';

/** What a document asks of a model. */
export type Query =
  | { readonly type: 'likelihood'; readonly requests: readonly LikelihoodRequest[] }
  | { readonly type: 'rolling'; readonly text: string }
  | { readonly type: 'generation'; readonly request: GenerationRequest };

export interface Item {
  readonly document: Document;
  readonly prompt: string;
  readonly target: string;
  readonly choices: readonly string[] | null;
  /** Place of the right choice; -1 where there are no choices. */
  readonly gold: number;
  readonly query: Query;
}

export type ItemResult = readonly Likelihood[] | Generation;

/** What becomes of an item, without its place. */
export type Scored = Omit<SampleRecord, 'index' | 'hash'>;

export class TaskScorer {
  private readonly question: TaskTemplate;
  private readonly target: TaskTemplate;
  private readonly choices: readonly TaskTemplate[];
  private readonly filters: readonly { readonly name: string; readonly run: (answers: readonly string[]) => string }[];
  private readonly matches: readonly {
    readonly metric: string;
    readonly isMatch: (answer: string, target: string) => boolean;
  }[];

  /** @throws ChatTemplateError, FileFormatError for templates and patterns that cannot be read. */
  constructor(readonly task: TaskDefinition) {
    const { name, doc_to_text, doc_to_target, doc_to_choice } = task;
    this.question = new TaskTemplate(doc_to_text, `${name}: doc_to_text`);
    this.target = new TaskTemplate(doc_to_target, `${name}: doc_to_target`);
    const list = Array.isArray(doc_to_choice) ? (doc_to_choice as readonly string[]) : [];
    this.choices = list.map((source, i) => new TaskTemplate(source, `${name}: doc_to_choice[${i}]`));
    this.filters = task.filters.map((spec) => ({ name: spec.name, run: makeFilter(spec, name) }));
    this.matches = task.metrics
      .filter(({ metric }) => metric === 'exact_match')
      .map(({ metric, ...options }) => ({ metric, isMatch: makeMatch(options as MatchOptions, name) }));
  }

  /** An exemplar: the question, the delimiter, the right answer. */
  exemplar(document: Document): string {
    const choices = this.choicesOf(document);
    const target = this.target.render(document);
    const answer = choices ? choices[placeOf(target, choices, this.task.name)] : target;
    return `${this.question.render(document)}${this.task.target_delimiter}${answer}`;
  }

  /** @param exemplars texts that stand before it. */
  item(document: Document, exemplars: readonly string[]): Item {
    const { task } = this;
    const target = this.target.render(document);
    if (task.output_type === 'loglikelihood_rolling') {
      const query: Query = { type: 'rolling', text: target };
      return { document, prompt: '', target, choices: null, gold: -1, query };
    }
    const question = this.question.render(document);
    const prompt = task.description + [...exemplars, question].join(task.fewshot.delimiter);
    const choices = this.choicesOf(document);
    if (task.output_type === 'generate_until') {
      const { until, max_new_tokens, settings } = task.generation;
      const request = { prompt, until, max_new_tokens, count: task.repeats, settings };
      return { document, prompt, target, choices: null, gold: -1, query: { type: 'generation', request } };
    }
    const continuations = (choices ?? [target]).map((text) => task.target_delimiter + text);
    const requests = continuations.map((continuation) => ({ context: prompt, continuation }));
    const gold = choices ? placeOf(target, choices, task.name) : -1;
    return { document, prompt, target, choices, gold, query: { type: 'likelihood', requests } };
  }

  /** @param isKept whether texts are kept beside the numbers. */
  score(item: Item, result: ItemResult, isKept: boolean): Scored {
    const kept = isKept ? { document: item.document, prompt: item.prompt, target: item.target } : {};
    if ('texts' in result) return { ...this.scoreAnswers(item, result, isKept), ...kept };
    const truncated = result.reduce((most, one) => Math.max(most, one.truncated), 0);
    return {
      metrics: this.wanted(this.likelihoodMeasures(item, result)),
      ...(truncated > 0 ? { truncated } : {}),
      logprobs: result.map(({ logprob }) => logprob),
      ...kept,
      ...(isKept && item.choices ? { choices: item.choices } : {}),
    };
  }

  private likelihoodMeasures(item: Item, result: readonly Likelihood[]): Record<string, Measure> {
    const [{ logprob, is_greedy }] = result;
    if (item.query.type === 'rolling') return rollingMeasures(logprob, item.query.text);
    if (!item.choices) return { acc: is_greedy ? 1 : 0, perplexity: -logprob };
    const sums = result.map((one) => one.logprob);
    return { ...choiceMeasures(sums, item.choices, item.gold) };
  }

  private scoreAnswers(item: Item, { texts, truncated }: Generation, isKept: boolean): Scored {
    const metrics: Record<string, Measure> = {};
    const filtered: Record<string, string> = {};
    for (const { name, run } of this.filters) {
      filtered[name] = run(texts);
      for (const { metric, isMatch } of this.matches) {
        metrics[name === 'none' ? metric : `${metric},${name}`] = isMatch(filtered[name], item.target) ? 1 : 0;
      }
    }
    return { metrics, ...(truncated > 0 ? { truncated } : {}), ...(isKept ? { answers: texts, filtered } : {}) };
  }

  private wanted(measures: Readonly<Record<string, Measure>>): Record<string, Measure> {
    return Object.fromEntries(this.task.metrics.map(({ metric }) => [metric, measures[metric]]));
  }

  private choicesOf(document: Document): readonly string[] | null {
    const { doc_to_choice, name } = this.task;
    if (doc_to_choice === null) return null;
    if (typeof doc_to_choice !== 'string') return this.choices.map((template) => template.render(document));
    const list = document[doc_to_choice];
    if (Array.isArray(list) && list.length > 0 && list.every((one) => typeof one === 'string')) return list;
    const problem = `the document's field "${doc_to_choice}" is no list of texts`;
    throw new FileFormatError(`${name}: doc_to_choice`, '', problem);
  }
}
