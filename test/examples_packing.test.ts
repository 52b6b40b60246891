/** Examples in windows: nothing lost, nothing doubled, nothing mixed, and nothing but the step decides. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { FileFormatError, SettingError } from '../src/errors.ts';
import { type Batch, IGNORED } from '../src/training/data/index.ts';
import {
  EvaluationExamples,
  type Example,
  fitExamples,
  inputLength,
  learnedTokens,
  PackedExamples,
} from '../src/training/examples/index.ts';
import { packFirstFit } from '../src/training/examples/packing.ts';

const runs = { numRuns: 60 };

/** Token i of example e is 1000 e + i, so that a token tells where it is from. */
function example(e: number, mask: readonly number[]): Example {
  return { ids: Int32Array.from(mask, (_, i) => 1000 * e + i), learn: Uint8Array.from(mask) };
}

/** Masks of 2 to `most` + 1 tokens with something learned. */
const masks = (most: number) =>
  fc.array(
    fc.array(fc.integer({ min: 0, max: 1 }), { minLength: 2, maxLength: most + 1 }).map((mask) => {
      const learn = [0, ...mask.slice(1)];
      return learn.includes(1) ? learn : [...learn.slice(0, -1), 1];
    }),
    { minLength: 1, maxLength: 40 },
  );

/** Checks each position of a batch and answers the learned tokens in it. */
function check(batch: Batch, examples: readonly Example[]): number[] {
  const { batch_size, block_size: T, tokens, targets } = batch;
  const [positions, documents] = [batch.positions!, batch.documents!];
  const learned: number[] = [];
  for (let row = 0; row < batch_size; row++) {
    for (let t = 0; t < T; t++) {
      const i = row * T + t;
      const starts = t === 0 || documents[i] !== documents[i - 1];
      expect(positions[i]).toBe(starts ? 0 : positions[i - 1] + 1);
      if (t > 0) expect(documents[i] - documents[i - 1]).toBe(starts ? 1 : 0);
      if (targets[i] === IGNORED) continue;
      const { ids, learn } = examples[Math.floor(tokens[i] / 1000)];
      const place = tokens[i] % 1000;
      expect(positions[i]).toBe(place);
      expect([ids[place + 1], learn[place + 1]]).toEqual([targets[i], 1]);
      // Everything that the prediction may see is what the example has before it.
      for (let back = 1; back <= place; back++) expect(tokens[i - back]).toBe(tokens[i] - back);
      learned.push(targets[i]);
    }
  }
  return learned;
}

const allLearned = (examples: readonly Example[]) =>
  examples.flatMap(({ ids, learn }) => [...ids].filter((_, i) => learn[i] === 1)).sort((a, b) => a - b);

