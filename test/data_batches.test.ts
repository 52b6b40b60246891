/** Windows of tokens: what is in them, that each comes when it should, and that nothing but the step decides. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { SettingError, ShapeError } from '../src/errors.ts';
import {
  type Batch,
  type BatchOptions,
  BatchStream,
  ConcatTokens,
  documentAt,
  EvaluationBatches,
  IGNORED,
  MemoryTokens,
  SliceTokens,
  type TokenSource,
} from '../src/training/data/index.ts';
import { Permutation } from '../src/training/data/permutation.ts';

const runs = { numRuns: 60 };

/** Documents of given lengths; token i of the row is i + 1000. */
function documents(lengths: readonly number[], first = 1000): MemoryTokens {
  const starts: number[] = [];
  let total = 0;
  for (const length of lengths) {
    starts.push(total);
    total += length;
  }
  return new MemoryTokens(
    Int32Array.from({ length: total }, (_, i) => first + i),
    starts,
  );
}

const all = (source: TokenSource): number[] => {
  const tokens = new Int32Array(source.length);
  source.read(0, tokens);
  return [...tokens];
};
const startsOf = (source: TokenSource) => Array.from({ length: source.documents }, (_, i) => source.documentStart(i));
const lengths = fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 12 });

describe('a permutation', () => {
  it('is a bijection for any size, seed and epoch', () => {
    const numbers = fc.tuple(fc.integer({ min: 1, max: 700 }), fc.maxSafeNat(), fc.nat(), fc.nat());
    fc.assert(
      fc.property(numbers, ([size, seed, stream, epoch]) => {
        const permutation = new Permutation(size, seed, stream, epoch);
        const places = Array.from({ length: size }, (_, i) => permutation.at(i));
        expect(places.toSorted((a, b) => a - b)).toEqual(Array.from({ length: size }, (_, i) => i));
      }),
      runs,
    );
  });

  it('is a bijection of a large power of two and of its neighbours', () => {
    for (const size of [65_535, 65_536, 65_537]) {
      const permutation = new Permutation(size, 1, 2, 3);
      expect(new Set(Array.from({ length: size }, (_, i) => permutation.at(i))).size).toBe(size);
    }
  });

  it('stays inside of sizes beyond 32 bits', () => {
    const size = 2 ** 45 + 12_345;
    const permutation = new Permutation(size, 7, 0, 0);
    const places = Array.from({ length: 1000 }, (_, i) => permutation.at(size - 1 - i));
    expect(new Set(places).size).toBe(1000);
    for (const place of places) expect(place >= 0 && place < size && Number.isSafeInteger(place)).toBe(true);
  });

  it('shuffles: places are spread evenly, and neighbours do not stay together', () => {
    const size = 10_000;
    for (const seed of [0, 1, 2 ** 40]) {
      const permutation = new Permutation(size, seed, 0, 0);
      const places = Array.from({ length: size }, (_, i) => permutation.at(i));
      // Of 100 cells of 100 x 100, each holds 100 in the mean; the chi-square of 99 degrees of freedom is below 160
      // with a probability of 0.9999.
      const cells = new Float64Array(100);
      for (let i = 0; i < size; i++) cells[Math.floor(i / 1000) * 10 + Math.floor(places[i] / 1000)]++;
      expect(cells.reduce((sum, n) => sum + (n - 100) ** 2 / 100, 0)).toBeLessThan(160);
      const neighbours = places.slice(1).filter((place, i) => Math.abs(place - places[i]) === 1).length;
      expect(neighbours).toBeLessThan(15);
    }
  });

  it('differs by seed, stream and epoch', () => {
    const orders = [
      [1, 0, 0],
      [2, 0, 0],
      [1, 1, 0],
      [1, 0, 1],
      [1 + 2 ** 33, 0, 0],
    ].map(([seed, stream, epoch]) => {
      const permutation = new Permutation(1000, seed, stream, epoch);
      return Array.from({ length: 20 }, (_, i) => permutation.at(i)).join();
    });
    expect(new Set(orders).size).toBe(orders.length);
  });
});

