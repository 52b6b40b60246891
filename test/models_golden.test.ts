/** Models against Hugging Face transformers, on every backend: logits, batches with positions of their own, and greedy continuations. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import type { Backend } from '../src/backends/backend.ts';
import { Engine } from '../src/generation/engine.ts';
import { loadModel } from '../src/models/index.ts';
import { MemorySource, openWeights, readSharded, type WeightFile } from '../src/weights/index.ts';
import { compiled, reference } from './backends.ts';

const shared = fileURLToPath(new URL('../../shared/golden/models/', import.meta.url));
const own = fileURLToPath(new URL('./golden/models/', import.meta.url));

/** Three models travel with the project; the others are read where the golden set lies beside it. Image models come later. */
const copied = ['gpt2', 'llama', 'gpt_oss'];
const names = existsSync(shared)
  ? (JSON.parse(readFileSync(join(shared, 'index.json'), 'utf8')) as { name: string }[])
      .map(({ name }) => name)
      .filter((name) => name !== 'llava' && name !== 'smolvlm')
  : copied;
if (!existsSync(shared)) process.stderr.write(`models: only ${copied.join(', ')} (the others need ../shared/golden)\n`);

interface Expected {
  readonly long: { readonly input_ids: number[][]; readonly logits_positions: number[]; readonly logits: number[][] };
  readonly batch: {
    readonly input_ids: number[][];
    readonly attention_mask: number[][];
    readonly logits_positions: [number, number][];
    readonly logits: number[][];
  };
  readonly greedy: { readonly long: number[][]; readonly batch: number[][]; readonly max_new_tokens: number };
}

function open(name: string): { weights: WeightFile; config: Record<string, unknown>; expected: Expected } {
  const folder = join(copied.includes(name) ? own : shared, name);
  const json = (file: string) => JSON.parse(readFileSync(join(folder, file), 'utf8'));
  const source = (file: string) => new MemorySource(file, readFileSync(join(folder, file)));
  const file = ['model.safetensors', 'pytorch_model.bin'].find((candidate) => existsSync(join(folder, candidate)));
  const weights = file
    ? openWeights(source(file))
    : readSharded(source('model.safetensors.index.json'), source, openWeights);
  return { weights, config: json('config.json'), expected: json('expected.json') };
}

/** The tolerance of the manifest: 5e-4 + 1e-4 |b|, and a tenth of it for the reference backend. */
function near(actual: Float32Array, wanted: readonly number[], share: number, what: string): void {
  wanted.forEach((b, i) => {
    const limit = share * (5e-4 + 1e-4 * Math.abs(b));
    if (!(Math.abs(actual[i] - b) <= limit)) expect.fail(`${what}, token ${i}: ${actual[i]}, expected ${b}`);
  });
}

async function greedy(engine: Engine, prompts: readonly (readonly number[])[], count: number): Promise<number[][]> {
  const sequences = prompts.map((ids) => engine.sequence(ids));
  const answers: number[][] = prompts.map(() => []);
  for (let step = 0; step < count; step++) {
    const results = await engine.step(sequences.map((sequence) => ({ sequence, logits: 'last' })));
    results.forEach(({ logits }, i) => {
      const token = logits.indexOf(logits.reduce((a, b) => Math.max(a, b)));
      answers[i].push(token);
      sequences[i].append([token]);
    });
  }
  for (const sequence of sequences) sequence.free();
  return answers;
}

async function check(name: string, backend: Backend, share: number): Promise<void> {
  const { weights, config, expected } = open(name);
  const model = loadModel(weights, config, backend);
  const engine = new Engine(model, { precision: 'exact' });
  const V = model.config.vocab_size;
  const [ids] = expected.long.input_ids;
  const logits = await engine.logits(ids);
  expected.long.logits_positions.forEach((position, i) => {
    near(logits.subarray(position * V, (position + 1) * V), expected.long.logits[i], share, `position ${position}`);
  });

  // Left padding of the recorded batch is left out: here a sequence begins where its text does.
  const rows = expected.batch.input_ids.map((row, i) =>
    row.filter((_, j) => expected.batch.attention_mask[i][j] === 1),
  );
  const sequences = rows.map((row) => engine.sequence(row));
  const all = await engine.step(sequences.map((sequence) => ({ sequence, logits: 'all' })));
  expected.batch.logits_positions.forEach(([row, position], i) => {
    const at = position - expected.batch.attention_mask[row].indexOf(1);
    if (at < 0 || expected.batch.attention_mask[row][position] === 0) return;
    near(
      all[row].logits.subarray(at * V, (at + 1) * V),
      expected.batch.logits[i],
      share,
      `row ${row}, position ${position}`,
    );
  });
  for (const sequence of sequences) sequence.free();

  const { long, batch, max_new_tokens } = expected.greedy;
  expect(await greedy(engine, [ids], max_new_tokens)).toEqual(long);
  expect(await greedy(engine, rows, max_new_tokens)).toEqual(batch);
  await backend.close();
}

describe('reference', () => {
  it.each(names)('%s', (name) => check(name, reference.make(), 0.1));
});

describe.each(compiled)('$name', ({ missing, make }) => {
  it.skipIf(missing).each(names)('%s', (name) => check(name, make(2), 1));
});
