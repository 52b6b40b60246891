/** Checkpoints in Hugging Face transformers: every architecture that is trained here loads there, and gives the same logits. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { Engine } from '../src/generation/engine.ts';
import { loadModel } from '../src/models/index.ts';
import { saveCheckpoint } from '../src/node/checkpoints.ts';
import { openWeightsAt } from '../src/node/open_weights.ts';
import { quickFiles, tiny } from './checkpoints_setup.ts';

/** Another interpreter may be named, for machines where it is not `python3`. */
const python = process.env.INKSTONE_PYTHON ?? 'python3';
const hasLibrary = spawnSync(python, ['-c', 'import torch, transformers']).status === 0;

const sizes = { n_layer: 2, n_head: 4, n_embd: 32, block_size: 24, vocab_size: 61 };
const modern = { ...sizes, n_kv_head: 2, head_dim: 8 };
const models = [
  { name: 'gpt1', preset: 'gpt1', overrides: sizes },
  { name: 'gpt1-no-biases', preset: 'gpt1', overrides: { ...sizes, bias: false } },
  { name: 'gpt2', preset: 'gpt2-124m', overrides: sizes },
  { name: 'gpt2-no-biases', preset: 'gpt2-124m', overrides: { ...sizes, bias: false } },
  { name: 'gpt2-untied', preset: 'gpt2-124m', overrides: { ...sizes, tie_word_embeddings: false } },
  { name: 'gpt3', preset: 'gpt3-125m', overrides: { ...sizes, window_size: 5 } },
  { name: 'modern', preset: 'modern', overrides: modern },
  { name: 'modern-tied', preset: 'modern', overrides: { ...modern, tie_word_embeddings: true } },
  { name: 'experts', preset: 'modern', overrides: { ...modern, n_experts: 4, experts_per_token: 2 } },
  { name: 'nano', preset: 'nano', overrides: sizes },
];

it.skipIf(!hasLibrary)(
  'transformers gives the same logits (needs torch and transformers)',
  async () => {
    const root = mkdtempSync(join(tmpdir(), 'inkstone-python-'));
    try {
      const ids = Array.from({ length: 20 }, (_, i) => (i * 17 + 5) % sizes.vocab_size);
      for (const { name, preset, overrides } of models) {
        const model = tiny(overrides, preset);
        model.fill(11);
        const run = join(root, name);
        await saveCheckpoint(
          run,
          model.step,
          { ...model.snapshot(1), tokenizer: null },
          { keep: 1, best: true, files: quickFiles },
        );
        const loaded = loadModel(openWeightsAt(run), model.config, model.step.backend);
        const logits = await new Engine(loaded, { precision: 'exact' }).logits(ids);
        const V = sizes.vocab_size;
        const rows = ids.map((_, i) => [...logits.subarray(i * V, (i + 1) * V)]);
        writeFileSync(join(run, 'expected.json'), JSON.stringify({ ids, logits: rows }));
      }
      const script = fileURLToPath(new URL('./oracles/checkpoint_logits.py', import.meta.url));
      const folders = models.map(({ name }) => join(root, name));
      const { stdout, stderr } = spawnSync(python, [script, ...folders], { encoding: 'utf8', maxBuffer: 1 << 26 });
      if (!stdout) expect.fail(stderr.slice(-3000));
      const answer: Record<string, { difference: number; largest: number; missing: string[]; unexpected: string[] }> =
        JSON.parse(stdout);
      for (const { name } of models) {
        const { difference, largest, missing, unexpected } = answer[name];
        expect.soft({ name, missing, unexpected }).toEqual({ name, missing: [], unexpected: [] });
        expect.soft(difference, name).toBeLessThan(2e-5 * Math.max(1, largest));
      }
    } finally {
      rmSync(root, { recursive: true, force: true });
    }
  },
  600_000,
);
