/**
 * What processors cost: `node bench/processors.mjs [--vocabulary 50257] [--tokens 512] [--steps 200] [--filter top] [--json]`. What is measured is
 * dist/, or the folder of `--dist`. Each line is one request's chain and the choice after it, microseconds a step on one core: the least of five
 * rounds, and what it adds to the choice without the setting. Scores are those of a peaked distribution, as models give.
 */
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';

const { values: options } = parseArgs({
  options: {
    vocabulary: { type: 'string', default: '50257' },
    tokens: { type: 'string', default: '512' },
    steps: { type: 'string', default: '200' },
    filter: { type: 'string', default: '' },
    dist: { type: 'string', default: '' },
    json: { type: 'boolean', default: false },
  },
});

const dist = options.dist === '' ? new URL('../dist/', import.meta.url) : pathToFileURL(`${options.dist}/`);
const load = (path) => import(new URL(path, dist).href);
const { buildChooser } = await load('generation/sampling.js');
const { resolveSettings } = await load('generation/settings.js');
const { uniform } = await load('generation/random.js');

const V = Number(options.vocabulary);
const length = Number(options.tokens);
const steps = Number(options.steps);
const promptLength = Math.ceil(length / 2);
const model = { n_positions: 2 * length + 64, vocab_size: V, eos_token_id: 0 };
const ids = (count, first = 5) => Array.from({ length: count }, (_, i) => (first + 37 * i) % V);

/** Requests, after that with which they are compared. */
const greedy = {};
const free = { do_sample: true, top_k: 0 };
const cases = [
  ['greedy', greedy],
  ...Object.entries({
    sequence_bias: Array.from({ length: 100 }, (_, i) => [[i + 1, i + 2], 1]),
    encoder_repetition_penalty: 1.1,
    repetition_penalty: 1.1,
    repeat_penalty: 1.1,
    presence_penalty: 0.5,
    dry_multiplier: 0.8,
    no_repeat_ngram_size: 3,
    encoder_no_repeat_ngram_size: 3,
    bad_words_ids: Array.from({ length: 100 }, (_, i) => [i + 1, i + 2]),
    min_new_tokens: 1,
    forced_eos_token_id: 0,
    remove_invalid_values: true,
    exponential_decay_length_penalty: [1, 1.01],
    suppress_tokens: ids(100),
    begin_suppress_tokens: ids(100),
    watermarking_config: {},
  }).map(([name, value]) => [name, { [name]: value }, greedy]),
  ['watermarking_config selfhash', { watermarking_config: { seeding_scheme: 'selfhash' } }, greedy],
  ['watermarking_config SynthID', { ...free, watermarking_config: { ngram_len: 5, keys: ids(30) } }, free],
  ['sampling from all', free],
  ...Object.entries({
    temperature: 0.7,
    dynatemp_range: 0.3,
    top_n_sigma: 1,
    top_h: 0.5,
    top_k: 50,
    top_p: 0.9,
    min_p: 0.05,
    typical_p: 0.9,
    epsilon_cutoff: 3e-4,
    eta_cutoff: 2e-3,
    xtc_probability: 1,
    mirostat: 1,
    renormalize_logits: true,
  }).map(([name, value]) => [name, { ...free, [name]: value }, free]),
  ['mirostat 2', { do_sample: true, mirostat: 2 }, free],
  ['usual: temperature, top_k, top_p', { do_sample: true, temperature: 0.7, top_p: 0.9 }, greedy],
  ['preset llama.cpp', { preset: 'llama.cpp' }, greedy],
  [
    'preset llama.cpp, penalties, DRY, XTC',
    { preset: 'llama.cpp', repeat_penalty: 1.1, dry_multiplier: 0.8, xtc_probability: 0.5 },
    greedy,
  ],
];

/** Rows of several steps, so that branches are not learnt by heart. */
const rows = Array.from({ length: 16 }, (_, r) => {
  return Float32Array.from({ length: V }, (_, i) => {
    const [a, b] = [uniform(1, r, i), uniform(2, r, i)];
    return 3 * Math.sqrt(-2 * Math.log(1 - a)) * Math.cos(2 * Math.PI * b) - (a < 3e-4 ? -8 : 0);
  });
});
const tokens = Array.from({ length }, (_, i) => Math.floor(uniform(3, 0, i % 200) * V));
const textOf = (token) => (token % 97 === 0 ? '\n' : `t${token}`);

function measure(given) {
  const { settings } = resolveSettings(
    { seed: 1, max_new_tokens: model.n_positions - length, ...given },
    {},
    model,
    promptLength,
  );
  const choose = buildChooser(settings, { textOf });
  const scratch = new Float32Array(V);
  let least = Number.POSITIVE_INFINITY;
  let sum = 0;
  for (let round = 0; round < 6; round++) {
    let spent = 0;
    const text = tokens.slice();
    for (let step = 0; step < steps; step++) {
      scratch.set(rows[step % rows.length]);
      const start = performance.now();
      const { token } = choose(scratch, { tokens: text, promptLength }, () => uniform(1, 0, step));
      spent += performance.now() - start;
      text.push(token);
      sum += token;
    }
    if (round > 0) least = Math.min(least, spent);
  }
  return { us: (least * 1000) / steps, sum };
}

const known = new Map();
const results = [];
for (const [name, given, base] of cases) {
  if (options.filter !== '' && !name.includes(options.filter)) continue;
  const costOf = (request) => {
    const key = JSON.stringify(request);
    if (!known.has(key)) known.set(key, measure(request).us);
    return known.get(key);
  };
  const us = costOf(given);
  results.push({ name, us, added_us: base ? us - costOf(base) : 0 });
}
if (options.json) console.log(JSON.stringify({ vocabulary: V, tokens: length, results }, null, 2));
else {
  console.log(`vocabulary ${V}, ${length} tokens before: microseconds a step, and added`);
  for (const { name, us, added_us } of results) {
    console.log(`${name.padEnd(40)} ${us.toFixed(1).padStart(9)} ${added_us.toFixed(1).padStart(9)}`);
  }
}