describe('token sources', () => {
  it('slices and rows of sources are slices and concatenations of arrays, with the documents where they start', () => {
    fc.assert(
      fc.property(fc.array(lengths, { minLength: 1, maxLength: 4 }), fc.nat(), fc.nat(), (rows, a, b) => {
        const sources = rows.map((row, i) => documents(row, i * 1000));
        const whole = new ConcatTokens([new MemoryTokens(new Int32Array(0)), ...sources]);
        const tokens = sources.flatMap(all);
        expect(all(whole)).toEqual(tokens);
        const starts: number[] = [];
        let at = 0;
        for (const length of rows.flat()) {
          starts.push(at);
          at += length;
        }
        expect(startsOf(whole)).toEqual(starts);
        const [from, to] = [a % (tokens.length + 1), b % (tokens.length + 1)].sort((x, y) => x - y);
        const slice = new SliceTokens(whole, from, to);
        expect(all(slice)).toEqual(tokens.slice(from, to));
        const inside = starts.filter((start) => start > from && start < to).map((start) => start - from);
        expect(startsOf(slice)).toEqual(from < to ? [0, ...inside] : []);
        for (let i = 0; i < slice.length; i++) {
          expect(documentAt(slice, i)).toBe([0, ...inside].findLastIndex((start) => start <= i));
        }
      }),
      runs,
    );
  });

  it('refuse what lies outside', () => {
    const source = documents([5]);
    for (const [position, count] of [
      [-1, 1],
      [0, 6],
      [5, 1],
      [0.5, 1],
    ]) {
      expect(() => source.read(position, new Int32Array(count))).toThrow(ShapeError);
    }
    expect(() => new SliceTokens(source, 2, 7)).toThrow(ShapeError);
  });
});

const rowOf = (batch: Batch, row: number, field: 'tokens' | 'targets' | 'positions' | 'documents') => [
  ...batch[field]!.subarray(row * batch.block_size, (row + 1) * batch.block_size),
];

describe('a batch', () => {
  it('is windows of the row of tokens and what follows each', () => {
    fc.assert(
      fc.property(
        lengths,
        fc.integer({ min: 1, max: 8 }),
        fc.nat(),
        fc.constantFrom('random', 'epoch'),
        (row, T, seed, order) => {
          const source = documents(row);
          fc.pre(source.length > T);
          const stream = new BatchStream([{ source, weight: 1 }], {
            batch_size: 3,
            block_size: T,
            seed,
            order: order as 'random',
          });
          const batch = stream.batch(seed % 1000);
          expect(batch.positions).toBeUndefined();
          for (let b = 0; b < 3; b++) {
            const { position } = stream.window(seed % 1000, b);
            expect(rowOf(batch, b, 'tokens')).toEqual(all(source).slice(position, position + T));
            expect(rowOf(batch, b, 'targets')).toEqual(all(source).slice(position + 1, position + 1 + T));
          }
        },
      ),
      runs,
    );
  });

  it('without attention across documents: each has its number and its places, and predicts nothing of the next', () => {
    fc.assert(
      fc.property(lengths, fc.integer({ min: 1, max: 12 }), fc.nat(), (row, T, seed) => {
        const source = documents(row);
        fc.pre(source.length > T);
        const stream = new BatchStream([{ source, weight: 1 }], {
          batch_size: 2,
          block_size: T,
          seed,
          cross_document_attention: false,
        });
        const batch = stream.batch(5);
        const owner = row.flatMap((length, document) => Array<number>(length).fill(document));
        for (let b = 0; b < 2; b++) {
          const { position } = stream.window(5, b);
          const owners = owner.slice(position, position + T + 1);
          expect(rowOf(batch, b, 'documents')).toEqual(owners.slice(0, T).map((document) => document - owners[0]));
          expect(rowOf(batch, b, 'positions')).toEqual(owners.slice(0, T).map((own, i) => i - owners.indexOf(own)));
          const targets = owners
            .slice(0, T)
            .map((own, i) => (own === owners[i + 1] ? 1000 + position + i + 1 : IGNORED));
          expect(rowOf(batch, b, 'targets')).toEqual(targets);
          expect(rowOf(batch, b, 'tokens')).toEqual(all(source).slice(position, position + T));
        }
      }),
      { numRuns: 200 },
    );
  });
});