describe('PackedExamples', () => {
  it('an epoch has every learned token once, with its own context alone', () => {
    fc.assert(
      fc.property(masks(12), fc.nat(1000), fc.boolean(), (all, seed, packing) => {
        const examples = all.map((mask, e) => example(e, mask));
        const options = { batch_size: 1, block_size: 12, seed, packing };
        const stream = new PackedExamples(examples, options);
        for (const epoch of [0, 1, 3]) {
          const from = epoch === 0 ? 0 : stream.steps(epoch);
          const to = stream.steps(epoch + 1);
          const learned = Array.from({ length: to - from }, (_, i) => check(stream.batch(from + i), examples)).flat();
          expect(learned.sort((a, b) => a - b)).toEqual(allLearned(examples));
        }
        expect(stream.statistics.learned_tokens).toBe(allLearned(examples).length);
        if (!packing) expect(stream.windowsPerEpoch).toBe(examples.length);
      }),
      runs,
    );
  });

  it('a step is the same however the run came to it, and however it is shared out', () => {
    fc.assert(
      fc.property(masks(9), fc.nat(1000), fc.nat(50), (all, seed, step) => {
        const examples = all.map((mask, e) => example(e, mask));
        const options = { batch_size: 3, block_size: 9, seed, gradient_accumulation_steps: 2 };
        const whole = new PackedExamples(examples, options);
        for (let s = 0; s < step; s++) whole.batch(s, s % 2);
        const resumed = new PackedExamples(examples, options);
        expect(resumed.batch(step, 1)).toEqual(whole.batch(step, 1));
        const single = new PackedExamples(examples, { ...options, batch_size: 1, gradient_accumulation_steps: 6 });
        for (let i = 0; i < 3; i++) {
          expect(single.batch(step, 3 + i).tokens).toEqual(whole.batch(step, 1).tokens.subarray(9 * i, 9 * i + 9));
        }
      }),
      runs,
    );
  });

  it('epochs differ, and so do seeds', () => {
    const examples = Array.from({ length: 50 }, (_, e) => example(e, [0, 1, 1, 1]));
    const order = (seed: number, epoch: number) => {
      const stream = new PackedExamples(examples, { batch_size: 1, block_size: 8, seed });
      const [from, to] = [epoch === 0 ? 0 : stream.steps(epoch), stream.steps(epoch + 1)];
      return Array.from({ length: to - from }, (_, i) => stream.batch(from + i).tokens[0]).join();
    };
    expect(new Set([order(0, 0), order(0, 1), order(1, 0), order(1, 1)]).size).toBe(4);
  });

  it('counts epochs', () => {
    const examples = Array.from({ length: 10 }, (_, e) => example(e, [0, 1, 1, 1]));
    const stream = new PackedExamples(examples, { batch_size: 2, block_size: 3, seed: 0, packing: true });
    expect(stream.windowsPerEpoch).toBe(10);
    expect([stream.steps(1), stream.steps(2.5), stream.epochs(0), stream.epochs(10), stream.epochs(11)]).toEqual([
      5, 13, 0, 2, 2.2,
    ]);
    expect(stream.statistics).toEqual({
      examples: 10,
      windows: 10,
      tokens: 30,
      learned_tokens: 30,
      padding: 0,
      longest: 3,
    });
    expect(() => stream.steps(0)).toThrow('epochs = 0: must be above 0');
  });

  it('packs 100,000 examples without waiting', () => {
    const kinds = Array.from({ length: 400 }, (_, i) => ({
      ids: new Int32Array(20 + i),
      learn: new Uint8Array(20 + i).fill(1, 10),
    }));
    const examples = Array.from({ length: 100_000 }, (_, e) => kinds[(e * 7919) % 400]);
    const began = performance.now();
    const stream = new PackedExamples(examples, { batch_size: 8, block_size: 1024, seed: 1 });
    expect(performance.now() - began).toBeLessThan(5000);
    expect(stream.statistics.padding).toBeLessThan(0.02);
  });

  it('refuses what it cannot serve', () => {
    const options = { batch_size: 1, block_size: 4, seed: 0 };
    expect(() => new PackedExamples([], options)).toThrow(SettingError);
    expect(() => new PackedExamples([example(0, [0, 0, 0, 0, 0, 1])], options)).toThrow('the 5 tokens of the longest');
    expect(() => new PackedExamples([example(0, [0, 1])], { ...options, batch_size: 0 })).toThrow('batch_size = 0');
    expect(() => new PackedExamples([example(0, [0, 1])], { ...options, seed: -1 })).toThrow('seed = -1');
    const masked = { ...example(0, [1, 0, 0]), origin: { file: 'pairs.jsonl', line: 7 } };
    expect(() => new PackedExamples([masked], options)).toThrow(FileFormatError);
    expect(() => new PackedExamples([masked], options)).toThrow('pairs.jsonl:7: labels all masked: none of its 3');
  });
});

describe('packFirstFit', () => {
  it('is first-fit, as found by trying every window', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 10 }), { minLength: 1, maxLength: 60 }), (lengths) => {
        const windows: number[][] = [];
        const room: number[] = [];
        for (const [i, length] of lengths.entries()) {
          let w = room.findIndex((left) => left >= length);
          if (w < 0) w = room.push(10) - 1;
          room[w] -= length;
          windows[w] = [...(windows[w] ?? []), i];
        }
        const packing = packFirstFit(lengths, [...lengths.keys()], 10);
        const found = Array.from({ length: packing.windows }, (_, w) => [
          ...packing.members.subarray(packing.starts[w], packing.starts[w + 1]),
        ]);
        expect(found).toEqual(windows);
      }),
      runs,
    );
  });
});

