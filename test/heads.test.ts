/** Task heads: gradients by finite differences, scores by brute force through the engine, packing, batches, and junk. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createReferenceBackend } from '../src/backends/reference/backend.ts';
import { evaluate } from '../src/backends/reference/evaluate.ts';
import { FileFormatError, SettingError } from '../src/errors.ts';
import { Engine } from '../src/generation/engine.ts';
import { type HeadShape, headKinds, headLogits, headSpec, sequencesOf } from '../src/models/heads.ts';
import type { ModelParameter } from '../src/models/index.ts';
import { compile, f, gradients, type Tensor } from '../src/tensor/index.ts';
import { tokenizerFromJson } from '../src/tokenizers/index.ts';
import type { TaskExample } from '../src/training/examples/index.ts';
import {
  fillHeadBatch,
  fitTaskExamples,
  frozenLearner,
  HeadBatches,
  HeadEvaluation,
  HeadScorer,
  headTask,
  initialHead,
  withNewRows,
} from '../src/training/heads/index.ts';
import { readHeadRecord } from '../src/training/heads/record.ts';
import { newTaskTokens, paddingFor, specialTaskTokens, withTaskTokens } from '../src/training/heads/tokens.ts';
import { wholeModel } from '../src/training/index.ts';
import { goldenJson, goldenModel } from './adapters_setup.ts';
import { compiled, reference } from './backends.ts';
import { uniformAt } from './op_data.ts';

const shapes: readonly HeadShape[] = headKinds.map((kind) => ({ kind, classes: 3 }));

/** Examples of a head: sequences of ids below `vocabulary`, of many lengths. */
function examplesOf(head: HeadShape, count: number, vocabulary: number, longest = 9): TaskExample[] {
  return Array.from({ length: count }, (_, e) => {
    // Multiple choice may have fewer choices than the head has room for.
    const sequences = head.kind === 'multiple_choice' ? 2 + (e % 2) : sequencesOf(head);
    const made = Array.from({ length: sequences }, (_, s) => {
      const at = 97 * e + 31 * s;
      const length = 2 + Math.floor(uniformAt(at, 1) * (longest - 1));
      return Int32Array.from({ length }, (_, i) => Math.floor(uniformAt(at, i + 2) * vocabulary));
    });
    return { sequences: made, label: e % sequences };
  });
}

