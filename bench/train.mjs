/**
 * `npm run bench -- train --python PYTHON`: training steps of GPT-2 at three sizes, Inkstone and PyTorch (eager and compiled) in turn, with the ratios
 * of tokens a second and of peak memory. PYTHON is an interpreter with torch; without one only our own figures are printed.
 * Options: --rows small,middle,gpt2 --dtype float32,bfloat16 --rounds 2 --seconds 6 --threads 2 --eager (leave out torch.compile)
 *
 * `outside_kernels` is the share of our step's time, batches included, that no kernel was at work.
 *
 * A figure is the best median of the rounds. On a machine that others use, `processor_ms` with --threads 1 is the steadier comparison.
 */
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const { values } = parseArgs({
  options: {
    python: { type: 'string', default: 'python3' },
    rows: { type: 'string', default: 'small,middle,gpt2' },
    dtype: { type: 'string', default: 'float32,bfloat16' },
    rounds: { type: 'string', default: '2' },
    seconds: { type: 'string', default: '6' },
    threads: { type: 'string', default: '2' },
    eager: { type: 'boolean', default: false },
  },
});
const rows = {
  small: { n_layer: 4, n_head: 4, n_embd: 128, block_size: 64, batch_size: 12, vocab_size: 65 },
  middle: { n_layer: 6, n_head: 6, n_embd: 384, block_size: 256, batch_size: 8, vocab_size: 65 },
  gpt2: { n_layer: 12, n_head: 12, n_embd: 768, block_size: 256, batch_size: 2, vocab_size: 50304 },
};

/** The figures of one process, or null where it did not run. */
function measure(command, script, args) {
  const path = fileURLToPath(new URL(script, import.meta.url));
  const { status, stdout } = spawnSync(command, [path, ...args], { encoding: 'utf8' });
  return status === 0 ? JSON.parse(stdout.trim().split('\n').at(-1)) : null;
}

/** The better of two measurements of one contender. */
function better(a, b) {
  if (!a || !b) return a ?? b;
  const [best, other] = a.tokens_per_second >= b.tokens_per_second ? [a, b] : [b, a];
  return {
    ...best,
    processor_ms: Math.min(a.processor_ms, b.processor_ms),
    peak_mb: Math.max(best.peak_mb, other.peak_mb),
  };
}

for (const row of values.rows.split(',')) {
  const sizes = Object.entries(rows[row]).flatMap(([name, n]) => [`--${name}`, String(n)]);
  for (const dtype of values.dtype.split(',')) {
    const args = [...sizes, '--dtype', dtype, '--threads', values.threads, '--seconds', values.seconds];
    let [mine, torch] = [null, null];
    for (let round = 0; round < Number(values.rounds); round++) {
      mine = better(mine, measure(process.execPath, 'train_step.mjs', args));
      torch = better(torch, measure(values.python, 'torch_train.py', args));
      if (!values.eager) torch = better(torch, measure(values.python, 'torch_train.py', [...args, '--compile']));
    }
    const show = (r) => `${r.tokens_per_second} tokens/s, ${r.processor_ms} ms of processor, ${r.peak_mb} MB`;
    console.log(`${row} ${dtype}`);
    if (mine) console.log(`  inkstone  ${show(mine)}, outside_kernels ${mine.outside_kernels} %`);
    if (torch) console.log(`  torch     ${show(torch)}${torch.compile ? ' (compiled)' : ''}`);
    if (!mine || !torch) continue;
    const ratio = (mine.tokens_per_second / torch.tokens_per_second).toFixed(2);
    const work = (torch.processor_ms / mine.processor_ms).toFixed(2);
    const memory = (mine.peak_mb / torch.peak_mb).toFixed(2);
    console.log(`  ratio     ${ratio}x tokens/s, ${work}x by processor time, ${memory}x memory`);
  }
}
