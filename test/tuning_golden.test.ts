/** Fine-tuning against Hugging Face and peft: the loss of masked answers, and eight steps of LoRA with the base left as it was. */
import { describe, expect, it } from 'vitest';
import {
  adapterLayout,
  adapterOf,
  adapterParameters,
  layoutOfAdapter,
  parameterSpecs,
  readAdapterConfig,
} from '../src/models/index.ts';
import type { Batch } from '../src/training/data/index.ts';
import { adapterLearner } from '../src/training/learner.ts';
import { TrainingStep } from '../src/training/step.ts';
import { nextTokenTask } from '../src/training/task.ts';
import { goldenAdapter, goldenJson, goldenModel, kinds } from './adapters_setup.ts';
import { compiled, reference } from './backends.ts';

interface LoraRun {
  readonly optimizer: { lr: number; betas: [number, number]; eps: number; weight_decay: number; clip: number };
  readonly batches: number[][][];
  readonly steps: { step: number; batch: number; loss: number; grad_norm: number }[];
}

interface SftMask {
  readonly input_ids: number[][];
  readonly attention_mask: number[][];
  readonly labels: number[][];
  readonly loss: number;
  readonly per_token_loss_shifted: number[][];
  readonly valid_tokens: number;
}

/** The target of a position is the label of the next. */
function batchOf(ids: readonly number[][], labels: readonly number[][]): Batch {
  return {
    batch_size: ids.length,
    block_size: ids[0].length - 1,
    tokens: Int32Array.from(ids.flatMap((row) => row.slice(0, -1))),
    targets: Int32Array.from(labels.flatMap((row) => row.slice(1))),
  };
}

describe.each(kinds)('%s', (kind) => {
  const backends = [reference, ...compiled];

  it.each(backends)('8 steps of LoRA are those of peft on $name', async ({ make }) => {
    const run: LoraRun = goldenJson(`tuning/${kind}/lora.json`);
    const { lr, betas, eps, weight_decay, clip } = run.optimizer;
    const backend = make();
    const model = goldenModel(kind, backend);
    const before = goldenAdapter(kind, 'lora_before');
    const layout = layoutOfAdapter(model.config, before);
    const shape = { batch_size: run.batches[0].length, block_size: run.batches[0][0].length - 1 };
    const step = new TrainingStep(backend, nextTokenTask(adapterLearner(layout, model.parameters), shape), {
      optimizer: 'adamw',
      beta1: betas[0],
      beta2: betas[1],
      eps,
      weight_decay,
      momentum: 0,
      grad_clip: clip,
      gradient_accumulation_steps: 1,
      seed: 0,
    });
    for (const [name, values] of adapterParameters(layout, before)) step.write(name, values);
    const base = async () => {
      const bytes: Uint8Array[] = [];
      for (const { name } of parameterSpecs(model.config)) {
        const { buffer } = model.parameters.get(name)!;
        bytes.push(await backend.read(buffer, 0, buffer.byteLength));
      }
      return bytes;
    };
    const untouched = await base();
    for (const { step: s, batch, loss, grad_norm } of run.steps) {
      const ids = run.batches[batch];
      const result = await step.run(s, [batchOf(ids, ids)], { learning_rate: lr });
      expect(Math.abs(result.loss / loss - 1), `loss of step ${s}`).toBeLessThan(1e-4);
      expect(Math.abs(result.grad_norm / grad_norm - 1), `norm of step ${s}`).toBeLessThan(1e-3);
    }
    const learnt = new Map<string, Float32Array>();
    for (const { name } of step.specs) learnt.set(name, await step.read(name));
    const mine = adapterOf(layout, before.config, learnt);
    const theirs = goldenAdapter(kind, 'lora_after');
    for (const [name, { A, B }] of theirs.modules) {
      for (const [got, wanted] of [
        [mine.modules.get(name)!.A, A],
        [mine.modules.get(name)!.B, B],
      ]) {
        const differences = got.map((x, i) => Math.abs(x - wanted[i]));
        expect(Math.max(...differences)).toBeLessThan(2e-3);
        expect(differences.reduce((a, b) => a + b, 0) / differences.length).toBeLessThan(1e-4);
      }
    }
    // Frozen weights are the same bits after tuning.
    expect(await base()).toEqual(untouched);
    await backend.close();
  });

  it.each(backends)('the loss of masked labels on $name', async ({ make }) => {
    const mask: SftMask = goldenJson(`tuning/${kind}/sft_mask.json`);
    const backend = make();
    const model = goldenModel(kind, backend);
    const ids = mask.input_ids;
    const config = readAdapterConfig({ peft_type: 'LORA', r: 1 });
    const learner = adapterLearner(adapterLayout(model.config, config), model.parameters);
    const task = nextTokenTask(learner, { batch_size: ids.length, block_size: ids[0].length - 1 });
    const step = new TrainingStep(backend, task, {
      optimizer: 'sgd',
      beta1: 0,
      beta2: 0,
      eps: 1e-8,
      momentum: 0,
      weight_decay: 0,
      grad_clip: 0,
      gradient_accumulation_steps: 1,
      seed: 0,
    });
    for (const { name, shape } of step.specs) step.write(name, new Float32Array(shape[0] * (shape[1] ?? 1)));
    const whole = await step.evaluate(batchOf(ids, mask.labels));
    expect(whole.count).toBe(mask.valid_tokens);
    expect(Math.abs(whole.loss / mask.loss - 1)).toBeLessThan(1e-4);
    // Each token alone.
    for (const [row, losses] of mask.per_token_loss_shifted.entries()) {
      for (const [t, loss] of losses.entries()) {
        if (loss === 0) continue;
        const alone = ids.map((each, r) => each.map((id, i) => (r === row && i === t + 1 ? id : -100)));
        const { loss: mine, count } = await step.evaluate(batchOf(ids, alone));
        expect(count).toBe(1);
        expect(Math.abs(mine / loss - 1)).toBeLessThan(1e-4);
      }
    }
    const nothing = ids.map((each) => each.map(() => -100));
    expect(await step.evaluate(batchOf(ids, nothing))).toEqual({ loss: 0, metrics: {}, count: 0 });
    await backend.close();
  });
});
