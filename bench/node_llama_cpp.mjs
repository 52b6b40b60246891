/** The same measurement of node-llama-cpp (bench/peers): prints a JSON line. Arguments: model file, threads. */
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';

const [file, threads = '2'] = process.argv.slice(2);
const require = createRequire(new URL('./peers/package.json', import.meta.url));
const { getLlama } = await import(pathToFileURL(require.resolve('node-llama-cpp')).href);
const llama = await getLlama({ gpu: false, logLevel: 'error', build: 'never', maxThreads: Number(threads) });
const model = await llama.loadModel({ modelPath: file });
const vocabulary = 49152;
const prompt = (n, seed) => Array.from({ length: n }, (_, i) => (i * 7919 + seed * 104729 + 13) % vocabulary);
const ready = performance.now();

async function best(runs, work) {
  let least = Number.POSITIVE_INFINITY;
  for (let i = 0; i < runs; i++) least = Math.min(least, await work(i));
  return least;
}

/** Generate `steps` tokens with greedy sampling; seconds from the first token on. */
async function decode(sequence, tokens, steps) {
  let start = 0;
  let count = 0;
  for await (const _ of sequence.evaluate(tokens, { temperature: 0, yieldEogToken: true })) {
    if (count === 0) start = performance.now();
    if (++count > steps) break;
  }
  return (performance.now() - start) / 1000;
}

const context = await model.createContext({ contextSize: 1024, batchSize: 512, threads: Number(threads) });
const sequence = context.getSequence();
const promptSeconds = await best(4, async (i) => {
  await sequence.clearHistory();
  const start = performance.now();
  await sequence.evaluateWithoutGeneratingNewTokens(prompt(512, i));
  return (performance.now() - start) / 1000;
});
const decodeSeconds = await best(4, async (i) => {
  await sequence.clearHistory();
  return decode(sequence, prompt(8, 50 + i), 128);
});
await context.dispose();
const many = await model.createContext({ contextSize: 256, sequences: 8, batchSize: 512, threads: Number(threads) });
const eight = Array.from({ length: 8 }, () => many.getSequence());
const eightSeconds = await best(3, async (i) => {
  for (const each of eight) await each.clearHistory();
  const start = performance.now();
  await Promise.all(eight.map((each, j) => decode(each, prompt(8, 100 + 8 * i + j), 64)));
  return (performance.now() - start) / 1000;
});
console.log(
  JSON.stringify({
    name: 'node-llama-cpp',
    backend: 'prebuilt',
    threads: Number(threads),
    ready_ms: Math.round(ready),
    prompt_512: Math.round(512 / promptSeconds),
    decode_128: Math.round((128 / decodeSeconds) * 10) / 10,
    eight_sequences: Math.round(((8 * 64) / eightSeconds) * 10) / 10,
    rss_mb: Math.round(process.memoryUsage().rss / 1e6),
  }),
);
await llama.dispose();
process.exit(0);
