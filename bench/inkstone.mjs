/** One measurement of Inkstone in a process of its own: prints a JSON line. Arguments: model file, threads, precision. */
import { openModel } from '../dist/node/open_model.js';

const [file, threads = '2', precision = 'fast', backend] = process.argv.slice(2);
const model = await openModel(file, { threads: Number(threads), precision, backend });
const { engine } = model;
const ready = performance.now();
const vocabulary = model.config.vocab_size;
const prompt = (n, seed) => Array.from({ length: n }, (_, i) => (i * 7919 + seed * 104729 + 13) % vocabulary);

async function timed(work) {
  const start = performance.now();
  await work();
  return (performance.now() - start) / 1000;
}

async function best(runs, work) {
  let least = Number.POSITIVE_INFINITY;
  for (let i = 0; i < runs; i++) least = Math.min(least, await work(i));
  return least;
}

const greedy = (logits) => {
  let token = 0;
  for (let i = 1; i < logits.length; i++) if (logits[i] > logits[token]) token = i;
  return token;
};

async function decode(sequences, steps) {
  const requests = sequences.map((sequence) => ({ sequence, logits: 'last' }));
  for (let step = 0; step < steps; step++) {
    const results = await engine.step(requests);
    results.forEach(({ logits }, i) => {
      sequences[i].append([greedy(logits)]);
    });
  }
}

const promptSeconds = await best(4, async (i) => {
  const sequence = engine.sequence(prompt(512, i));
  const seconds = await timed(() => engine.step([{ sequence, logits: 'last' }]));
  sequence.free();
  return seconds;
});
const decodeSeconds = await best(4, async (i) => {
  const sequence = engine.sequence(prompt(8, 50 + i));
  await decode([sequence], 1);
  const seconds = await timed(() => decode([sequence], 128));
  sequence.free();
  return seconds;
});
const eightSeconds = await best(3, async (i) => {
  const sequences = Array.from({ length: 8 }, (_, j) => engine.sequence(prompt(8, 100 + 8 * i + j)));
  await decode(sequences, 1);
  const seconds = await timed(() => decode(sequences, 64));
  for (const sequence of sequences) sequence.free();
  return seconds;
});
const { info } = engine.backend;
console.log(
  JSON.stringify({
    name: 'inkstone',
    backend: `${info.name} ${info.variant}`,
    threads: info.threads,
    precision,
    ready_ms: Math.round(ready),
    prompt_512: Math.round(512 / promptSeconds),
    decode_128: Math.round((128 / decodeSeconds) * 10) / 10,
    eight_sequences: Math.round(((8 * 64) / eightSeconds) * 10) / 10,
    rss_mb: Math.round(process.memoryUsage().rss / 1e6),
  }),
);
await model.close();
