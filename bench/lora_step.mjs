/**
 * The step of LoRA on SmolLM2-135M-Instruct, as `npm run bench -- lora` runs it beside peft: seconds a step and peak memory. One JSON object on stdout.
 */
import { parseArgs } from 'node:util';
import { adapterLayout, completeAdapterConfig, loadModel } from '../dist/models/index.js';
import { openBackend } from '../dist/node/backends.js';
import { resolveModel } from '../dist/node/models.js';
import { readModelFiles } from '../dist/node/open_model.js';
import { adapterLearner, nextTokenTask, TrainingStep } from '../dist/training/index.js';

const { values } = parseArgs({
  options: {
    model: { type: 'string' },
    threads: { type: 'string', default: '2' },
    batch: { type: 'string', default: '4' },
    block: { type: 'string', default: '256' },
    rank: { type: 'string', default: '16' },
    targets: { type: 'string', default: 'all-linear' },
    steps: { type: 'string', default: '4' },
    recompute: { type: 'boolean', default: false },
  },
});
const [batch_size, block_size, r] = [values.batch, values.block, values.rank].map(Number);
const files = readModelFiles(await resolveModel(values.model ?? 'smollm2-135m-instruct'));
const backend = openBackend({ threads: Number(values.threads) });
const model = loadModel(files.weights, files.config, backend);
const layout = adapterLayout(
  model.config,
  completeAdapterConfig({ r, lora_alpha: 2 * r, target_modules: values.targets }),
);
const task = nextTokenTask(adapterLearner(layout, model.parameters), { batch_size, block_size });
const adamw = { optimizer: 'adamw', beta1: 0.9, beta2: 0.999, eps: 1e-8, momentum: 0, weight_decay: 0, grad_clip: 1 };
const step = new TrainingStep(backend, task, {
  ...adamw,
  gradient_accumulation_steps: 1,
  seed: 1,
  recompute: values.recompute,
});
let state = 12345;
const random = () => {
  state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
  return state / 2 ** 32;
};
for (const { name, shape } of step.specs) {
  const numbers = new Float32Array(shape[0] * (shape[1] ?? 1));
  if (name.startsWith('lora.A')) for (let i = 0; i < numbers.length; i++) numbers[i] = (random() - 0.5) * 0.05;
  step.write(name, numbers);
}
const ids = Int32Array.from({ length: batch_size * (block_size + 1) }, () => Math.floor(random() * 49152));
const rows = (from) =>
  Int32Array.from({ length: batch_size * block_size }, (_, i) => {
    const row = Math.floor(i / block_size);
    return ids[row * (block_size + 1) + from + (i % block_size)];
  });
const batch = { batch_size, block_size, tokens: rows(0), targets: rows(1) };
const [seconds, losses] = [[], []];
for (let s = 0; s <= Number(values.steps); s++) {
  const start = performance.now();
  const { loss } = await step.run(s, [batch], { learning_rate: 1e-4 });
  losses.push(loss);
  if (s > 0) seconds.push((performance.now() - start) / 1000);
}
seconds.sort((a, b) => a - b);
const report = {
  seconds_per_step: seconds[Math.floor(seconds.length / 2)],
  peak_bytes: process.resourceUsage().maxRSS * 1024,
  arena_bytes: step.arenaBytes,
  losses,
};
process.stdout.write(`${JSON.stringify(report)}\n`);
await backend.close();
