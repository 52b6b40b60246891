/**
 * `npm run bench`: Inkstone and its peers on one model in one run, taken in turn, with the ratios. The peers are installed under bench/peers.
 * `npm run bench -- train` is train.mjs, `-- decoding` is decoding.mjs, `-- lora` is lora.mjs, `-- adapters` is adapters.mjs. Options: --model FILE --threads 2 --rounds 2 --json
 * --python PYTHON (or $INKSTONE_BENCH_PYTHON): an interpreter that has llama-cpp-python, a llama.cpp compiled here, for one more peer.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { resolveModel } from '../dist/node/models.js';

if (process.argv[2] === 'decoding') {
  process.argv.splice(2, 1);
  await import('./decoding.mjs');
  process.exit();
}
if (process.argv[2] === 'lora') {
  process.argv.splice(2, 1);
  await import('./lora.mjs');
  process.exit();
}
if (process.argv[2] === 'adapters') {
  process.argv.splice(2, 1);
  await import('./adapters.mjs');
  process.exit();
}
if (process.argv[2] === 'train') {
  process.argv.splice(2, 1);
  await import('./train.mjs');
  process.exit();
}

const here = dirname(fileURLToPath(import.meta.url));
const { values: options } = parseArgs({
  options: {
    model: { type: 'string' },
    threads: { type: 'string', default: '2' },
    rounds: { type: 'string', default: '2' },
    python: { type: 'string', default: process.env.INKSTONE_BENCH_PYTHON },
    json: { type: 'boolean', default: false },
  },
});
const model = options.model ?? (await resolveModel('smollm2-135m-instruct')).path;
if (!existsSync(join(here, 'peers', 'node_modules'))) {
  console.error('installing the peers under bench/peers');
  spawnSync('npm', ['install', '--no-audit', '--no-fund', '--ignore-scripts', '--no-package-lock'], {
    cwd: join(here, 'peers'),
    stdio: 'ignore',
  });
}

const contenders = [
  ['inkstone.mjs', [model, options.threads, 'fast']],
  ['node_llama_cpp.mjs', [model, options.threads]],
  ...(options.python ? [['llama_cpp_python.py', [model, options.threads]]] : []),
  ['inkstone.mjs', [model, options.threads, 'exact']],
];
const figures = ['prompt_512', 'decode_128', 'eight_sequences'];
const results = new Map();
for (let round = 0; round < Number(options.rounds); round++) {
  for (const [script, args] of contenders) {
    let result;
    try {
      const out = execFileSync(
        script.endsWith('.py') ? options.python : process.execPath,
        [join(here, script), ...args],
        {
          encoding: 'utf8',
          stdio: ['ignore', 'pipe', 'pipe'],
        },
      );
      result = JSON.parse(out.trim().split('\n').at(-1));
    } catch (error) {
      console.error(
        `${script}: ${String(error.stderr ?? error.message)
          .trim()
          .split('\n')
          .slice(-3)
          .join(' ')}`,
      );
      continue;
    }
    const key = `${result.name}${result.precision ? ` (${result.precision})` : ''}`;
    const before = results.get(key);
    for (const figure of figures) if (before) result[figure] = Math.max(result[figure], before[figure]);
    results.set(key, result);
  }
}
if (options.json) for (const result of results.values()) console.log(JSON.stringify(result));
else {
  console.log(`tokens/s, best of ${options.rounds} rounds, ${options.threads} threads, ${model.split('/').at(-1)}`);
  console.log(`${''.padEnd(22)}${figures.map((name) => name.padStart(17)).join('')}   memory`);
  for (const [key, result] of results) {
    console.log(
      `${key.padEnd(22)}${figures.map((name) => String(result[name]).padStart(17)).join('')}   ${result.rss_mb} MB`,
    );
  }
  const mine = results.get('inkstone (fast)');
  for (const name of ['node-llama-cpp', 'llama-cpp-python']) {
    const peer = results.get(name);
    if (!mine || !peer) continue;
    const ratios = figures.map((figure) => `${(mine[figure] / peer[figure]).toFixed(2)}x`.padStart(17));
    console.log(`${`: ${name}`.padEnd(22)}${ratios.join('')}`);
  }
}
