/**
 * Scoring against prompt processing: tokens a second that `loglikelihood` scores on LAMBADA and BLiMP, beside those of the engine reading the same
 * texts as prompts in the same batches, alternately. Run `npm run build` first.
 *
 *     node bench/eval_scoring.mjs MODEL DATA [--limit 64] [--rounds 3] [--precision fast] [--threads 2]
 */
import { parseArgs } from 'node:util';
import { encodePair, prefixToken } from '../dist/evaluation/encode.js';
import { scoreIds } from '../dist/evaluation/score.js';
import { TaskScorer } from '../dist/evaluation/scorer.js';
import { Engine } from '../dist/generation/engine.js';
import { openTask } from '../dist/node/eval_data.js';
import { openModel } from '../dist/node/open_model.js';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    limit: { type: 'string', default: '64' },
    rounds: { type: 'string', default: '3' },
    precision: { type: 'string', default: 'fast' },
    threads: { type: 'string', default: '2' },
  },
});
const [file, data] = positionals;
const limit = Number(values.limit);
const model = await openModel(file, { precision: values.precision, threads: Number(values.threads) });
// What one round computed must not help the next.
const engine = new Engine(model.engine.model, { precision: values.precision, prefixCache: false });
const prefix = prefixToken(model.tokenizer, model.generationConfig);

async function pairsOf(name) {
  const task = openTask(name, { data });
  const scorer = new TaskScorer(task.definition);
  const documents = (await task.documents(task.definition.dataset.split)).slice(0, limit);
  return documents.flatMap((document) =>
    scorer
      .item(document, [])
      .query.requests.map(({ context, continuation }) => encodePair(model.tokenizer, context, continuation, prefix)),
  );
}

/** The same ids as prompts whose last logits alone are wanted, some 2048 tokens at once. */
async function prompts(pairs) {
  const lists = pairs.map(({ context, continuation }) => [...context, ...continuation].slice(0, -1));
  for (let from = 0; from < lists.length; ) {
    const sequences = [];
    for (let rows = 0; from < lists.length && rows + lists[from].length <= 2048 && sequences.length < 200; from++) {
      sequences.push(engine.sequence(lists[from]));
      rows += lists[from].length;
    }
    await engine.step(sequences.map((sequence) => ({ sequence, logits: 'none' })));
    for (const sequence of sequences) sequence.free();
  }
}

for (const name of ['lambada', 'blimp_wh_island']) {
  const pairs = await pairsOf(name);
  const tokens = pairs.reduce((sum, { context, continuation }) => sum + context.length + continuation.length - 1, 0);
  const best = { scoring: 0, prompt: 0 };
  for (let round = 0; round < Number(values.rounds); round++) {
    for (const [kind, work] of [
      ['prompt', () => prompts(pairs)],
      ['scoring', () => scoreIds(engine, pairs)],
    ]) {
      const start = performance.now();
      await work();
      best[kind] = Math.max(best[kind], (tokens / (performance.now() - start)) * 1000);
    }
  }
  const [scoring, prompt] = [best.scoring, best.prompt].map(Math.round);
  console.log(
    `${name}: ${tokens} tokens, scoring ${scoring}/s, prompts ${prompt}/s, ${(best.scoring / best.prompt).toFixed(2)}x`,
  );
}
await model.close();