describe('a stream of batches', () => {
  const options: BatchOptions = { batch_size: 4, block_size: 5, seed: 11 };
  const sources = [
    { source: documents([400], 0), weight: 3 },
    { source: documents([100, 33], 10_000), weight: 1 },
  ];

  it.each(['random', 'epoch'] as const)(
    '%s: the same (seed, step) is the same batch whatever was asked before',
    (order) => {
      const steps = fc.array(fc.nat({ max: 100_000 }), { minLength: 1, maxLength: 20 });
      const used = new BatchStream(sources, { ...options, order });
      fc.assert(
        fc.property(steps, (steps) => {
          for (const step of steps) {
            expect(used.batch(step)).toEqual(new BatchStream(sources, { ...options, order }).batch(step));
          }
        }),
        runs,
      );
    },
  );

  it.each(['random', 'epoch'] as const)('%s: however a step is shared out, its samples are the same', (order) => {
    const whole = new BatchStream(sources, { ...options, batch_size: 8, order });
    const parts = new BatchStream(sources, { ...options, batch_size: 2, gradient_accumulation_steps: 4, order });
    for (const step of [0, 1, 77]) {
      const micro = [0, 1, 2, 3].flatMap((i) => [...parts.batch(step, i).tokens]);
      expect(micro).toEqual([...whole.batch(step).tokens]);
      expect([...whole.samples(step, 3, 2).tokens]).toEqual(micro.slice(15, 25));
    }
  });

  it('random: starts anywhere from the first token to the last window, all equally often', () => {
    const source = documents([15]);
    const stream = new BatchStream([{ source, weight: 1 }], options);
    const counts = new Array<number>(10).fill(0);
    for (let step = 0; step < 5000; step++) {
      for (let b = 0; b < 4; b++) counts[stream.window(step, b).position]++;
    }
    // 9 degrees of freedom: above 33.7 with a probability of 0.0001; the seed is fixed.
    expect(counts.reduce((sum, n) => sum + (n - 2000) ** 2 / 2000, 0)).toBeLessThan(33.7);
  });

  it('random: sources are drawn by their weights', () => {
    const stream = new BatchStream(sources, options);
    let second = 0;
    for (let step = 0; step < 5000; step++) for (let b = 0; b < 4; b++) second += stream.window(step, b).source;
    // 20,000 draws of 1/4: the standard deviation is 61.
    expect(Math.abs(second - 5000)).toBeLessThan(245);
  });

  it('epoch: each block once, then all again in another order', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 6, max: 300 }),
        fc.nat(),
        fc.integer({ min: 1, max: 5 }),
        (length, seed, batch_size) => {
          const stream = new BatchStream([{ source: documents([length]), weight: 1 }], {
            ...options,
            batch_size,
            seed,
            order: 'epoch',
          });
          const blocks = Math.floor((length - 1) / 5);
          const drawn = Array.from(
            { length: blocks * 3 },
            (_, i) => stream.window(Math.floor(i / batch_size), i % batch_size).position,
          );
          const expected = Array.from({ length: blocks }, (_, i) => i * 5);
          const epochs = [0, 1, 2].map((epoch) => drawn.slice(epoch * blocks, (epoch + 1) * blocks));
          for (const epoch of epochs) expect(epoch.toSorted((a, b) => a - b)).toEqual(expected);
          if (blocks > 12) expect(epochs[0]).not.toEqual(epochs[1]);
        },
      ),
      runs,
    );
  });

  it('epoch: sources by weight, each of them block after block through its own epochs', () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 1, max: 1000 }), { minLength: 2, maxLength: 5 }),
        fc.nat(),
        (weights, seed) => {
          const sources = weights.map((weight, i) => ({ source: documents([50 + 300 * i]), weight }));
          const stream = new BatchStream(sources, { ...options, seed, order: 'epoch' });
          const drawn: number[][] = weights.map(() => []);
          const samples = 3 * 4096;
          for (let i = 0; i < samples; i++) {
            const { source, position } = stream.window(Math.floor(i / 4), i % 4);
            drawn[source].push(position / 5);
          }
          const total = weights.reduce((sum, weight) => sum + weight, 0);
          for (const [i, { source }] of sources.entries()) {
            expect(Math.abs(drawn[i].length - (samples * weights[i]) / total)).toBeLessThanOrEqual(1);
            const blocks = Math.floor((source.length - 1) / 5);
            for (let at = 0; at < drawn[i].length; at += blocks) {
              const epoch = drawn[i].slice(at, at + blocks);
              expect(new Set(epoch).size).toBe(epoch.length);
            }
          }
        },
      ),
      { numRuns: 10 },
    );
  });

  it('says how often each source has been gone through', () => {
    const stream = new BatchStream(sources, { ...options, order: 'epoch' });
    expect(stream.epochs(1000)).toEqual([3000 / 79, 1000 / 26]);
  });

  it('refuses what the data cannot serve', () => {
    const source = documents([5]);
    expect(() => new BatchStream([{ source, weight: 1, name: 'a.txt' }], options)).toThrow(
      /block_size = 5: needs 6 tokens of training data in a\.txt, but there are 5/,
    );
    for (const change of [{ batch_size: 0 }, { block_size: 1.5 }, { seed: -1 }, { order: 'sorted' as 'random' }]) {
      expect(() => new BatchStream(sources, { ...options, ...change })).toThrow(SettingError);
    }
    expect(() => new BatchStream([{ source: documents([99]), weight: -1 }], options)).toThrow(SettingError);
    expect(() => new BatchStream([{ source: documents([99]), weight: 0 }], options)).toThrow(SettingError);
    expect(() => new BatchStream([], options)).toThrow(SettingError);
    const rare = [
      { source: documents([99]), weight: 1 },
      { source: documents([99]), weight: 1e-4 },
    ];
    expect(() => new BatchStream(rare, { ...options, order: 'epoch' })).toThrow(/at least 1\/4096/);
  });

  it('a source of weight 0 may be too short, and is never drawn', () => {
    const mixed = [
      { source: documents([2]), weight: 0 },
      { source: documents([50], 0), weight: 1 },
    ];
    for (const order of ['random', 'epoch'] as const) {
      const stream = new BatchStream(mixed, { ...options, order });
      for (let step = 0; step < 300; step++) expect(stream.window(step, 0).source).toBe(1);
    }
  });

  // Computed by a program in Python, written from the descriptions of Philox, the permutation and the mixture.
  it('pinned: these windows must not change, or a resumed run would read other data', () => {
    const random = new BatchStream(sources, options);
    const epoch = new BatchStream(sources, { ...options, order: 'epoch' });
    const windows = (stream: BatchStream) =>
      [0, 1, 123_456].flatMap((step) => [0, 3].map((b) => Object.values(stream.window(step, b)).join('@')));
    expect(windows(random)).toEqual(['0@117', '1@108', '0@349', '0@184', '0@116', '0@323']);
    expect(windows(epoch)).toEqual(['0@45', '0@300', '0@240', '1@50', '0@205', '0@90']);
  });
});

