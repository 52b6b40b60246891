/**
 * SST-2 by a task head: SmolLM2-135M-Instruct (Q4_1, frozen) under a LoRA adapter and a linear head at the extract token, as GPT-1 was
 * fine-tuned (Radford et al. 2018). Prints lines of progress to stderr and one line of JSON.
 *
 *   node bench/sst2.mjs --model ../shared/data/models/SmolLM2-135M-Instruct.Q4_1.gguf --data ../shared/data/eval/sst2 [--threads 1] [--epochs 1]
 *
 * `--train N` takes the first N sentences alone, `--test` scores test.tsv with what the last step left; settings are chosen by dev.tsv without it.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { adapterLayout, completeAdapterConfig, loadModel } from '../dist/models/index.js';
import { openBackend } from '../dist/node/backends.js';
import { resolveModel } from '../dist/node/models.js';
import { readModelFiles } from '../dist/node/open_model.js';
import { fitTaskExamples, frozenLearner, HeadBatches, HeadEvaluation, headTask } from '../dist/training/heads/index.js';
import { initialValues } from '../dist/training/initialize.js';
import { adapterLearner } from '../dist/training/learner.js';
import { TrainingStep } from '../dist/training/step.js';
import { tensorToWrite, writeSafetensors } from '../dist/weights/index.js';

const defaults = {
  model: 'smollm2-135m-instruct',
  data: '../shared/data/eval/sst2',
  threads: '1',
  r: '16',
  alpha: '32',
  targets: 'all-linear',
  layers: '',
  learning_rate: '5e-4',
  epochs: '1',
  batch_size: '8',
  block_size: '64',
  lm_coef: '0',
  head_dropout: '0.1',
  lora_dropout: '0.05',
  precision: 'float32',
  seed: '0',
  train: '0',
  dev: '0',
  eval_every: '0',
  out: '',
};
const { values } = parseArgs({
  options: {
    ...Object.fromEntries(Object.entries(defaults).map(([name, value]) => [name, { type: 'string', default: value }])),
    test: { type: 'boolean', default: false },
  },
});
const number = (name) => Number(values[name]);
const bytesOf = ({ buffer, byteOffset, byteLength }) => new Uint8Array(buffer, byteOffset, byteLength);
const say = (text) => process.stderr.write(`${text}\n`);

const files = readModelFiles(await resolveModel(values.model, { offline: true }));
const backend = openBackend({ threads: number('threads') });
const model = loadModel(files.weights, files.config, backend, { configFile: files.configFile });
const { tokenizer } = files;
const { bos, eos } = tokenizer.special;
const read = (name, limit = 0) => {
  const lines = readFileSync(join(values.data, name), 'utf8').split('\n').filter(Boolean);
  return lines.slice(0, limit || lines.length).map((line) => {
    const [text, label] = line.split('\t');
    const ids = tokenizer.encodeIds(text, { add_special_tokens: false });
    return { sequences: [Int32Array.from([bos, ...ids, eos])], label: Number(label) };
  });
};
const head = { kind: 'classification', classes: 2 };
const sizes = { head, batch_size: number('batch_size'), block_size: number('block_size') };
const fit = (examples) => fitTaskExamples(head, examples, sizes).examples;
const [train, dev] = [fit(read('train.tsv', number('train'))), fit(read('dev.tsv', number('dev')))];

const config = completeAdapterConfig({
  r: number('r'),
  lora_alpha: number('alpha'),
  target_modules: values.targets === 'all-linear' ? 'all-linear' : values.targets.split(','),
  ...(values.layers
    ? {
        target_modules: ['q_proj', 'k_proj', 'v_proj', 'o_proj', 'gate_proj', 'up_proj', 'down_proj'],
        layers_to_transform: values.layers.split(',').map(Number),
      }
    : {}),
});
const layout = adapterLayout(model.config, config);
const learner =
  values.targets === 'none'
    ? frozenLearner(model.config, model.parameters)
    : adapterLearner(layout, model.parameters, number('lora_dropout'));
const task = headTask(learner, { ...sizes, lm_coef: number('lm_coef'), head_dropout: number('head_dropout') });
const seed = number('seed');
const step = new TrainingStep(backend, task, {
  optimizer: 'adamw',
  beta1: 0.9,
  beta2: 0.999,
  eps: 1e-8,
  momentum: 0,
  weight_decay: 0.01,
  grad_clip: 1,
  gradient_accumulation_steps: 1,
  seed,
  precision: values.precision,
});
for (const [i, spec] of task.specs.entries()) {
  const size = spec.shape.reduce((a, b) => a * b, 1);
  step.write(spec.name, new Float32Array(size));
  if (spec.name.startsWith('lora.B.')) continue;
  const initializer_range = spec.name.startsWith('lora.A.') ? 1 / Math.sqrt(3 * spec.shape[1]) : 0.02;
  step.write(
    spec.name,
    initialValues(model.config, { name: 'matrix.weight', shape: spec.shape }, i, { seed, initializer_range }),
  );
}
const batches = new HeadBatches(train, { ...sizes, seed });
const max_steps = batches.steps(number('epochs'));
const warmup_steps = Math.round(max_steps * 0.06);
const evaluate = async (examples) => {
  const set = new HeadEvaluation(examples, sizes);
  let [loss, accuracy, count] = [0, 0, 0];
  for (let i = 0; i < set.count; i++) {
    const found = await step.evaluate(set.batch(i));
    loss += found.loss * found.count;
    accuracy += found.metrics.accuracy * found.count;
    count += found.count;
  }
  return { loss: loss / count, accuracy: accuracy / count, count };
};
say(
  `${train.length} sentences, ${max_steps} steps, arena ${(step.arenaBytes / 2 ** 20).toFixed(0)} MiB, ${task.specs.length} tensors learn`,
);
const started = performance.now();
const seconds = () => (performance.now() - started) / 1000;
let [sum, right, seen] = [0, 0, 0];
for (let s = 0; s < max_steps; s++) {
  const done = s / max_steps;
  const factor = Math.min(1, (s + 1) / Math.max(1, warmup_steps)) * 0.5 * (1 + Math.cos(Math.PI * done));
  const result = await step.run(s, [batches.batch(s)], { learning_rate: number('learning_rate') * factor });
  sum += result.loss * result.count;
  right += result.metrics.accuracy * result.count;
  seen += result.count;
  if ((s + 1) % 20 === 0) {
    say(
      `${s + 1}/${max_steps} ${seconds().toFixed(0)} s  loss ${(sum / seen).toFixed(4)}  accuracy ${(right / seen).toFixed(4)}  norm ${result.grad_norm.toFixed(2)}`,
    );
    [sum, right, seen] = [0, 0, 0];
  }
  if (number('eval_every') > 0 && (s + 1) % number('eval_every') === 0)
    say(`dev ${JSON.stringify(await evaluate(dev))}`);
}
const trained = seconds();
const result = { settings: values, steps: max_steps, seconds: trained, dev: await evaluate(dev) };
say(JSON.stringify(result.dev));
if (values.test) result.test = await evaluate(fit(read('test.tsv')));
if (values.out) {
  const tensors = [];
  for (const { name, shape } of task.specs)
    tensors.push(tensorToWrite(name, 'f32', shape, bytesOf(await step.read(name))));
  const parts = [];
  writeSafetensors({ write: (bytes) => void parts.push(bytes.slice()) }, tensors);
  writeFileSync(values.out, Buffer.concat(parts));
}
process.stdout.write(`${JSON.stringify({ ...result, total_seconds: seconds() })}\n`);
await backend.close();