describe.each(shapes)('$kind', (head) => {
  it.each([0, 0.5])('gradients are those of finite differences, lm_coef %d', (lm_coef) => {
    const { config } = goldenModel('llama', createReferenceBackend());
    const sizes = { head, batch_size: 6, block_size: 12 };
    const task = headTask(wholeModel(config), { ...sizes, lm_coef });
    const values = new Map<Tensor, ArrayLike<number>>();
    const parameters = task.specs.map(({ name, shape }, p) => {
      const tensor = f.parameter(name, 'f32', shape);
      const size = shape.reduce((a, b) => a * b, 1);
      const norm = shape.length === 1 ? 1 : 0;
      values.set(
        tensor,
        Float64Array.from({ length: size }, (_, i) => norm + 0.4 * (uniformAt(p + 1, i) - 0.5)),
      );
      return tensor;
    });
    const byName = new Map(task.specs.map(({ name }, i) => [name, parameters[i]]));
    const { loss } = task.objective((name) => byName.get(name), null, false);
    const examples = examplesOf(head, 2, config.vocab_size, 5);
    const data = task.inputs(fillHeadBatch(head, sizes, examples), 1 / examples.length);
    const seen = new Set<Tensor>();
    const visit = (tensor: Tensor) => {
      if (seen.has(tensor)) return;
      seen.add(tensor);
      if (tensor.origin.kind === 'input') values.set(tensor, data[tensor.origin.name]);
      for (const input of tensor.inputs) visit(input);
    };
    visit(loss);
    const grads = gradients(loss, parameters);
    const found = evaluate(grads, values);
    const lossAt = () => evaluate([loss], values).get(loss)![0];
    const checked = ['score.weight', 'embed.weight', 'layers.0.attention.q.weight', 'layers.1.mlp.down.weight'];
    for (const name of checked) {
      const at = task.specs.findIndex((spec) => spec.name === name);
      const numbers = values.get(parameters[at]) as Float64Array;
      const analytic = found.get(grads[at])!;
      // The greatest gradients: small ones are lost in rounding.
      const places = [...numbers.keys()].sort((a, b) => Math.abs(analytic[b]) - Math.abs(analytic[a])).slice(0, 3);
      for (const i of places) {
        const before = numbers[i];
        numbers[i] = before + 1e-5;
        const above = lossAt();
        numbers[i] = before - 1e-5;
        const below = lossAt();
        numbers[i] = before;
        const difference = (above - below) / 2e-5;
        expect(Math.abs(analytic[i] - difference), `${name}[${i}]`).toBeLessThan(1e-6 + 1e-5 * Math.abs(difference));
      }
    }
  });

  it.each([reference, compiled[0]])('scores are those of the engine, packed or alone, on $name', async ({ make }) => {
    const backend = make();
    const model = goldenModel('llama', backend);
    const { config } = model;
    const weight = initialHead(config, head, 3, 0.5);
    const score: ModelParameter = {
      dtype: 'f32',
      shape: headSpec(config, head).shape,
      buffer: backend.adopt(new Uint8Array(weight.buffer)),
    };
    const parameters = new Map([...model.parameters, ['score.weight', score] as const]);
    const scorer = new HeadScorer(backend, frozenLearner(config, parameters), parameters, {
      head,
      batch_size: 3,
      block_size: 20,
    });
    const examples = examplesOf(head, 9, config.vocab_size);
    const together = await scorer.scores(examples);
    const engine = new Engine(model, { precision: 'exact' });
    const C = config.n_embd;
    const stateOf = async (ids: Int32Array) => {
      const sequence = engine.sequence(ids);
      const [{ hidden }] = await engine.step([{ sequence, logits: 'none', hidden: 'last' }]);
      sequence.free();
      return hidden;
    };
    const row = (state: ArrayLike<number>, c: number) => {
      let sum = 0;
      for (let i = 0; i < C; i++) sum += state[i] * weight[c * C + i];
      return sum;
    };
    for (const [e, { sequences }] of examples.entries()) {
      const [alone] = await scorer.scores([examples[e]]);
      expect([...alone], `example ${e}`).toEqual([...together[e]]);
      const states = await Promise.all(sequences.map(stateOf));
      const truth =
        head.kind === 'multiple_choice'
          ? states.map((state) => row(state, 0))
          : [0, 1, 2].map((c) => states.reduce((sum, state) => sum + row(state, c), 0));
      expect(together[e].length).toBe(truth.length);
      truth.forEach((value, c) => {
        expect(Math.abs(together[e][c] - value)).toBeLessThan(1e-4);
      });
    }
    await backend.close();
  });
});

describe('the auxiliary likelihood', () => {
  const config = goldenModel('gpt2', createReferenceBackend()).config;
  const plan = (lm_coef: number) => {
    const head = { kind: 'classification', classes: 2 } as const;
    const task = headTask(wholeModel(config), { head, batch_size: 2, block_size: 8, lm_coef });
    const byName = new Map(task.specs.map(({ name, shape }) => [name, f.parameter(name, 'f32', shape)]));
    const { loss } = task.objective((name) => byName.get(name), null, false);
    return compile({ loss });
  };
  const hasWords = (lm_coef: number) =>
    plan(lm_coef).tensors.some(({ shape }) => shape.length === 3 && shape[2] === config.vocab_size);

  it('is not computed where it does not count', () => {
    expect(hasWords(0.5)).toBe(true);
    expect(hasWords(0)).toBe(false);
    expect(Object.keys(plan(0).inputs)).not.toContain('targets');
  });
});

