/** Two runs beside each other: exact tests by counting coin tosses, Holm by hand, verdicts; contamination by looking everywhere. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { compareRuns, holm, mcnemar } from '../src/evaluation/compare.ts';
import { ContaminationSearch, contaminationWords } from '../src/evaluation/contamination.ts';
import type { EvaluationResult, Measure } from '../src/evaluation/types.ts';

const result = (metric: string, measures: readonly Measure[]) =>
  ({
    level: 0.95,
    groups: [],
    tasks: [
      {
        ...{ task: 't', version: 1, shots: 0, group: null, metrics: { [metric]: {} } },
        samples: measures.map((measure, index) => ({ index, hash: `h${index}`, metrics: { [metric]: measure } })),
      },
    ],
  }) as unknown as EvaluationResult;

describe('paired tests', () => {
  it("McNemar's counts the tosses of a fair coin", () => {
    for (let n = 0; n <= 12; n++) {
      for (let first = 0; first <= n; first++) {
        let extreme = 0;
        for (let tosses = 0; tosses < 2 ** n; tosses++) {
          const heads = [...tosses.toString(2)].filter((bit) => bit === '1').length;
          if (Math.abs(heads - n / 2) >= Math.abs(first - n / 2)) extreme++;
        }
        expect(mcnemar(first, n - first)).toBeCloseTo(extreme / 2 ** n, 12);
      }
    }
    expect(mcnemar(30_000, 30_000)).toBe(1);
  });

  it("Holm's correction steps down", () => {
    expect(holm([0.01, 0.04, 0.03])).toEqual([0.03, 0.06, 0.06]);
    expect(holm([0.5, 0.9])).toEqual([1, 1]);
    expect(holm([])).toEqual([]);
  });

  it('tell runs apart only where the documents do', () => {
    const shares = Array.from({ length: 200 }, (_, i) => (i % 2 === 0 ? 1 : 0));
    const better = shares.map((one, i) => (i < 30 ? 1 : one));
    const [row] = compareRuns(result('acc', shares), result('acc', better));
    expect(row).toMatchObject({ first: 0.5, second: 0.575, count: 200, only: [0, 15], verdict: 'second is better' });
    expect(row.p).toBeCloseTo(2 / 2 ** 15, 12);
    const [same] = compareRuns(result('acc', shares), result('acc', shares));
    expect(same).toMatchObject({ difference: 0, p: 1, verdict: 'cannot be told apart' });
    const [few] = compareRuns(result('acc', [1, 0, 1, 0]), result('acc', [1, 1, 1, 0]));
    expect(few.verdict).toBe('cannot be told apart');
  });

  it('know that less perplexity is better, and weigh texts', () => {
    const bits = (shift: number) => Array.from({ length: 40 }, (_, i): Measure => [(i % 7) + shift, 10 + (i % 3)]);
    const [row] = compareRuns(result('bits_per_byte', bits(1)), result('bits_per_byte', bits(0.5)));
    expect(row).toMatchObject({ test: 'paired bootstrap', verdict: 'second is better' });
    const sum = (shift: number, part: 0 | 1) =>
      bits(shift).reduce((total: number, one) => total + (one as readonly [number, number])[part], 0);
    const total = (shift: number) => sum(shift, 0) / sum(shift, 1);
    expect(row.difference).toBeCloseTo(total(0.5) - total(1), 12);
    expect(row.low).toBeLessThanOrEqual(row.difference);
    expect(row.high).toBeGreaterThanOrEqual(row.difference);
  });
});

describe('contamination', () => {
  it('finds what a search through all texts finds, however the text is cut', () => {
    const word = fc.constantFrom('a', 'b', 'cc', 'Dd', 'é', '丁');
    const text = fc.array(word, { maxLength: 14 }).map((words) => words.join(', '));
    fc.assert(
      fc.property(
        fc.array(text, { minLength: 1, maxLength: 4 }),
        fc.array(text, { maxLength: 3 }),
        fc.nat(5),
        (texts, corpus, cut) => {
          const search = new ContaminationSearch(texts, 4);
          for (const document of corpus) {
            search.read(document.slice(0, cut));
            search.read(document.slice(cut));
            search.end();
          }
          const joined = corpus.map((one) => ` ${contaminationWords(one).join(' ')} `);
          const expected = texts.flatMap((one, i) => {
            const words = contaminationWords(one);
            const n = Math.min(4, words.length);
            const grams = words.map((_, at) => words.slice(at, at + n)).filter((gram) => n > 0 && gram.length === n);
            return grams.some((gram) => joined.some((all) => all.includes(` ${gram.join(' ')} `))) ? [i] : [];
          });
          expect([...search.contaminated].sort()).toEqual(expected);
        },
      ),
    );
  });
});
