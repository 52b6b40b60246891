/** Adapters in peft: what is written here loads there with equal logits, and the other way. */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { createReferenceBackend } from '../src/backends/reference/backend.ts';
import { mergeAdapter } from '../src/models/index.ts';
import { openAdapter, saveAdapter } from '../src/node/adapters.ts';
import {
  goldenJson,
  goldenModel,
  goldenPath,
  graphLogits,
  greatestDifference,
  randomAdapter,
} from './adapters_setup.ts';

/** Another interpreter may be named, for machines where it is not `python3`. */
const python = process.env.INKSTONE_PYTHON ?? 'python3';
const hasLibrary = spawnSync(python, ['-c', 'import torch, transformers, peft']).status === 0;

const llamaAll = ['q_proj', 'k_proj', 'v_proj', 'o_proj', 'gate_proj', 'up_proj', 'down_proj'];
const cases = [
  { name: 'gpt2', kind: 'gpt2', config: { r: 4, lora_alpha: 8, target_modules: ['c_attn'] } },
  { name: 'gpt2-dora', kind: 'gpt2', config: { r: 3, target_modules: ['c_attn', 'c_fc', 'c_proj'], use_dora: true } },
  { name: 'gpt2-rslora', kind: 'gpt2', config: { r: 9, target_modules: ['c_attn', 'c_proj'], use_rslora: true } },
  { name: 'gpt2-embeddings', kind: 'gpt2', config: { r: 2, target_modules: ['wte', 'c_fc'] }, tied: true },
  { name: 'llama', kind: 'llama', config: { r: 4, lora_alpha: 6, target_modules: llamaAll } },
  { name: 'llama-dora', kind: 'llama', config: { r: 4, lora_alpha: 6, target_modules: llamaAll, use_dora: true } },
  {
    name: 'llama-ends',
    kind: 'llama',
    config: { r: 3, target_modules: ['embed_tokens', 'lm_head', 'q_proj'], use_dora: true },
    tied: goldenJson('training/llama/init/config.json').tie_word_embeddings === true,
  },
  {
    name: 'llama-patterns',
    kind: 'llama',
    config: {
      r: 4,
      lora_alpha: 8,
      target_modules: ['q_proj', 'v_proj'],
      rank_pattern: { '0.self_attn.q_proj': 2 },
      alpha_pattern: { v_proj: 5 },
      layers_to_transform: [0],
    },
  },
] as const;

it.skipIf(!hasLibrary)(
  'peft gives the same logits (needs torch, transformers and peft; INKSTONE_PYTHON names the interpreter)',
  async () => {
    const root = mkdtempSync(join(tmpdir(), 'inkstone-peft-'));
    try {
      const ids: number[][] = goldenJson('adapters/llama/lora.json').probe_input_ids;
      const ours = new Map<string, Float32Array>();
      for (const [i, { name, kind, config }] of cases.entries()) {
        const model = goldenModel(kind, createReferenceBackend());
        const adapter = randomAdapter(model.config, config, i + 1);
        mkdirSync(join(root, name));
        saveAdapter(join(root, name, 'ours'), adapter, model.config);
        ours.set(name, await graphLogits(model, ids, adapter));
      }
      const list = cases.map((one) => ({ ...one, base: goldenPath(`training/${one.kind}/init`), ids }));
      writeFileSync(join(root, 'cases.json'), JSON.stringify(list));
      const script = fileURLToPath(new URL('./oracles/adapters_peft.py', import.meta.url));
      const { status, stderr } = spawnSync(python, [script, root], {
        encoding: 'utf8',
        env: { ...process.env, OMP_NUM_THREADS: '1' },
      });
      if (status !== 0) expect.fail(stderr.slice(-3000));
      const numbers = (name: string, file: string): number[] =>
        JSON.parse(readFileSync(join(root, name, file), 'utf8'));
      for (const { name, kind } of cases) {
        const theirs = (file: string) => numbers(name, file);
        expect
          .soft(greatestDifference(ours.get(name)!, theirs('ours.json')), `${name}, written here`)
          .toBeLessThan(2e-4);
        const model = goldenModel(kind, createReferenceBackend());
        const adapter = openAdapter(join(root, name, 'theirs'), model.config);
        const read = await graphLogits(model, ids, adapter);
        expect.soft(greatestDifference(read, theirs('theirs.json')), `${name}, written there`).toBeLessThan(2e-4);
        const merged = await graphLogits(await mergeAdapter(model, adapter), ids);
        expect.soft(greatestDifference(merged, read), `${name}, merged`).toBeLessThan(2e-4);
        if (!existsSync(join(root, name, 'merged.json'))) continue;
        expect.soft(greatestDifference(merged, theirs('merged.json')), `${name}, merged there`).toBeLessThan(2e-4);
      }
    } finally {
      rmSync(root, { recursive: true });
    }
  },
  120_000,
);