describe('EvaluationExamples', () => {
  it('has every learned token once, in batches of one shape', () => {
    fc.assert(
      fc.property(masks(12), fc.integer({ min: 1, max: 5 }), (all, batch_size) => {
        const examples = all.map((mask, e) => example(e, mask));
        const evaluation = new EvaluationExamples(examples, { batch_size, block_size: 12 });
        const learned = Array.from({ length: evaluation.count }, (_, i) => {
          const batch = evaluation.batch(i);
          expect(batch.tokens.length).toBe(batch_size * 12);
          return check(batch, examples);
        }).flat();
        expect(learned.sort((a, b) => a - b)).toEqual(allLearned(examples));
      }),
      runs,
    );
  });
});

describe('fitExamples', () => {
  const long = example(1, [0, 0, 0, 0, 0, 1, 1, 0]);
  const ids = ({ ids }: Example) => [...ids];

  it('leaves what fits as it is', () => {
    const { examples, cut, left_out, longest } = fitExamples([long], { block_size: 6 });
    expect(examples[0]).toBe(long);
    expect([cut, left_out, longest]).toEqual([0, 0, 6]);
  });

  it('cuts the beginning of a prompt, and keeps the token that begins the text', () => {
    const { examples, cut } = fitExamples([long], { block_size: 4 });
    expect(ids(examples[0])).toEqual([1002, 1003, 1004, 1005, 1006, 1007]);
    expect([inputLength(examples[0]), learnedTokens(examples[0]), cut]).toEqual([4, 2, 1]);
    const kept = fitExamples([long], { block_size: 4, bos: 1000 }).examples[0];
    expect(ids(kept)).toEqual([1000, 1003, 1004, 1005, 1006, 1007]);
    expect([...kept.learn]).toEqual([0, 0, 0, 1, 1, 0]);
  });

  it('leaves out what has no room for an answer after a token of the prompt', () => {
    const short = example(2, [0, 1]);
    expect(fitExamples([long, short], { block_size: 2 })).toMatchObject({ cut: 1, left_out: 0 });
    expect(fitExamples([long, short], { block_size: 1 })).toMatchObject({ examples: [short], cut: 0, left_out: 1 });
    expect(() => fitExamples([long], { block_size: 1 })).toThrow('none of the 1 examples fits: the longest has 6');
  });

  it('cuts the end, or refuses', () => {
    const right = fitExamples([long], { block_size: 5, truncation: 'right' });
    expect(ids(right.examples[0])).toEqual([1000, 1001, 1002, 1003, 1004, 1005]);
    expect(() => fitExamples([long], { block_size: 4, truncation: 'right' })).toThrow('none of the 1 examples');
    const named = { ...long, origin: { file: 'a.jsonl', line: 3 } };
    expect(() => fitExamples([named], { block_size: 4, truncation: 'refuse' })).toThrow('a.jsonl:3: it has 6 tokens');
    expect(() => fitExamples([long], { block_size: 4, truncation: 'left' as 'right' })).toThrow('truncation = "left"');
  });

  it('makes several of a text that is learned throughout, and loses none of its tokens', () => {
    fc.assert(
      fc.property(fc.integer({ min: 2, max: 60 }), fc.integer({ min: 1, max: 20 }), (length, block_size) => {
        const text = example(
          1,
          Array.from({ length }, (_, i) => (i === 0 ? 0 : 1)),
        );
        const { examples } = fitExamples([text], { block_size });
        for (const part of examples) expect(inputLength(part)).toBeLessThanOrEqual(block_size);
        expect(allLearned(examples)).toEqual(allLearned([text]));
      }),
      runs,
    );
  });
});
