/**
 * What an adapter costs a request: `npm run bench -- adapters [MODEL]`. Tokens a second of the model alone and with adapters of two sizes (made
 * of random numbers), turn about in one run, best of the rounds: a prompt of 256 tokens, an answer of 32, and 8 answers at once of which each has
 * one of 3 adapters or none.
 */
import { openModel } from '../dist/index.js';
import { adapterLayout, adapterOf, adapterParameterSpecs, completeAdapterConfig } from '../dist/models/index.js';

const args = process.argv.slice(2);
const name = args.find((argument) => !argument.startsWith('-')) ?? 'smollm2-135m-instruct';
const rounds = Number(args.find((argument) => argument.startsWith('--rounds='))?.slice(9) ?? 7);
const threads = Number(args.find((argument) => argument.startsWith('--threads='))?.slice(10) ?? 2);
const model = await openModel(name, { threads });
const { engine } = model;
const kinds = {
  r8_attention: { r: 8, target_modules: ['q_proj', 'k_proj', 'v_proj', 'o_proj'] },
  r16_all: { r: 16, target_modules: 'all-linear' },
};
const made = (own) => {
  const config = completeAdapterConfig({ lora_alpha: 16, ...own });
  const layout = adapterLayout(model.config, config);
  const values = adapterParameterSpecs(layout).map(({ name, shape }) => {
    const size = shape.reduce((a, b) => a * b, 1);
    return [name, Float32Array.from({ length: size }, () => 0.02 * (Math.random() - 0.5))];
  });
  return adapterOf(layout, config, new Map(values));
};

const prompt = Array.from({ length: 256 }, (_, i) => 100 + ((i * 37) % 4000));
let turn = 0;
/** Tokens a second of the prompt and of the answer. @param names of adapters, one for each sequence. */
async function measure(names, length) {
  turn++;
  // Another beginning each time, so that nothing is found in the prefix cache.
  const sequences = names.map((adapter, i) => engine.sequence([turn, i + 1, ...prompt.slice(0, length)], adapter));
  const step = () => engine.step(sequences.map((sequence) => ({ sequence, logits: 'last' })));
  const from = performance.now();
  await step();
  const begun = performance.now();
  const tokens = 32;
  for (let i = 0; i < tokens; i++) {
    for (const sequence of sequences) sequence.append([200 + i]);
    await step();
  }
  const end = performance.now();
  for (const sequence of sequences) sequence.free();
  const rate = (count, ms) => (count * names.length * 1000) / ms;
  return { prompt: rate(length + 2, begun - from), answer: rate(tokens, end - begun) };
}

const report = {};
async function compare(rows, length = prompt.length) {
  const found = new Map(Object.keys(rows).map((row) => [row, []]));
  for (let round = -1; round < rounds; round++) {
    for (const [row, names] of Object.entries(rows)) {
      const rates = await measure(names, length);
      if (round >= 0) found.get(row).push(rates);
    }
  }
  const [base] = found.values();
  const best = (list, part) => Math.max(...list.map((rates) => rates[part]));
  for (const [row, list] of found) {
    const of = (part) => ({
      tokens_per_second: Math.round(best(list, part)),
      of_base: Number((best(list, part) / best(base, part)).toFixed(3)),
    });
    report[row] = { prompt: of('prompt'), answer: of('answer') };
    process.stderr.write(`${row} ${JSON.stringify(report[row])}\n`);
  }
}

for (const [kind, own] of Object.entries(kinds)) {
  await engine.addAdapter(kind, made(own));
  await compare({ base: [null], [kind]: [kind] });
  engine.removeAdapter(kind);
}
for (let i = 0; i < 3; i++) await engine.addAdapter(`all_${i}`, made(kinds.r16_all));
const mixed = Array.from({ length: 8 }, (_, i) => (i % 4 === 3 ? null : `all_${i % 4}`));
await compare({ base_8: Array(8).fill(null), same_8: Array(8).fill('all_0'), mixed_8: mixed }, 32);
process.stdout.write(`${JSON.stringify({ model: name, ...report }, null, 1)}\n`);
await model.close();
