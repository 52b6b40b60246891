/** `tune` from records to an adapter or a model: every method end to end, resumed to the same bits, and refused before the first step. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openClassifier } from '../src/node/classifier.ts';
import { openModel } from '../src/node/open_model.ts';
import { train } from '../src/node/train.ts';
import { openTuning, type TuneOptions, tune } from '../src/node/tune.ts';
import type { TrainingEvent } from '../src/training/events.ts';

const root = mkdtempSync(join(tmpdir(), 'inkstone-tune-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));
process.env.INKSTONE_CACHE = join(root, 'cache');

const base = join(root, 'base');
const file = (name: string, records: readonly unknown[]): string => {
  const path = join(root, name);
  writeFileSync(path, records.map((record) => `${JSON.stringify(record)}\n`).join(''));
  return path;
};
const digits = Array.from({ length: 40 }, (_, i) => i);
/** What can be learned: the answer to "n+" is n's last digit three times. */
const sums = file(
  'sums.jsonl',
  digits.map((i) => ({ prompt: `${i}+`, completion: `${i % 10}`.repeat(3) })),
);
const pairs = file(
  'pairs.jsonl',
  digits.map((i) => ({ prompt: `${i}+`, chosen: 'ab', rejected: 'cd' })),
);
const liked = file(
  'liked.jsonl',
  digits.map((i) => ({ prompt: `${i}+`, completion: i % 2 ? 'ab' : 'cd', label: i % 2 === 1 })),
);
const classes = file(
  'classes.jsonl',
  digits.map((i) => ({ text: i % 2 ? `abc${i}` : `cdd${i}`, label: i % 2 ? 'odd' : 'even' })),
);

beforeAll(async () => {
  const text = join(root, 'text.txt');
  writeFileSync(text, '0123456789+=abcd \n'.repeat(80));
  // Enough that its embeddings, which adapters leave alone, tell tokens apart.
  const fields = {
    n_layer: 2,
    n_head: 2,
    n_embd: 32,
    block_size: 32,
    batch_size: 4,
    max_steps: 60,
    learning_rate: 1e-2,
  };
  for await (const _ of train({ model: 'nano', data: text, out: base, fields, sample_every: 0, eval_every: 0 }));
});

const common: TuneOptions = {
  model: base,
  threads: 2,
  seed: 3,
  sample_every: 0,
  eval_every: 5,
  save_every: 4,
  fields: { batch_size: 4, max_steps: 12, learning_rate: 1e-2, r: 4, block_size: 32 },
};

async function run(options: TuneOptions, each?: (event: TrainingEvent) => void): Promise<TrainingEvent[]> {
  const events: TrainingEvent[] = [];
  for await (const event of tune(options)) {
    events.push(event);
    each?.(event);
  }
  return events;
}

const evaluations = (events: readonly TrainingEvent[]) =>
  events.flatMap((event) => (event.type === 'evaluation' ? [event] : []));