describe('evaluation', () => {
  const read = (batches: EvaluationBatches) => Array.from({ length: batches.count }, (_, i) => batches.batch(i));

  it('all windows: each token but the first is predicted once, in batches of one shape', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 2, max: 99 }),
        fc.integer({ min: 1, max: 9 }),
        fc.integer({ min: 1, max: 5 }),
        (n, T, B) => {
          const source = documents([n]);
          const batches = read(new EvaluationBatches(source, { batch_size: B, block_size: T }));
          const targets = batches.flatMap((batch) => [...batch.targets]).filter((target) => target !== IGNORED);
          expect(targets).toEqual(all(source).slice(1));
          for (const { tokens } of batches) expect(tokens.length).toBe(B * T);
        },
      ),
      runs,
    );
  });

  it('some windows: evenly spaced, whole, and never twice', () => {
    fc.assert(
      fc.property(fc.integer({ min: 6, max: 500 }), fc.integer({ min: 1, max: 40 }), (n, windows) => {
        const source = documents([n]);
        const evaluation = new EvaluationBatches(source, { batch_size: 3, block_size: 5, windows });
        const blocks = Math.floor((n - 1) / 5);
        expect(evaluation.windows).toBe(Math.min(windows, blocks));
        const firsts = read(evaluation)
          .flatMap((batch) => [0, 1, 2].map((row) => rowOf(batch, row, 'targets')))
          .filter((targets) => targets[0] !== IGNORED);
        expect(firsts.length).toBe(evaluation.windows);
        for (const targets of firsts) expect(targets).not.toContain(IGNORED);
        const starts = firsts.map(([first]) => (first - 1001) / 5);
        expect(starts).toEqual(starts.map((_, i) => Math.floor((i * blocks) / evaluation.windows)));
        expect(read(evaluation)).toEqual(read(evaluation));
      }),
      runs,
    );
  });

  it('a source shorter than a window is one window with the rest ignored', () => {
    const batch = new EvaluationBatches(documents([3]), { batch_size: 1, block_size: 6, windows: 9 }).batch(0);
    expect([...batch.tokens]).toEqual([1000, 1001, 1002, 0, 0, 0]);
    expect([...batch.targets]).toEqual([1001, 1002, IGNORED, IGNORED, IGNORED, IGNORED]);
    expect(() => new EvaluationBatches(documents([1]), { batch_size: 1, block_size: 6 })).toThrow(SettingError);
  });
});
