/** Sweeps: which cells there are, that cells share their random numbers, what is measured, and what an interruption leaves. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { entropyOf, scoreText } from '../src/experiments/score.ts';
import { cellsOf, halvingRounds } from '../src/experiments/space.ts';
import { type SweepEvent, type SweepOptions, sweep, sweepAll } from '../src/experiments/sweep.ts';
import { generateAll } from '../src/generation/generate.ts';
import { resolveSettings } from '../src/generation/settings.ts';
import { type OpenModel, openModel } from '../src/node/open_model.ts';

let model: OpenModel;
beforeAll(async () => {
  model = await openModel('tang', { offline: true });
});
afterAll(() => model.close());

const options = (more: Partial<SweepOptions>): SweepOptions => ({
  model,
  prompts: '【七绝】',
  settings: { max_new_tokens: 12 },
  seeds: 2,
  ...more,
});

it('a grid has every combination once', () => {
  const cells = cellsOf({ temperature: [0.3, 0.7], top_k: [10, 50, 10] }, { do_sample: true }, 'grid', 16, 0);
  expect(cells).toEqual([
    { do_sample: true, temperature: 0.3, top_k: 10 },
    { do_sample: true, temperature: 0.3, top_k: 50 },
    { do_sample: true, temperature: 0.7, top_k: 10 },
    { do_sample: true, temperature: 0.7, top_k: 50 },
  ]);
});

it('cells without sampling are one, whatever the settings of sampling', () => {
  const cells = cellsOf({ do_sample: [true, false], temperature: [0.5, 1] }, {}, 'grid', 16, 0);
  expect(cells).toEqual([
    { do_sample: true, temperature: 0.5 },
    { do_sample: true, temperature: 1 },
    { do_sample: false },
  ]);
});

it('ranges are drawn from within, the same for the same seed', () => {
  const axes = { temperature: { min: 0.2, max: 1.5 }, top_k: { min: 1, max: 3 }, top_p: [0.5, 1] };
  const cells = cellsOf(axes, {}, 'random', 200, 7);
  expect(cells).toEqual(cellsOf(axes, {}, 'random', 200, 7));
  expect(cells).not.toEqual(cellsOf(axes, {}, 'random', 200, 8));
  const of = (name: string) => cells.map((cell) => cell[name] as number);
  expect(Math.min(...of('temperature'))).toBeGreaterThanOrEqual(0.2);
  expect(Math.max(...of('temperature'))).toBeLessThanOrEqual(1.5);
  expect(new Set(of('top_k'))).toEqual(new Set([1, 2, 3]));
  expect(new Set(of('top_p'))).toEqual(new Set([0.5, 1]));
});

it.each([
  [{ temperature: { min: 0.2, max: 1 } }, 'grid', /a grid needs lists/],
  [{ temperature: { min: 2, max: 1 } }, 'random', /range/],
  [{ do_sample: { min: 0, max: 1 } }, 'random', /no number/],
  [{ temperature: [] }, 'grid', /no value/],
  [{ seed: [1, 2] }, 'grid', /not for a sweep/],
  [{ top_k: new Array(200).fill(1), temperature: new Array(200).fill(1) }, 'grid', /more than 10000 cells/],
] as const)('refuses %j in a search %s', (axes, search, message) => {
  expect(() => cellsOf(axes, {}, search, 16, 0)).toThrow(message);
});

it('halving ends with all seeds, begins with two, and halves the cells', () => {
  expect(halvingRounds(12, 8)).toEqual([
    { cells: 12, seeds: 2 },
    { cells: 6, seeds: 4 },
    { cells: 3, seeds: 8 },
  ]);
  expect(halvingRounds(1, 8)).toEqual([{ cells: 1, seeds: 8 }]);
  expect(halvingRounds(12, 1)).toEqual([{ cells: 12, seeds: 1 }]);
  for (let cells = 1; cells < 40; cells++) {
    for (let seeds = 1; seeds < 40; seeds++) {
      const rounds = halvingRounds(cells, seeds);
      expect(rounds.at(-1)!.seeds).toBe(seeds);
      expect(
        rounds.every((round, r) => r === 0 || (round.seeds > rounds[r - 1].seeds && round.cells < rounds[r - 1].cells)),
      ).toBe(true);
    }
  }
});

it('cells answer with the seeds that generate would, measured', async () => {
  const report = await sweepAll(options({ vary: { temperature: [0.3, 3] } }));
  expect(report).toMatchObject({ is_complete: true, seeds: [0, 1], varied: ['temperature'], objective: null });
  expect(report.cells).toHaveLength(2);
  for (const { settings, answers, measures } of report.cells) {
    expect(answers.map(({ seed }) => seed)).toEqual([0, 1]);
    for (const { seed, ids, text } of answers) {
      const [alone] = await generateAll(model, '【七绝】', { ...settings, seed });
      expect({ ids, text }).toEqual({ ids: alone.ids, text: alone.text });
    }
    expect(measures.length).toMatchObject({ value: 12, low: 12, high: 12, count: 2 });
    expect(measures.entropy!.value).toBeGreaterThan(0);
    expect(measures.mauve).toBeUndefined();
  }
  const [cold, hot] = report.cells;
  expect(cold.measures.entropy!.value).toBeLessThan(hot.measures.entropy!.value);
  expect(cold.measures.log_likelihood!.value).toBeGreaterThan(hot.measures.log_likelihood!.value);
});

it('likelihood and entropy are those of the definition', async () => {
  const ids = [...model.tokenizer!.encodeIds('【七绝】')];
  const shape = { n_positions: model.engine.context, vocab_size: model.config.vocab_size };
  const { settings } = resolveSettings(
    { do_sample: true, top_k: 0, temperature: 2, max_new_tokens: 40, suppress_tokens: [] },
    {},
    shape,
    ids.length,
  );
  const text = [
    ...model.tokenizer!.encodeIds('春江潮水连海平，海上明月共潮生。滟滟随波千万里，何处春江无月明。江流宛转绕芳甸'),
  ];
  const score = await scoreText(model.engine, ids, text, settings);
  const V = model.config.vocab_size;
  const rows = await model.engine.logits([...ids, ...text.slice(0, -1)]);
  let [likelihood, entropy] = [0, 0];
  text.forEach((token, i) => {
    const row = rows.subarray((ids.length - 1 + i) * V, (ids.length + i) * V);
    const total = row.reduce((sum, x) => sum + Math.exp(x), 0);
    likelihood += Math.log(Math.exp(row[token]) / total);
    const flat = [...row].map((x) => Math.exp(x / 2));
    const sum = flat.reduce((a, b) => a + b, 0);
    entropy -= flat.reduce((a, b) => a + (b / sum) * Math.log(b / sum), 0);
  });
  expect(score.log_likelihood).toBeCloseTo(likelihood / text.length, 2);
  expect(score.entropy).toBeCloseTo(entropy / text.length, 2);
  expect(entropyOf(new Float32Array(8))).toBeCloseTo(Math.log(8), 12);
  expect(entropyOf(Float32Array.of(3, Number.NEGATIVE_INFINITY))).toBe(0);
});

it('halving keeps the best by the objective, and tells of those that went', async () => {
  const events: SweepEvent[] = [];
  const vary = { temperature: [0.3, 3, 6, 9] };
  for await (const event of sweep(options({ vary, search: 'halving', objective: 'log_likelihood', seeds: 4 }))) {
    events.push(event);
  }
  expect(events.filter(({ type }) => type === 'round')).toMatchObject([
    { cells: 4, seeds: 2 },
    { cells: 2, seeds: 4 },
  ]);
  const last = events.at(-1)!;
  if (last.type !== 'done') throw new Error(last.type);
  expect(last.report.cells.map(({ eliminated }) => eliminated)).toEqual([null, null, 1, 1]);
  expect(last.report.cells.map(({ answers }) => answers.length)).toEqual([4, 4, 2, 2]);
  expect(last.report.cells[0].settings.temperature).toBe(0.3);
});

it('a reference of the same kind is nearer than another', async () => {
  const poem =
    '春江潮水连海平，海上明月共潮生。滟滟随波千万里，何处春江无月明。江流宛转绕芳甸，月照花林皆似霰。'.repeat(8);
  const other = 'the quick brown fox jumps over the lazy dog and goes on and on. '.repeat(20);
  const at = async (reference: string) => {
    const { cells } = await sweepAll(
      options({ settings: { max_new_tokens: 60 }, reference, vary: { temperature: [0.7] } }),
    );
    return cells[0].measures.mauve!.value;
  };
  expect(await at(poem)).toBeGreaterThan(await at(other));
});

it('an interruption leaves what was finished', async () => {
  const controller = new AbortController();
  const events: SweepEvent[] = [];
  const vary = { max_new_tokens: [4, 60] };
  for await (const event of sweep(options({ settings: {}, vary, signal: controller.signal }))) {
    events.push(event);
    if (event.type === 'cell') controller.abort();
  }
  const last = events.at(-1)!;
  if (last.type !== 'done') throw new Error(last.type);
  expect(last.report.is_complete).toBe(false);
  expect(last.report.cells[0].answers).toHaveLength(2);
  expect(last.report.cells).toHaveLength(1);
});

it.each([
  [{ seeds: 0 }, /seeds/],
  [{ samples: 1.5 }, /samples/],
  [{ level: 1 }, /level/],
  [{ search: 'best' as 'grid' }, /search/],
  [{ objective: 'beauty' }, /objective/],
  [{ objective: 'mauve' }, /reference/],
  [{ search: 'halving' as const }, /objective/],
  [{ reference: 'short' }, /reference/],
  [{ prompts: [] }, /prompts/],
  [{ vary: { temperature: [-1] } }, /temperature/],
  [{ vary: { temprature: [1] } }, /temperature/],
  [{ settings: {}, vary: { max_length: [5000] } }, /context/],
  [{ vary: { max_length: [50] } }, /max_new_tokens/],
])('refuses %j before anything runs', async (more, message) => {
  await expect(sweep(options(more)).next()).rejects.toThrow(message);
});
