/** Tasks: their files, prompts with exemplars, filters, metrics with intervals, and runs that go on. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { builtinNames, builtinTask } from '../src/evaluation/builtin.ts';
import { engineModel } from '../src/evaluation/engine_model.ts';
import { type EvaluateOptions, evaluate } from '../src/evaluation/evaluate.ts';
import { FewshotSampler, hashesOf } from '../src/evaluation/fewshot.ts';
import { makeFilter, makeMatch } from '../src/evaluation/filters.ts';
import { choiceMeasures, estimate, metricInfo, rollingMeasures } from '../src/evaluation/metrics.ts';
import { TaskScorer } from '../src/evaluation/scorer.ts';
import { parseTask } from '../src/evaluation/task_file.ts';
import type { Document, LanguageModel, Likelihood, LikelihoodRequest, Task } from '../src/evaluation/types.ts';
import { InterruptedError } from '../src/index.ts';
import { goldenModel, logProbabilities } from './decoding_model.ts';

const animals: Document[] = ['cat', 'dog', 'cow', 'hen', 'ant', 'bee', 'owl', 'emu'].map((word, i) => {
  return { word, legs: ['six', 'four', 'two'][i % 3], n: i };
});
const legs = {
  name: 'legs',
  output_type: 'multiple_choice',
  dataset: 'legs.jsonl',
  description: 'Count.\n\n',
  doc_to_text: 'How many legs has a {{ word }}?\nAnswer:',
  doc_to_target: '{{ legs }}',
  doc_to_choice: ['two', 'four', 'six'],
  metrics: ['acc', 'acc_norm'],
};
const taskOf = (json: object, documents: readonly Document[] = animals): Task => {
  return { definition: parseTask(json, 'legs.json'), documents: async () => documents };
};

describe('task files', () => {
  it('refuse keys that are not there, with the file, the place and the nearest key', () => {
    const problem = (change: object) => {
      try {
        parseTask({ ...legs, ...change }, 'legs.json');
      } catch (error) {
        return (error as Error).message;
      }
      return '';
    };
    expect(problem({ doc_to_txt: 'x' })).toBe(
      'legs.json: doc_to_txt: there is no key "doc_to_txt". Did you mean "doc_to_text"?',
    );
    expect(problem({ metrics: ['acc_byts'] })).toContain('Did you mean "acc_bytes"?');
    expect(problem({ metrics: ['exact_match'] })).toContain('multiple_choice has no metric "exact_match"');
    expect(problem({ output_type: 'choice' })).toContain('legs.json: output_type: it has to be one of');
    expect(problem({ doc_to_choice: undefined })).toContain('doc_to_choice: it is missing');
    expect(problem({ dataset: { splits: { test: 'a' }, spit: 'test' } })).toContain('Did you mean "split"?');
    expect(problem({ fewshot_split: 'train' })).toContain('no split "train"');
    expect(problem({ filters: [{ name: 'x', steps: ['regx'] }] })).toContain('filters[0].steps[0]');
  });

  it('of junk is refused with an error of ours', () => {
    const values = fc.oneof(fc.jsonValue(), fc.constantFrom('acc', 'test', 'multiple_choice', ['a'], { test: 'a' }));
    fc.assert(
      fc.property(fc.constantFrom(...Object.keys(legs), 'filters', 'generation', 'repeats'), values, (key, value) => {
        try {
          parseTask({ ...legs, [key]: value }, 'legs.json');
        } catch (error) {
          expect((error as Error).message).toMatch(/^legs\.json: /);
        }
      }),
    );
  });

  it('of all built-in names are read by the same rules', () => {
    for (const name of builtinNames) expect(builtinTask(name)).toBeTruthy();
    expect((builtinTask('blimp') as readonly unknown[]).length).toBe(67);
    expect(() => builtinTask('lamdaba')).toThrow('lambada');
  });

  it('name the field that a document has not', () => {
    const { definition } = taskOf({ ...legs, doc_to_text: 'A {{ wrd }}' });
    expect(() => new TaskScorer(definition).item(animals[0], [])).toThrow('no field "wrd". Did you mean word?');
  });
});

describe('prompts', () => {
  const { definition } = taskOf(legs);
  const scorer = new TaskScorer(definition);
  const exemplar = (word: string, count: string) => `How many legs has a ${word}?\nAnswer: ${count}`;

  it('are description, exemplars and question, and every choice is a continuation', () => {
    const { prompt, query, gold } = scorer.item(animals[0], [exemplar('dog', 'four'), exemplar('cow', 'two')]);
    expect(prompt).toBe(
      `Count.\n\n${exemplar('dog', 'four')}\n\n${exemplar('cow', 'two')}\n\nHow many legs has a cat?\nAnswer:`,
    );
    expect(query).toEqual({
      type: 'likelihood',
      requests: [' two', ' four', ' six'].map((continuation) => ({ context: prompt, continuation })),
    });
    expect(gold).toBe(2);
  });

  it('have exemplars that are never the document, the same for a seed, fewer a part of more', () => {
    const twice = [...animals, animals[3]];
    const hashes = hashesOf(twice);
    const sampler = (seed: number, most: number, kind: 'random' | 'first' = 'random') => {
      const spec = { ...definition.fewshot, sampler: kind };
      return new FewshotSampler(spec, { documents: twice, hashes }, most, seed, 'legs', (one) => String(one.word));
    };
    const words = (seed: number, shots: number, i: number) =>
      sampler(seed, shots)
        .for(hashes[i], shots)
        .map(({ text }) => text);
    fc.assert(
      fc.property(fc.nat(50), fc.integer({ min: 0, max: 6 }), fc.nat(8), (seed, shots, i) => {
        const drawn = words(seed, shots, i);
        expect(drawn.length).toBe(shots);
        expect(new Set(drawn).size).toBe(shots);
        expect(drawn).not.toContain(twice[i].word);
        expect(words(seed, shots, i)).toEqual(drawn);
        expect(words(seed, shots + 1, i).slice(0, shots)).toEqual(drawn);
      }),
    );
    expect(new Set(Array.from({ length: 20 }, (_, seed) => words(seed, 4, 0).join())).size).toBeGreaterThan(10);
    expect(
      sampler(1, 2, 'first')
        .for(hashes[1], 2)
        .map(({ text }) => text),
    ).toEqual(['cat', 'cow']);
    expect(() => sampler(1, 9)).toThrow('8 different documents');
    expect(() => sampler(1, 8).for(hashes[0], 8)).toThrow('one more document');
  });
});

describe('filters', () => {
  const run = (steps: object[], answers: string[]) => makeFilter({ name: 'x', steps } as never, 'task')(answers);
  it('take what a group matched, the last of several, or say that nothing did', () => {
    const flexible = { function: 'regex', pattern: '(-?[$0-9.,]{2,})|(-?[0-9]+)', group_select: -1 };
    expect(run([flexible], ['it is 12 and then 3 or 1,200'])).toBe('1,200');
    expect(run([{ function: 'regex', pattern: '#### (-?[0-9.,]+)' }], ['so\n#### 18\n#### 19'])).toBe('18');
    expect(run([flexible], ['none'])).toBe('[invalid]');
    expect(() => run([{ function: 'regex', pattern: '(' }], [])).toThrow('task: filters: x: pattern');
  });
  it('vote, strip and lower', () => {
    expect(run([{ function: 'majority_vote' }], ['a', 'b', 'b'])).toBe('b');
    expect(run([{ function: 'majority_vote' }], ['a', 'b'])).toBe('a');
    expect(run([{ function: 'strip' }, { function: 'lowercase' }, { function: 'take_first' }], [' A\n', 'B'])).toBe(
      'a',
    );
  });
  it('match as exact_match of the harness does', () => {
    const isMatch = makeMatch({ ignore_case: true, regexes_to_ignore: [',', '\\$', '.*#### ', '\\.$'] }, 'gsm8k');
    expect(isMatch('$1,200.', 'first\nthen\n#### 1200')).toBe(true);
    expect(isMatch('1201', '#### 1200')).toBe(false);
  });
});

describe('metrics', () => {
  it('divide by characters and by bytes', () => {
    // Sums -6, -7, -8 over 1, 2 and 4 characters of 1, 6 and 4 bytes.
    const at = (gold: number) => choiceMeasures([-6, -7, -8], ['a', '丁丁', 'abcd'], gold);
    expect([0, 1, 2].map((gold) => at(gold).acc)).toEqual([1, 0, 0]);
    expect([0, 1, 2].map((gold) => at(gold).acc_norm)).toEqual([0, 0, 1]);
    expect([0, 1, 2].map((gold) => at(gold).acc_bytes)).toEqual([0, 1, 0]);
  });

  it('of texts weigh by their words and bytes', () => {
    const texts = ['one two three', '丁 b'];
    const sums = [-12, -5];
    const total = (metric: string) => {
      const measures = texts.map((text, i) => rollingMeasures(sums[i], text)[metric]);
      return estimate(measures, metricInfo(metric)!, { resamples: 10, level: 0.95, seed: 1, name: 'x' }).result.value;
    };
    expect(total('word_perplexity')).toBeCloseTo(Math.exp(17 / 5), 12);
    expect(total('byte_perplexity')).toBeCloseTo(Math.exp(17 / 18), 12);
    expect(total('bits_per_byte')).toBeCloseTo(17 / 18 / Math.LN2, 12);
  });

  it('have intervals as wide as the theory of proportions says', () => {
    const measures = Array.from({ length: 400 }, (_, i) => (i % 4 === 0 ? 1 : 0));
    const options = { resamples: 4000, level: 0.95, seed: 3, name: 'x' };
    const { result } = estimate(measures, metricInfo('acc')!, options);
    const deviation = Math.sqrt((0.25 * 0.75) / 400);
    expect(result.value).toBe(0.25);
    expect(result.stderr / deviation).toBeCloseTo(1, 1);
    expect(Math.abs(result.low - (0.25 - 1.96 * deviation))).toBeLessThan(0.006);
    expect(Math.abs(result.high - (0.25 + 1.96 * deviation))).toBeLessThan(0.006);
    expect(estimate(measures, metricInfo('acc')!, options).result).toEqual(result);
  });
});

/** A model that finds a choice the likelier the nearer its first letter is to that of the word asked about. */
class Letters implements LanguageModel {
  readonly description = { name: 'letters', kind: 'engine' } as const;
  asked: LikelihoodRequest[] = [];
  constructor(private readonly most = Number.POSITIVE_INFINITY) {}
  async loglikelihood(
    requests: readonly LikelihoodRequest[],
    { onResult }: { onResult?: (i: number, one: Likelihood) => void } = {},
  ) {
    return requests.map((request, i) => {
      if (this.asked.length >= this.most) throw new InterruptedError();
      this.asked.push(request);
      const [, word] = /a (\w+)\?\nAnswer:$/.exec(request.context)!;
      const logprob = -Math.abs(word.charCodeAt(0) - request.continuation.charCodeAt(1)) - 1;
      const one = { logprob, is_greedy: false, tokens: 1, truncated: 0 };
      onResult?.(i, one);
      return one;
    });
  }
  async loglikelihoodRolling(): Promise<never> {
    throw new Error('not asked');
  }
  async generateUntil(): Promise<never> {
    throw new Error('not asked');
  }
}