describe('batches', () => {
  const head = { kind: 'similarity', classes: 2 } as const;
  const examples = examplesOf({ ...head, classes: 2 }, 23, 50);
  const options = { head, batch_size: 3, block_size: 16, seed: 5, gradient_accumulation_steps: 2 };

  it('hold every example once in an epoch, in an order of its own', () => {
    const stream = new HeadBatches(examples, options);
    const seen: string[] = [];
    for (let step = 0; seen.length < 2 * examples.length; step++)
      for (const micro of [0, 1]) {
        const { extracts, tokens, count, first_keys, block_size } = stream.batch(step, micro);
        for (let e = 0; e < count; e++) {
          const end = extracts[2 * e];
          const start = end - (end % block_size) + first_keys[end];
          seen.push(String(tokens.subarray(start, end + 1)));
        }
      }
    const wanted = examples.map(({ sequences }) => String(sequences[0])).sort();
    const epoch = (i: number) => seen.slice(i * 23, (i + 1) * 23);
    expect(epoch(0).toSorted()).toEqual(wanted);
    expect(epoch(1).toSorted()).toEqual(wanted);
    expect(epoch(0)).not.toEqual(epoch(1));
  });

  it('are a function of the step, and count epochs', () => {
    const stream = new HeadBatches(examples, options);
    const later = stream.batch(7, 1);
    expect(new HeadBatches(examples, options).batch(7, 1)).toEqual(later);
    const steps = stream.steps(3);
    expect(stream.epochs(steps)).toBeGreaterThanOrEqual(3);
    expect(stream.epochs(steps - 1)).toBeLessThan(3);
  });

  it('of an evaluation hold each example once, in order', () => {
    const set = new HeadEvaluation(examples, options);
    const labels = Array.from({ length: set.count }, (_, i) => set.batch(i)).flatMap((b) => [
      ...b.labels.subarray(0, b.count),
    ]);
    expect(labels).toEqual(examples.map(({ label }) => label));
  });

  it('positions and first keys tell sequences apart, padding too', () => {
    const { positions, first_keys, targets, tokens, block_size } = new HeadBatches(examples, options).batch(0);
    for (let i = 0; i < tokens.length; i++) {
      const column = i % block_size;
      expect(positions[i]).toBe(column - first_keys[i]);
      if (targets[i] >= 0) expect([targets[i], first_keys[i]]).toEqual([tokens[i + 1], first_keys[i + 1]]);
    }
  });

  it('cut what is too long after its first token', () => {
    const one = { kind: 'classification', classes: 2 } as const;
    const long = { sequences: [Int32Array.from({ length: 10 }, (_, i) => i)], label: 1 };
    const { examples: fitted, cut, longest } = fitTaskExamples(one, [long], { batch_size: 1, block_size: 4 });
    expect([cut, longest, [...fitted[0].sequences[0]]]).toEqual([1, 10, [0, 7, 8, 9]]);
  });

  it('refuse what is no example of the head', () => {
    const sizes = { batch_size: 2, block_size: 16 };
    const origin = { file: 'x.tsv', line: 7 };
    const [first] = examples;
    expect(() => fitTaskExamples(head, [{ ...first, label: 2, origin }], sizes)).toThrow(/x\.tsv:7.*label/s);
    expect(() => fitTaskExamples(head, [{ ...first, sequences: [first.sequences[0]] }], sizes)).toThrow(/1 sequences/);
    expect(() => fitTaskExamples(head, [], sizes)).toThrow(SettingError);
    expect(() => fitTaskExamples(head, examples, { batch_size: 1, block_size: 16, packing: false })).toThrow(
      /batch_size/,
    );
    expect(() => headSpec({ n_embd: 4 }, { kind: 'classification', classes: 1 })).toThrow(/classes/);
    const task = (own: object) => () =>
      headTask(wholeModel(goldenModel('gpt2', createReferenceBackend()).config), { head, ...sizes, ...own });
    expect(task({ lm_coef: -1 })).toThrow(/lm_coef/);
    expect(task({ head_dropout: 1 })).toThrow(/head_dropout/);
    expect(task({ block_size: 1e6 })).toThrow(/positions/);
  });
});

