/** `train` from text to a model: interrupted runs resumed to the same bits, refusals before the first step, and what the loop does when it goes wrong. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { openModel } from '../src/node/open_model.ts';
import { readRun } from '../src/node/run_folder.ts';
import { lockRun } from '../src/node/run_lock.ts';
import { type TrainOptions, train } from '../src/node/train.ts';
import type { BatchStream } from '../src/training/data/index.ts';
import type { TrainingEvent } from '../src/training/events.ts';
import { firstState, type LoopHost, type LoopSettings, type LoopState, trainingLoop } from '../src/training/loop.ts';
import { resolvePreset } from '../src/training/presets.ts';
import { scheduleFactor } from '../src/training/schedules.ts';
import type { StepResult, TrainingStep } from '../src/training/step.ts';

const root = mkdtempSync(join(tmpdir(), 'inkstone-train-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));
process.env.INKSTONE_CACHE = join(root, 'cache');

const text = join(root, 'verse.txt');
writeFileSync(text, '春江潮水连海平，海上明月共潮生。\n滟滟随波千万里，何处春江无月明！\n'.repeat(60));

const tiny: TrainOptions = {
  model: 'nano',
  data: text,
  fields: { n_layer: 2, n_head: 2, n_embd: 32, block_size: 16, batch_size: 4, max_steps: 12, learning_rate: 1e-2 },
  eval_every: 5,
  save_every: 4,
  sample_every: 0,
  seed: 3,
  threads: 2,
};

async function run(options: TrainOptions, each?: (event: TrainingEvent) => void): Promise<TrainingEvent[]> {
  const events: TrainingEvent[] = [];
  for await (const event of train(options)) {
    events.push(event);
    each?.(event);
  }
  return events;
}

const weightsOf = (out: string) => readFileSync(join(out, 'model.safetensors'));
const lossesOf = (events: readonly TrainingEvent[]) =>
  events.flatMap((event) => (event.type === 'step' || event.type === 'evaluation' ? [[event.step, event.loss]] : []));

describe('a run', () => {
  it('learns, is a model afterwards, and tells what happened', async () => {
    const out = join(root, 'learns');
    const events = await run({ ...tiny, out, fields: { ...tiny.fields, max_steps: 60 }, sample_every: 30 });
    const losses = events.flatMap((event) => (event.type === 'evaluation' ? [event.loss] : []));
    expect(losses.at(-1)!).toBeLessThan(0.6 * losses[0]);
    expect(events.at(-1)).toMatchObject({ type: 'end', reason: 'finished', step: 60 });
    expect(events.filter(({ type }) => type === 'sample')).toHaveLength(2);
    const shares = events.flatMap((event) => (event.type === 'step' ? [event.outside_kernels] : []));
    const known = shares.filter((share) => share !== undefined);
    expect(known.length).toBeGreaterThan(30);
    for (const share of known) expect(share >= 0 && share < 1).toBe(true);
    expect(readRun(out).events).toEqual(events);
    const model = await openModel(out);
    expect(model.config.model_type).toBe('gpt2');
    expect(model.tokenizer!.decode(model.tokenizer!.encodeIds('春江潮水'))).toBe('春江潮水');
    await model.close();
  });

  it('that was interrupted goes on to the same weights and events, to the bit', async () => {
    const [whole, parts] = [join(root, 'whole'), join(root, 'parts')];
    const expected = await run({ ...tiny, out: whole });
    const controller = new AbortController();
    const first = await run({ ...tiny, out: parts, signal: controller.signal }, (event) => {
      if (event.type === 'step' && event.step === 7) controller.abort();
    });
    expect(first.at(-1)).toMatchObject({ type: 'end', reason: 'interrupted', step: 7 });
    const rest = await run({ resume: parts, threads: 1 });
    expect(rest[0]).toMatchObject({ type: 'start', step: 7 });
    expect(lossesOf([...first, ...rest])).toEqual(lossesOf(expected));
    expect(weightsOf(parts).equals(weightsOf(whole))).toBe(true);
    expect(readRun(parts).info.settings).toMatchObject({ cross_document_attention: true });
    // More steps for a run that is over.
    const more = await run({ resume: parts, fields: { max_steps: 14 } });
    expect(more.at(-1)).toMatchObject({ type: 'end', reason: 'finished', step: 14 });
  });
});

describe('documents that do not see each other', () => {
  it('are recorded as the way of the run, and kept when it is resumed', async () => {
    const lines = Array.from({ length: 80 }, (_, i) =>
      JSON.stringify({ text: `${'海上明月共潮生'.slice(i % 5)}${i}` }),
    );
    const data = join(root, 'poems.jsonl');
    writeFileSync(data, lines.join('\n'));
    const own = { ...tiny, data, cross_document_attention: false };
    const [whole, parts, across] = ['inside', 'inside-parts', 'across'].map((name) => join(root, name));
    const expected = await run({ ...own, out: whole });
    const controller = new AbortController();
    const first = await run({ ...own, out: parts, signal: controller.signal }, (event) => {
      if (event.type === 'step' && event.step === 6) controller.abort();
    });
    const rest = await run({ resume: parts, threads: 1 });
    expect(lossesOf([...first, ...rest])).toEqual(lossesOf(expected));
    expect(weightsOf(parts).equals(weightsOf(whole))).toBe(true);
    const { info } = readRun(parts);
    expect(info.settings).toMatchObject({ cross_document_attention: false });
    expect(info.request).toMatchObject({ cross_document_attention: false });
    expect(lossesOf(await run({ ...tiny, data, out: across }))).not.toEqual(lossesOf(expected));
    await expect(run({ resume: parts, cross_document_attention: true })).rejects.toThrow(/cross_document_attention/);
  });
});

describe('is refused before the first step', () => {
  const refusal = async (options: TrainOptions): Promise<string> => {
    try {
      for await (const event of train(options)) expect.fail(`an event: ${event.type}`);
    } catch (error) {
      return (error as Error).message;
    }
    return 'nothing was wrong';
  };
  let count = 0;
  const out = () => join(root, `refused-${count++}`);
  const file = (name: string, content: string | Uint8Array) => {
    writeFileSync(join(root, name), content);
    return join(root, name);
  };

  it('an empty file, a binary one, none at all', async () => {
    expect(await refusal({ ...tiny, out: out(), data: file('empty.txt', '') })).toMatch(/empty\.txt.*empty/s);
    expect(await refusal({ ...tiny, out: out(), data: file('binary.txt', Uint8Array.of(1, 0, 255, 254)) })).toMatch(
      /binary\.txt/,
    );
    expect(await refusal({ ...tiny, out: out(), data: join(root, 'nowhere.txt') })).toMatch(/nowhere\.txt/);
    expect(await refusal({ ...tiny, out: out(), data: [] })).toMatch(/data/);
  });

  it('a vocabulary that does not fit, a context longer than the text, fields that contradict', async () => {
    const bpe = { ...tiny, out: out(), tokenizer: join(root, 'verse.json') };
    expect(await refusal(bpe)).toMatch(/verse\.json/);
    expect(await refusal({ ...tiny, out: out(), fields: { ...tiny.fields, vocab_size: 1 } })).toMatch(/vocab_size/);
    expect(await refusal({ ...tiny, out: out(), fields: { ...tiny.fields, block_size: 4096 } })).toMatch(
      /block_size.*4096.*tokens/s,
    );
    expect(await refusal({ ...tiny, out: out(), fields: { ...tiny.fields, n_head: 3 } })).toMatch(/n_head|n_embd/);
    expect(await refusal({ ...tiny, out: out(), model: 'nanoo' })).toMatch(/nanoo.*nano/s);
    expect(await refusal({ ...tiny, out: out(), fields: { ...tiny.fields, n_layers: 3 } })).toMatch(
      /n_layers.*n_layer/s,
    );
  });

  it('a folder with something in it, a run that is resumed as another', async () => {
    const full = join(root, 'full');
    mkdirSync(full);
    writeFileSync(join(full, 'letter.txt'), 'dear');
    expect(await refusal({ ...tiny, out: full })).toMatch(/full.*letter\.txt/s);
    const before = out();
    await run({ ...tiny, out: before, fields: { ...tiny.fields, max_steps: 2 } });
    expect(await refusal({ ...tiny, out: before })).toMatch(/--resume/);
    expect(await refusal({ resume: before, fields: { n_layer: 3 } })).toMatch(/n_layer.*contradicts.*2/s);
    expect(await refusal({ resume: before, seed: 4 })).toMatch(/seed.*contradicts.*3/s);
    expect(await refusal({ resume: join(root, 'nothing') })).toMatch(/nothing/);
    const unlock = lockRun(before);
    expect(await refusal({ resume: before })).toMatch(/being trained by process/);
    unlock();
    const other = file('changing.txt', '一二三四五六七八九十'.repeat(50));
    const changed = out();
    await run({ ...tiny, data: other, out: changed, fields: { ...tiny.fields, max_steps: 2 } });
    writeFileSync(other, '十九八七六五四三二一'.repeat(50));
    expect(await refusal({ resume: changed })).toMatch(/data is not what the run/);
  });

  it('a model that does not fit the machine', async () => {
    const message = await refusal({ ...tiny, out: out(), model: 'gpt3-175b', tokenizer: 'characters', fields: {} });
    expect(message).toMatch(/memory/i);
    expect(message).toMatch(/GB/);
  });
});

describe('the loop', () => {
  const settings: LoopSettings = {
    ...resolvePreset('nano', { vocab_size: 100 }).training,
    max_steps: 40,
    warmup_steps: 0,
    schedule: 'constant',
    learning_rate: 1,
    eval_every: 0,
    sample_every: 0,
    save_every: 10,
    patience: 0,
    max_time: 0,
    explosion_factor: 10,
  };
  const counts = { tokens: 1, documents: 1, bytes: 1, characters: 1 };
  const batches = { tokensPerStep: 8, batch: () => null } as unknown as BatchStream;

  /** A loop over a step that answers what it is told. */
  async function loop(answer: (step: number, rate: number) => Partial<StepResult>, own: Partial<LoopSettings> = {}) {
    const saves: LoopState[] = [];
    const rates: number[] = [];
    const step = {
      async run(s: number, _: unknown, rate: { learning_rate: number; norm_limit: number }) {
        rates.push(rate.learning_rate);
        const result = { loss: 1, objective: 1, grad_norm: 1, metrics: {}, count: 8, ...answer(s, rate.learning_rate) };
        return { ...result, applied: Number.isFinite(result.grad_norm) && result.grad_norm < rate.norm_limit };
      },
    } as unknown as TrainingStep;
    const host: LoopHost = {
      now: () => rates.length,
      save: async (state) => {
        saves.push(state);
        return `step ${state.step}`;
      },
      rollBack: async () => saves.at(-1) ?? null,
    };
    const events: TrainingEvent[] = [];
    const all = { ...settings, ...own };
    for await (const event of trainingLoop({
      step,
      batches,
      settings: all,
      evaluation: null,
      counts,
      flops_per_token: 1,
      peak_flops: null,
      host,
    })) {
      events.push(event);
    }
    return { events, saves, rates };
  }

  it('skips a step that is NaN or explodes and says so', async () => {
    const { events } = await loop((s) =>
      s === 5 ? { loss: Number.NaN, grad_norm: Number.NaN } : s === 30 ? { grad_norm: 25 } : {},
    );
    const skipped = events.flatMap((event) => (event.type === 'skipped' ? [[event.step, event.reason]] : []));
    expect(skipped).toEqual([
      [6, 'the loss is NaN'],
      [31, 'the norm of the gradients, 25.0, is above 10.0'],
    ]);
    expect(events.at(-1)).toMatchObject({ type: 'end', reason: 'finished', step: 40 });
  });

  it('goes back with a lower rate when it goes on exploding, and stops with the reason when that does not help', async () => {
    const better = await loop((s, rate) => (s >= 23 && rate > 0.3 ? { grad_norm: Number.POSITIVE_INFINITY } : {}));
    const back = better.events.flatMap((event) =>
      event.type === 'rollback' ? [[event.step, event.to, event.rate_factor]] : [],
    );
    expect(back).toEqual([
      [28, 20, 0.5],
      [28, 20, 0.25],
    ]);
    expect(better.events.at(-1)).toMatchObject({ reason: 'finished', step: 40 });
    const hopeless = await loop((s) => (s >= 23 ? { grad_norm: Number.NaN } : {}));
    expect(hopeless.events.filter(({ type }) => type === 'rollback')).toHaveLength(3);
    expect(hopeless.events.at(-1)).toMatchObject({ type: 'end', reason: 'diverged' });
    const early = await loop(() => ({ grad_norm: Number.NaN }));
    expect(early.events.at(-1)).toMatchObject({ type: 'end', reason: 'diverged', step: 5 });
    expect(early.saves).toEqual([]);
  });

  it('ends by time', async () => {
    const { events } = await loop(() => ({}), { max_time: 7 });
    expect(events.at(-1)).toMatchObject({ type: 'end', reason: 'max_time', step: 7 });
    expect(firstState.step).toBe(0);
  });
});

