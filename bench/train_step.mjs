/**
 * One training step of a GPT-2 as one plan: forward, backward, clipped gradients, AdamW; random tokens. Prints one line of JSON as torch_train.py does.
 *
 *   node bench/train_step.mjs --n_layer 4 --n_head 4 --n_embd 128 --block_size 64 --batch_size 12 --vocab_size 65 [--dtype bfloat16] [--dropout 0.2] [--seconds 4]
 */
import { parseArgs } from 'node:util';
import { openBackend } from '../dist/node/backends.js';
import { wholeModel } from '../dist/training/learner.js';
import { TrainingStep } from '../dist/training/step.js';
import { nextTokenTask } from '../dist/training/task.js';

const sizes = { n_layer: 4, n_head: 4, n_embd: 128, block_size: 64, batch_size: 12, vocab_size: 65 };
const { values } = parseArgs({
  options: {
    ...Object.fromEntries(Object.entries(sizes).map(([name, n]) => [name, { type: 'string', default: String(n) }])),
    dtype: { type: 'string', default: 'float32' },
    dropout: { type: 'string', default: '0' },
    threads: { type: 'string', default: '2' },
    seconds: { type: 'string', default: '4' },
    backend: { type: 'string' },
  },
});
for (const name of Object.keys(sizes)) sizes[name] = Number(values[name]);
const { n_layer, n_head, n_embd, block_size: T, batch_size: B, vocab_size: V } = sizes;
const head_dim = n_embd / n_head;
const config = {
  model_type: 'gpt2',
  vocab_size: V,
  n_embd,
  n_positions: T,
  layers: Array.from({ length: n_layer }, () => ({ window: 0, rope: null, mlp: 'dense' })),
  norm: { kind: 'layer', eps: 1e-5, weightOffset: 0, bias: true },
  arrangement: 'pre',
  finalNorm: true,
  learnedPositions: true,
  ropes: [],
  attention: {
    n_head,
    n_kv_head: n_head,
    head_dim,
    scale: 1 / Math.sqrt(head_dim),
    softcap: 0,
    bias: { qkv: true, output: true },
    qkNorm: false,
    sinks: false,
  },
  mlp: { kind: 'plain', activation: 'geluTanh', width: 4 * n_embd, bias: true },
  experts: null,
  embeddingScale: 1,
  tied: true,
  headBias: false,
  logitSoftcap: 0,
};

const backend = openBackend({ backend: values.backend, threads: Number(values.threads) });
const settings = {
  optimizer: 'adamw',
  beta1: 0.9,
  beta2: 0.99,
  eps: 1e-8,
  momentum: 0.9,
  weight_decay: 0.1,
  grad_clip: 1,
  batch_size: B,
  block_size: T,
  gradient_accumulation_steps: 1,
  dropout: Number(values.dropout),
  seed: 1,
  precision: values.dtype,
};
const training = new TrainingStep(backend, nextTokenTask(wholeModel(config, settings.dropout), settings), settings);
let state = 12345;
const random = () => {
  state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
  return state / 2 ** 32 - 0.5;
};
for (const { name, shape } of training.specs) {
  const numbers = new Float32Array(shape.reduce((a, b) => a * b, 1));
  const scale = (/(attention\.o|down)\.weight$/.test(name) ? 1 / Math.sqrt(2 * n_layer) : 1) * 0.02 * Math.sqrt(12);
  if (shape.length > 1) for (let i = 0; i < numbers.length; i++) numbers[i] = random() * scale;
  else if (name.endsWith('weight')) numbers.fill(1);
  training.write(name, numbers);
}

let step = 0;
async function once() {
  const token = () => Int32Array.from({ length: B * T }, () => Math.min(V - 1, Math.floor((random() + 0.5) * V)));
  const batch = { tokens: token(), targets: token(), batch_size: B, block_size: T };
  return (await training.run(step++, [batch], { learning_rate: 1e-3 })).loss;
}
const first = await once();
for (let i = 0; i < 2; i++) await once();
const times = [];
let last = first;
const kernelsBefore = training.kernelSeconds;
const { user, system } = process.cpuUsage();
const end = performance.now() + 1000 * Number(values.seconds);
while (times.length < 3 || performance.now() < end) {
  const start = performance.now();
  last = await once();
  times.push(performance.now() - start);
}
const work = process.cpuUsage();
const wall = times.reduce((a, b) => a + b, 0) / 1000;
const outside = kernelsBefore === null ? null : 100 * (1 - (training.kernelSeconds - kernelsBefore) / wall);
times.sort((a, b) => a - b);
const speed = (ms) => Math.round((10000 * B * T) / ms) / 10;
console.log(
  JSON.stringify({
    name: `inkstone ${backend.info.name} ${backend.info.variant}`,
    dtype: values.dtype,
    tokens_per_second: speed(times[times.length >> 1]),
    best: speed(times[0]),
    processor_ms: Math.round((work.user - user + work.system - system) / times.length / 100) / 10,
    peak_mb: Math.round(process.resourceUsage().maxRSS / 1024),
    // of the time of a step, batches included: percent
    outside_kernels: outside === null ? null : Number(outside.toFixed(2)),
    arena_mb: Math.round(training.arenaBytes / 2 ** 20),
    loss: [first, last].map((x) => Number(x.toFixed(4))),
  }),
);
await backend.close();
