/**
 * `node bench/gemm.mjs [--threads 2] [--python PYTHON]`: float32 products of 1024^3 and 2048^3, Inkstone and PyTorch in turn, best of 20.
 * PYTHON is an interpreter with torch; without one only our own figures are printed.
 */
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { openBackend } from '../dist/node/backends.js';
import { compile, f } from '../dist/tensor/index.js';

const { values } = parseArgs({
  options: { threads: { type: 'string', default: '2' }, python: { type: 'string', default: 'python3' } },
});
const threads = Number(values.threads);

async function gflops(n) {
  const backend = openBackend({ backend: 'native', threads });
  const matrix = () => {
    const numbers = Float32Array.from({ length: n * n }, () => Math.random());
    return backend.adopt(new Uint8Array(numbers.buffer));
  };
  const plan = compile({ y: f.matmul(f.parameter('a', 'f32', [n, n]), f.parameter('b', 'f32', [n, n])) });
  const loaded = backend.load(plan, { a: matrix(), b: matrix() });
  let best = Number.POSITIVE_INFINITY;
  for (let i = 0; i < 21; i++) {
    const start = performance.now();
    await loaded.run({ outputs: [] });
    best = Math.min(best, performance.now() - start);
  }
  await backend.close();
  return (2 * n ** 3) / best / 1e6;
}

for (let round = 0; round < 2; round++) {
  for (const n of [1024, 2048]) console.log(`inkstone ${n} ${(await gflops(n)).toFixed(1)}`);
  const script = fileURLToPath(new URL('./torch_gemm.py', import.meta.url));
  const { stdout, status } = spawnSync(values.python, [script, values.threads], { encoding: 'utf8' });
  if (status === 0) process.stdout.write(stdout);
  else if (round === 0) console.log(`${values.python} has no torch`);
}
