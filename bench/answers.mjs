/**
 * `node bench/answers.mjs RUN [--count 20] [--threads 2]`: what the base and the adapter of a run of `inkstone tune` (sft) answer to the first records
 * that the run set apart, unpicked, greedily. Both answer in one batch of one engine. Markdown on stdout.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { generateAll } from '../dist/generation/index.js';
import { readRecords } from '../dist/node/examples.js';
import { openModel } from '../dist/node/open_model.js';
import { ExampleCodec, SupervisedReader, splitExamples } from '../dist/training/examples/index.js';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { count: { type: 'string', default: '20' }, threads: { type: 'string', default: '2' } },
});
const { request, seed } = JSON.parse(readFileSync(join(positionals[0], 'run.json'), 'utf8'));
const model = await openModel(positionals[0], { threads: Number(values.threads), precision: 'exact' });
const reader = new SupervisedReader(new ExampleCodec(model));
const examples = [];
for await (const record of readRecords(request.data)) examples.push(reader.read(record));
const { validation } = splitExamples(examples, { fraction: request.validation_fraction ?? 0.1, seed });
const chosen = validation.slice(0, Number(values.count));
const prompts = chosen.map(({ ids, learn }) => Array.from(ids.subarray(0, learn.indexOf(1, 1))));
const answer = async (adapter) => {
  const answers = new Array(prompts.length);
  const settings = { do_sample: false, max_new_tokens: 60 };
  for (const { prompt, text } of await generateAll(model, prompts, settings, { adapter })) answers[prompt] = text;
  return answers;
};
const [before, after] = [await answer(null), await answer(model.adapter)];
const cell = (text) => text.trim().replaceAll(/\s+/g, ' ').replaceAll('|', '\\|').slice(0, 200);
const question = (ids) => {
  const turns = model.tokenizer.decode(ids).split('user\n');
  return turns.at(-1).replace(/<\|im_end\|>.*$/s, '');
};
console.log('| | prompt | before | after |\n|---|---|---|---|');
prompts.forEach((ids, i) => {
  console.log(`| ${i + 1} | ${cell(question(ids))} | ${cell(before[i])} | ${cell(after[i])} |`);
});
await model.close();
