/**
 * What strategies cost and save, in one run: `npm run bench -- decoding [MODEL]`. Tokens a second of the answer, best of three: greedy, 4 beams,
 * prompt look-up on a text that is copied with small changes, a draft by the model's own first layers, contrastive search, and JSON by a
 * schema against free text of the same settings.
 */
import { generateAll, openModel } from '../dist/index.js';

const name = process.argv.slice(2).find((argument) => !argument.startsWith('-')) ?? 'smollm2-135m-instruct';
const model = await openModel(name);
const text =
  'The quick brown fox jumps over the lazy dog near the old stone bridge, while the children of the village play by the river and the ' +
  'miller counts his sacks of flour. In the evening they all meet at the inn, where the landlord tells the story of the lost king.';
const copy = `${text}\n${text}\n${text}\n${text.slice(0, 60)}`;
const schema = {
  type: 'object',
  properties: { name: { type: 'string', maxLength: 400 }, notes: { type: 'array', items: { type: 'string' } } },
  required: ['name', 'notes'],
  additionalProperties: false,
};
const eos_token_id = [];
const rows = {
  greedy: ['Once upon a time', { max_new_tokens: 96 }],
  sampled: ['Once upon a time', { max_new_tokens: 96, do_sample: true, seed: 1, temperature: 0.8, top_p: 0.95 }],
  beams_4: ['Once upon a time', { max_new_tokens: 64, num_beams: 4 }],
  contrastive_4: ['Once upon a time', { max_new_tokens: 48, penalty_alpha: 0.6, top_k: 4 }],
  copy: [copy, { max_new_tokens: 96 }],
  copy_lookup: [copy, { max_new_tokens: 96, prompt_lookup_num_tokens: 10, max_matching_ngram_size: 3 }],
  copy_early_exit: [copy, { max_new_tokens: 96, assistant_early_exit: 6, num_assistant_tokens: 4 }],
  structured: ['A person as JSON: ', { max_new_tokens: 96, structured_output: { json: schema } }],
};
const report = {};
for (const [row, [prompt, settings]] of Object.entries(rows)) {
  let best = 0;
  let detail = {};
  for (let round = 0; round < 3; round++) {
    const [result] = await generateAll(model, prompt, { eos_token_id, do_sample: false, ...settings });
    const { new_tokens, total_ms, first_token_ms } = result.timings;
    // Beams tell their first token late: their rate is that of the whole.
    const [tokens, ms] = row === 'beams_4' ? [new_tokens, total_ms] : [new_tokens - 1, total_ms - first_token_ms];
    best = Math.max(best, (tokens / ms) * 1000);
    if (result.drafted !== undefined) detail = { drafted: result.drafted, accepted: result.accepted };
  }
  report[row] = { tokens_per_second: Math.round(best), ...detail };
}
const rate = (row) => report[row].tokens_per_second;
const ratios = {
  lookup_over_plain: rate('copy_lookup') / rate('copy'),
  structured_over_free: rate('structured') / rate('greedy'),
  sampled_over_greedy: rate('sampled') / rate('greedy'),
};
process.stdout.write(`${JSON.stringify({ model: name, ...report, ratios }, null, 1)}\n`);
await model.close();