describe('runs', () => {
  const options = (model: LanguageModel, more: Partial<EvaluateOptions> = {}) => {
    return evaluate({ model, tasks: [taskOf(legs)], resamples: 50, date: 'now', ...more });
  };
  const withoutTime = (value: unknown) =>
    JSON.parse(JSON.stringify(value, (key, one) => (key === 'seconds' ? 0 : one)));

  it('score each document, and the same whatever was interrupted before', async () => {
    const whole = await options(new Letters(), { shots: [0, 2] });
    const [zero] = whole.tasks;
    const gold = ['two', 'four', 'six'];
    const expected = animals.map(({ word, legs: right }) => {
      const sums = gold.map((choice) => Math.abs(String(word).charCodeAt(0) - choice.charCodeAt(0)));
      return gold[sums.indexOf(Math.min(...sums))] === right ? 1 : 0;
    });
    expect(zero.samples.map(({ metrics }) => metrics.acc)).toEqual(expected);
    expect(zero.metrics.acc.value).toBe(expected.reduce<number>((a, b) => a + b, 0) / 8);
    expect(whole.tasks.map(({ shots }) => shots)).toEqual([0, 2]);
    const cut = await options(new Letters(10), { shots: [0, 2] });
    expect(cut.is_complete).toBe(false);
    expect(cut.tasks[0].samples.length).toBe(3);
    const rest = new Letters();
    const resumed = await options(rest, { shots: [0, 2], previous: JSON.parse(JSON.stringify(cut)) });
    expect(rest.asked.length).toBe(2 * 24 - 9);
    expect(withoutTime(resumed)).toEqual(withoutTime(whole));
  });

  it('of a group give the mean over its tasks', async () => {
    const tasks = [0, 1, 2].map((i) => taskOf({ ...legs, name: `legs_${i}` }, animals.slice(i, i + 3 + i)));
    const { groups, tasks: results } = await options(new Letters(), { tasks: [{ name: 'all', tasks }], limit: 4 });
    expect(results.map(({ samples }) => samples.length)).toEqual([3, 4, 4]);
    const mean = results.reduce((sum, { metrics }) => sum + metrics.acc.value, 0) / 3;
    expect(groups[0]).toMatchObject({ group: 'all', tasks: 3, shots: 0, is_complete: true });
    expect(groups[0].metrics.acc.value).toBeCloseTo(mean, 12);
  });

  it('of a text longer than the context score each token once', async () => {
    const model = goldenModel('llama', { context: 16 });
    const whole = goldenModel('llama');
    const text = 'the cat sat on the mat and looked at the dog that sat on the other mat for a while';
    const definition = {
      name: 'text',
      output_type: 'loglikelihood_rolling',
      dataset: 'x.txt',
    };
    const bos = { ...model, generationConfig: { bos_token_id: 1 } };
    const { tasks } = await evaluate({
      model: engineModel(bos, { name: 'llama' }),
      tasks: [taskOf(definition, [{ text }])],
    });
    const ids = [1, ...whole.tokenizer!.encodeIds(text, { add_special_tokens: false })];
    expect(ids.length).toBeGreaterThan(17);
    const V = whole.engine.model.config.vocab_size;
    // Windows end after 16, 32 … predicted tokens and at the end; each reads the 16 tokens before its last.
    let sum = 0;
    for (let i = 1; i < ids.length; i++) {
      const end = Math.min(Math.ceil(i / 16) * 16, ids.length - 1);
      const start = Math.max(0, end - 16);
      const logits = await whole.engine.logits(ids.slice(start, i), { last: true });
      sum += logProbabilities(logits.subarray(0, V))[ids[i]];
    }
    expect(tasks[0].metrics.bits_per_byte.value).toBeCloseTo(-sum / Math.LN2 / text.length, 4);
  });
});
