/** Packed windows of examples: each learned token once an epoch, no example in sight of another, and all from the step's number. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { IGNORED } from '../src/training/data/index.ts';
import { EvaluationExamples, type Example, fitExamples, PackedExamples } from '../src/training/examples/index.ts';

const SIZE = 24;

/** Examples of tokens that say which example and which place they are: id = 100 * example + place. */
const examples = fc
  .array(
    fc.record({
      length: fc.integer({ min: 2, max: SIZE + 1 }),
      mask: fc.array(fc.boolean(), { minLength: SIZE, maxLength: SIZE }),
    }),
    { minLength: 1, maxLength: 40 },
  )
  .map((list) =>
    list.map(({ length, mask }, e): Example => {
      const ids = Int32Array.from({ length }, (_, i) => 100 * e + i);
      const learn = Uint8Array.from({ length }, (_, i) => (i > 0 && mask[i - 1] ? 1 : 0));
      if (!learn.includes(1)) learn[length - 1] = 1;
      return { ids, learn };
    }),
  );

const learnedOf = (all: readonly Example[]) =>
  all.flatMap(({ ids, learn }) => Array.from(ids).filter((_, i) => learn[i] === 1)).sort((a, b) => a - b);

type Window = ReturnType<PackedExamples['batch']>;

/** The targets of a batch, after every row was found to be whole examples that do not see each other. */
function targetsOf({ tokens, targets, positions, documents, batch_size, block_size }: Window): number[] {
  const found: number[] = [];
  for (let row = 0; row < batch_size; row++) {
    for (let t = 0; t < block_size; t++) {
      const at = row * block_size + t;
      const isFirst = t === 0 || documents![at] !== documents![at - 1];
      expect(positions![at]).toBe(isFirst ? 0 : positions![at - 1] + 1);
      if (targets[at] === IGNORED) continue;
      // The token that is read stands before the one that is predicted, in the same example, at its own place.
      expect(targets[at]).toBe(tokens[at] + 1);
      expect(tokens[at] % 100).toBe(positions![at]);
      found.push(targets[at]);
    }
  }
  return found;
}

describe('packed examples', () => {
  it('hold every learned token of an epoch once, whatever is packed', () => {
    fc.assert(
      fc.property(examples, fc.boolean(), fc.integer({ min: 1, max: 5 }), fc.nat(1000), (all, packing, rows, seed) => {
        const packed = new PackedExamples(all, { batch_size: rows, block_size: SIZE, seed, packing });
        const windows = packed.statistics.windows;
        const seen: number[] = [];
        for (let window = 0; window < windows; window++) {
          const step = Math.floor(window / rows);
          seen.push(...targetsOf(packed.samples(step, window % rows, 1)));
        }
        expect(seen.sort((a, b) => a - b)).toEqual(learnedOf(all));
        expect(packed.statistics.learned_tokens).toBe(seen.length);
      }),
      { numRuns: 60 },
    );
  });

  it('of a step are the same however one came there', () => {
    fc.assert(
      fc.property(examples, fc.nat(1000), fc.integer({ min: 0, max: 60 }), (all, seed, step) => {
        const options = { batch_size: 3, block_size: SIZE, seed, gradient_accumulation_steps: 2 };
        const whole = new PackedExamples(all, options);
        for (let s = 0; s < step; s++) whole.batch(s, 0);
        expect(new PackedExamples(all, options).batch(step, 1)).toEqual(whole.batch(step, 1));
      }),
      { numRuns: 30 },
    );
  });

  it('are evaluated once each', () => {
    fc.assert(
      fc.property(examples, fc.integer({ min: 1, max: 4 }), (all, batch_size) => {
        const set = new EvaluationExamples(all, { batch_size, block_size: SIZE });
        const seen = Array.from({ length: set.count }, (_, i) => targetsOf(set.batch(i))).flat();
        expect(seen.sort((a, b) => a - b)).toEqual(learnedOf(all));
      }),
      { numRuns: 40 },
    );
  });

  it('take few windows more than they must, a hundred thousand within seconds', () => {
    const many = Array.from({ length: 100_000 }, (_, e): Example => {
      const length = 2 + ((e * 7919) % 60);
      return { ids: new Int32Array(length).fill(e % 50), learn: new Uint8Array(length).fill(1, 1) };
    });
    const start = performance.now();
    const { statistics } = new PackedExamples(many, { batch_size: 8, block_size: 128, seed: 1 });
    expect(performance.now() - start).toBeLessThan(5000);
    expect(statistics.padding).toBeLessThan(0.02);
  });
});

describe('what is too long', () => {
  const long = (prompt: number, answer: number): Example => ({
    ids: Int32Array.from({ length: prompt + answer }, (_, i) => i),
    learn: Uint8Array.from({ length: prompt + answer }, (_, i) => (i >= prompt ? 1 : 0)),
  });

  it('loses the beginning of its prompt, its end, or is refused, as was asked', () => {
    const [cut] = fitExamples([long(30, 10)], { block_size: 20, truncation: 'prompt' }).examples;
    expect(Array.from(cut.ids)).toEqual(Array.from({ length: 21 }, (_, i) => 19 + i));
    expect(cut.learn.reduce((a, b) => a + b, 0)).toBe(10);
    const right = fitExamples([long(10, 30)], { block_size: 20, truncation: 'right' });
    expect([right.cut, right.examples[0].ids.length]).toEqual([1, 21]);
    expect(() => fitExamples([long(30, 10)], { block_size: 20, truncation: 'refuse' })).toThrow(/block_size|tokens/);
    expect(fitExamples([long(5, 30), long(2, 3)], { block_size: 20 })).toMatchObject({ left_out: 1 });
    expect(() => fitExamples([{ ...long(3, 3), learn: new Uint8Array(6) }], { block_size: 20 })).toThrow(/masked/);
  });
});