describe('a run', () => {
  it('of answers makes an adapter, and goes on after an interruption to the same bits', async () => {
    const [whole, parts] = [join(root, 'whole'), join(root, 'parts')];
    const options = {
      ...common,
      data: [sums],
      fields: { ...common.fields, lora_dropout: 0.1, use_dora: true, max_steps: 60, learning_rate: 0.03 },
    };
    const events = await run({ ...options, out: whole });
    const losses = evaluations(events).map(({ loss }) => loss);
    expect(losses.at(-1)!).toBeLessThan(losses[0] - 0.05);
    expect(evaluations(events)[0]).toHaveProperty('bits_per_byte');
    const controller = new AbortController();
    await run({ ...options, out: parts, signal: controller.signal }, (event) => {
      if (event.type === 'step' && event.step === 7) controller.abort();
    });
    const rest = await run({ resume: parts, threads: 1 });
    expect(rest[0]).toMatchObject({ type: 'start', step: 7 });
    const weights = (folder: string) => readFileSync(join(folder, 'adapter_model.safetensors'));
    expect(weights(parts).equals(weights(whole))).toBe(true);
    expect(JSON.parse(readFileSync(join(whole, 'adapter_config.json'), 'utf8'))).toMatchObject({
      peft_type: 'LORA',
      r: 4,
      use_dora: true,
      base_model_name_or_path: base,
    });
  });

  it('of all weights makes a model', async () => {
    const out = join(root, 'full');
    const { r: _, ...fields } = common.fields as Record<string, unknown>;
    await run({ ...common, data: [sums], out, fields: { ...fields, full: true, max_steps: 60 } });
    const model = await openModel(out);
    expect(model.tokenizer!.decode(model.tokenizer!.encodeIds('12+'))).toBe('12+');
    await model.close();
  });

  it.each([
    ['dpo', pairs, {}],
    ['dpo', pairs, { loss_type: 'ipo' }],
    ['orpo', pairs, {}],
    ['kto', liked, {}],
  ] as const)('of preferences by %s tells them apart', async (method, data, own) => {
    const out = join(root, `${method}-${Object.values(own).join()}`);
    const events = await run({ ...common, method, data: [data], out, fields: { ...common.fields, ...own } });
    const accuracies = evaluations(events).map(({ metrics }) => metrics!.accuracy);
    expect(accuracies.at(-1)!).toBe(1);
    expect(events.at(-1)).toMatchObject({ type: 'end', reason: 'finished' });
  });

  it('of a preference that is resumed keeps its reference', async () => {
    const [whole, parts] = [join(root, 'dpo-whole'), join(root, 'dpo-parts')];
    const { r: _, ...rest } = common.fields as Record<string, unknown>;
    const options = {
      ...common,
      method: 'dpo',
      data: [pairs],
      fields: { ...rest, full: true, learning_rate: 1e-3 },
    } as const;
    await run({ ...options, out: whole });
    const controller = new AbortController();
    await run({ ...options, out: parts, signal: controller.signal }, (event) => {
      if (event.type === 'step' && event.step === 5) controller.abort();
    });
    await run({ resume: parts });
    const weights = (folder: string) => readFileSync(join(folder, 'model.safetensors'));
    expect(weights(parts).equals(weights(whole))).toBe(true);
  });

  it.each([{}, { full: true }])('of classes makes a classifier (%o)', async (own) => {
    const out = join(root, `classes-${Object.keys(own).join()}`);
    const { r, ...rest } = common.fields as Record<string, unknown>;
    const fields = { ...rest, ...('full' in own ? own : { r }), max_steps: 30, lm_coef: 0 };
    const events = await run({ ...common, method: 'classify', data: [classes], out, fields });
    expect(evaluations(events).at(-1)!.metrics!.accuracy).toBe(1);
    const classifier = await openClassifier(out);
    const found = await classifier.classify(['abc7', 'cdd8']);
    expect(found.map(({ label }) => label)).toEqual(['odd', 'even']);
    for (const { scores } of found) expect(scores.reduce((sum, { score }) => sum + score, 0)).toBeCloseTo(1, 6);
    await classifier.close();
  });

  it.each([{}, { full: true, r: undefined }])('of rewards makes them greater (%o)', async (how) => {
    const out = join(root, `grpo-${Object.keys(how).join()}`);
    const prompts = file(
      'prompts.jsonl',
      digits.map((i) => ({ prompt: `${i}+` })),
    );
    const own = {
      num_generations: 8,
      max_completion_length: 4,
      batch_size: 16,
      temperature: 2,
      max_steps: 30,
      learning_rate: 1e-2,
    };
    const events = await run({
      ...common,
      method: 'grpo',
      data: [prompts],
      rewards: ['format:[0-9]'],
      out,
      fields: { ...common.fields, ...own, ...how },
    });
    const rewards = events.flatMap((event) => (event.type === 'step' ? [event.metrics!.reward] : []));
    const mean = (values: readonly number[]) => values.reduce((a, b) => a + b, 0) / values.length;
    expect(mean(rewards.slice(-5))).toBeGreaterThan(mean(rewards.slice(0, 5)) + ('full' in how ? 0.2 : 0.05));
  });
});

describe('is refused before the first step', () => {
  const refused = (own: Partial<TuneOptions>) => openTuning({ ...common, data: [sums], out: join(root, 'no'), ...own });

  it.each([
    ['a line that is no JSON', ['{"prompt": "1+", "completion": "1"}\n{"prompt": \n'], /bad\.jsonl:?.*2/],
    ['a field that is missing', ['{"prompt": "1+", "complition": "1"}\n'], /bad\.jsonl:1.*completion|complition/s],
    ['an answer that is empty', ['{"prompt": "1+", "completion": ""}\n'], /bad\.jsonl:1.*(empty|masked)/s],
    [
      'a conversation without an answer',
      ['{"messages": [{"role": "user", "content": "1"}]}\n'],
      /bad\.jsonl:1.*masked/s,
    ],
  ])('%s', async (_, lines, message) => {
    const path = join(root, 'bad.jsonl');
    writeFileSync(path, lines.join(''));
    await expect(refused({ data: [path] })).rejects.toThrow(message);
  });

  it('fields that cannot be, another method, a folder that is taken', async () => {
    await expect(refused({ fields: { beta: 0.1 } })).rejects.toThrow(/beta.*not a field of sft/);
    await expect(refused({ fields: { lora_alfa: 1 } })).rejects.toThrow(/lora_alfa.*not a field of fine-tuning/);
    await expect(refused({ fields: { full: true, r: 4 } })).rejects.toThrow(/r .*adapters/s);
    await expect(refused({ fields: { target_modules: 'q_proj' } })).rejects.toThrow(/target_modules.*q_proj/s);
    await expect(refused({ out: base })).rejects.toThrow(/something in it/);
    await expect(refused({ data: [join(root, 'nothing.jsonl')] })).rejects.toThrow(/nothing\.jsonl/);
    await expect(refused({ method: 'grpo' })).rejects.toThrow(/rewards/);
  });
});
