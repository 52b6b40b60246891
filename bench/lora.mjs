/**
 * `npm run bench -- lora --python PYTHON --hf FOLDER`: the step of LoRA on SmolLM2-135M-Instruct beside peft over transformers, in turn, with the
 * ratios of time and of peak memory. PYTHON has torch, transformers and peft; FOLDER is the model as safetensors (`inkstone convert MODEL FOLDER --type bf16`).
 * Options: --model FILE --rounds 2 --threads 2 --batch 4 --block 256 --rank 16 --dtype bfloat16,float32 --steps 3
 */
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const { values } = parseArgs({
  options: {
    python: { type: 'string', default: 'python3' },
    hf: { type: 'string' },
    model: { type: 'string' },
    rounds: { type: 'string', default: '2' },
    threads: { type: 'string', default: '2' },
    batch: { type: 'string', default: '4' },
    block: { type: 'string', default: '256' },
    rank: { type: 'string', default: '16' },
    steps: { type: 'string', default: '3' },
    dtype: { type: 'string', default: 'bfloat16,float32' },
  },
});
const shape = ['threads', 'batch', 'block', 'rank', 'steps'].flatMap((name) => [`--${name}`, values[name]]);

/** The figures of one process, or null where it did not run. */
function measure(command, script, args) {
  const path = fileURLToPath(new URL(script, import.meta.url));
  const { status, stdout, stderr } = spawnSync(command, [path, ...args], { encoding: 'utf8' });
  if (status === 0) return JSON.parse(stdout.trim().split('\n').at(-1));
  console.error(stderr.split('\n').slice(-4).join('\n'));
  return null;
}

const contenders = new Map([
  [
    'inkstone',
    () => measure(process.execPath, 'lora_step.mjs', [...shape, ...(values.model ? ['--model', values.model] : [])]),
  ],
  [
    'inkstone, recompute',
    () =>
      measure(process.execPath, 'lora_step.mjs', [
        ...shape,
        '--recompute',
        ...(values.model ? ['--model', values.model] : []),
      ]),
  ],
  ...(values.hf
    ? values.dtype
        .split(',')
        .map((dtype) => [
          `peft ${dtype}`,
          () => measure(values.python, 'peft_lora.py', [...shape, '--model', values.hf, '--dtype', dtype]),
        ])
    : []),
]);
const best = new Map();
for (let round = 0; round < Number(values.rounds); round++) {
  for (const [name, run] of contenders) {
    const found = run();
    const before = best.get(name);
    if (found && (!before || found.seconds_per_step < before.seconds_per_step)) best.set(name, found);
  }
}
const mine = best.get('inkstone');
for (const [name, { seconds_per_step, peak_bytes }] of best) {
  const ratio =
    name === 'inkstone'
      ? ''
      : `: inkstone is ${(seconds_per_step / mine.seconds_per_step).toFixed(2)}x as fast in ${(mine.peak_bytes / peak_bytes).toFixed(2)}x the memory`;
  console.log(`${name}  ${seconds_per_step.toFixed(2)} s a step, ${(peak_bytes / 1e6).toFixed(0)} MB${ratio}`);
}