describe('schedules', () => {
  const base = {
    learning_rate: 1,
    min_learning_rate: 0.1,
    warmup_steps: 10,
    decay_end: null,
    decay_fraction: 0.2,
    max_steps: 110,
  };
  it.each([
    ['constant', 60, 1],
    ['cosine', 60, 0.55], // half way: half way between the greatest and the least
    ['cosine', 110, 0.1],
    ['linear', 60, 0.55],
    ['wsd', 87, 1],
    ['wsd', 99, 0.55],
  ] as const)('%s at step %i is %f', (schedule, step, wanted) => {
    expect(scheduleFactor({ ...base, schedule }, step)).toBeCloseTo(wanted, 12);
  });

  it('rises as in the golden run of nanoGPT', () => {
    const golden = JSON.parse(readFileSync(new URL('./golden/training/llama/run.json', import.meta.url), 'utf8'));
    const rates: number[] = golden.runs.plain.map(({ lr }: { lr: number }) => lr);
    const { lr, warmup, steps } = golden.hyperparameters;
    rates.forEach((rate, step) => {
      const factor = scheduleFactor(
        {
          schedule: 'cosine',
          learning_rate: lr,
          min_learning_rate: lr / 10,
          warmup_steps: warmup,
          decay_end: null,
          decay_fraction: 0,
          max_steps: steps,
        },
        step,
      );
      expect(Math.abs(factor * lr - rate)).toBeLessThan(1e-6 * lr);
    });
  });
});
