/**
 * `npm run fuzz`: mutated files against every reader. Each has to give a result or one of Inkstone's errors, in bounded time and memory.
 * Options: --format safetensors|gguf|torch|tokenizer (all) --count 200000 --seed 1. A file that fails is kept under build/fuzz/.
 */
import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { Worker } from 'node:worker_threads';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const golden = join(root, 'test', 'golden');
const formats = ['safetensors', 'gguf', 'torch', 'tokenizer'];
const { values } = parseArgs({
  options: {
    format: { type: 'string' },
    count: { type: 'string', default: '200000' },
    seed: { type: 'string', default: '1' },
  },
});
/** Mutants of one worker: a fresh worker now and then keeps one leak from hiding another. */
const BATCH = 5000;
/** A mutant that takes longer hangs. */
const LIMIT_MS = 5000;
/** Memory that a worker's heap may take. */
const HEAP_MB = 512;

function seedsOf(format) {
  const weights = readdirSync(join(golden, 'weights')).map((name) => join(golden, 'weights', name));
  if (format === 'safetensors') return weights.filter((path) => path.endsWith('.safetensors'));
  if (format === 'gguf') return weights.filter((path) => path.endsWith('.gguf'));
  if (format === 'torch') return weights.filter((path) => /\.(pt|bin)$/.test(path));
  return readdirSync(join(golden, 'tokenizers'), { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map(({ name }) => join(golden, 'tokenizers', name, 'tokenizer.json'));
}

/** Run a batch; answers its counts and the failures, a hang or a crash among them. */
function runBatch(format, seeds, first, count, seed) {
  return new Promise((resolve) => {
    const current = new SharedArrayBuffer(4);
    const place = new Int32Array(current);
    Atomics.store(place, 0, first);
    const failures = [];
    let counts = null;
    const worker = new Worker(new URL('./fuzz/worker.mjs', import.meta.url), {
      workerData: { format, seeds, first, count, seed, current },
      resourceLimits: { maxOldGenerationSizeMb: HEAP_MB },
    });
    let last = -1;
    let still = 0;
    const watchdog = setInterval(() => {
      const now = Atomics.load(place, 0);
      // The first look may come while the thread itself is still starting.
      still = now === last ? still + 1 : 0;
      if (still >= 2) {
        failures.push({ i: now, message: `took more than ${LIMIT_MS} ms`, mutant: null });
        void worker.terminate();
      }
      last = now;
    }, LIMIT_MS);
    worker.on('message', (message) => {
      if (message.failure) failures.push(message.failure);
      else counts = message.counts;
    });
    worker.on('error', (error) =>
      failures.push({ i: Atomics.load(place, 0), message: String(error.message), mutant: null }),
    );
    worker.on('exit', () => {
      clearInterval(watchdog);
      resolve({ counts: counts ?? { read: 0, refused: 0, slowest: 0 }, failures });
    });
  });
}

async function fuzz(format, total, seed) {
  const seeds = seedsOf(format);
  const sum = { read: 0, refused: 0, slowest: 0, failed: 0, rss: 0 };
  const started = Date.now();
  for (let first = 0; first < total; first += BATCH) {
    const { counts, failures } = await runBatch(format, seeds, first, Math.min(BATCH, total - first), seed);
    sum.read += counts.read;
    sum.refused += counts.refused;
    sum.slowest = Math.max(sum.slowest, counts.slowest);
    sum.rss = Math.max(sum.rss, process.memoryUsage().rss);
    for (const { i, message, mutant } of failures) {
      sum.failed++;
      console.error(`${format} --seed ${seed}, mutant ${i}: ${message.split('\n').slice(0, 4).join(' | ')}`);
      if (!mutant) continue;
      mkdirSync(join(root, 'build', 'fuzz'), { recursive: true });
      writeFileSync(join(root, 'build', 'fuzz', `${format}-${seed}-${i}`), mutant);
    }
    if (process.stderr.isTTY) process.stderr.write(`\r${format}: ${first + BATCH} of ${total}`);
  }
  const seconds = ((Date.now() - started) / 1000).toFixed(0);
  const memory = (sum.rss / 1e6).toFixed(0);
  console.log(
    `${format}: ${total} files in ${seconds} s: ${sum.read} read, ${sum.refused} refused, ${sum.failed} failed; slowest ${sum.slowest.toFixed(0)} ms, memory ${memory} MB`,
  );
  return sum.failed;
}

if (!existsSync(join(root, 'dist', 'errors.js'))) {
  console.error('dist/ is missing: run npm run build first');
  process.exit(1);
}
let failed = 0;
for (const format of values.format ? [values.format] : formats) {
  if (!formats.includes(format)) {
    console.error(`--format ${format}: has to be one of ${formats.join(', ')}`);
    process.exit(2);
  }
  failed += await fuzz(format, Number(values.count), Number(values.seed));
}
process.exitCode = failed > 0 ? 1 : 0;