describe('what stands around texts', () => {
  const json = goldenJson('decoding/llama/tokenizer.json');
  const config = goldenJson('decoding/llama/config.json');
  const tokenizer = tokenizerFromJson(json, {
    config: { bos_token: undefined, eos_token: undefined },
  });

  it('is three new tokens, whose rows are small and normal', () => {
    const { tokens, vocab_size, rows } = newTaskTokens(tokenizer, config.vocab_size);
    expect(vocab_size).toBe(Math.max(config.vocab_size, tokenizer.vocabSize + 3));
    const grown = tokenizerFromJson(withTaskTokens(json, tokens));
    const names = [tokens.start, tokens.delimiter, tokens.extract].map((id) => grown.idToToken(id));
    expect(names).toEqual(['<|start|>', '<|delimiter|>', '<|extract|>']);
    expect(grown.encodeIds('<|extract|>', { add_special_tokens: false })).not.toContain(tokens.extract);
    expect(() => withTaskTokens(withTaskTokens(json, tokens), tokens)).toThrow(/new_tokens/);
    const decoder = goldenModel('llama', createReferenceBackend()).config;
    const table = Float32Array.from({ length: 5 * decoder.n_embd }, (_, i) => i);
    const wide = withNewRows(decoder, table, rows, 1);
    expect(wide.subarray(0, table.length)).toEqual(table);
    expect(wide.length).toBe(table.length + rows * decoder.n_embd);
  });

  it('is special tokens, where the vocabulary has an end', () => {
    const special = (ids: object, added: number[] = []) => ({
      special: ids,
      addedTokens: added.map((id) => ({ id, special: true })),
    });
    const of = (one: object) => specialTaskTokens(one as Parameters<typeof specialTaskTokens>[0]);
    expect(of(special({ bos: 1, eos: 2 }, [0, 1, 2, 3]))).toEqual({ start: 1, delimiter: 0, extract: 2 });
    expect(of(special({ eos: 9 }, [9]))).toEqual({ start: 9, delimiter: 9, extract: 9 });
    expect(() => of(special({}))).toThrow(/new_tokens/);
    expect(paddingFor({ start: 1, delimiter: 0, extract: 2 }, 2)).toBe(0);
    expect(paddingFor({ start: 0, delimiter: 0, extract: 0 }, undefined)).toBe(1);
  });
});

describe('head.json', () => {
  const record = {
    kind: 'classification',
    labels: ['bad', 'good'],
    tokens: { start: 1, delimiter: 0, extract: 2 },
    block_size: 64,
    base: 'a-model',
    learned: 'adapter',
  };

  it('is read as it was written', () => expect(readHeadRecord(JSON.parse(JSON.stringify(record)))).toEqual(record));

  it('is refused by the field that cannot be', () => {
    const wrong: [string, object][] = [
      ['kind', { kind: 'x' }],
      ['labels', { labels: ['a'] }],
      ['labels', { labels: ['a', 'a'] }],
      ['tokens.extract', { tokens: { start: 1, delimiter: 0 } }],
      ['block_size', { block_size: 1e300 }],
      ['learned', { learned: 'nothing' }],
      ['base', { base: null }],
    ];
    for (const [field, own] of wrong) {
      expect(() => readHeadRecord({ ...record, ...own })).toThrow(FileFormatError);
      expect(() => readHeadRecord({ ...record, ...own })).toThrow(field);
    }
  });

  it('is refused in one way, whatever it is', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.jsonValue(),
          fc.jsonValue().map((labels) => ({ ...record, labels })),
        ),
        (value) => {
          try {
            readHeadRecord(value);
          } catch (error) {
            expect(error).toBeInstanceOf(FileFormatError);
          }
        },
      ),
    );
  });
});

it('a head that nothing masks adds no choice', () => {
  const head = { kind: 'multiple_choice', classes: 2 } as const;
  const states = f.constant([1, 0, 0, 2], [1, 2, 2]);
  const logits = headLogits(head, f.constant([3, 5], [1, 2]), states, null);
  expect([...evaluate([logits], new Map()).get(logits)!]).toEqual([3, 10]);
});
