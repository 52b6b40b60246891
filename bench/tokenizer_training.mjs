/**
 * `node bench/tokenizer_training.mjs [--vocab_size 8256] [--pattern gpt2] [--rounds 3] [--python PYTHON]`: byte-level BPE training over the
 * texts of ../shared/data/text (four Chinese novels and War and Peace), from strings to a tokenizer, in megabytes of UTF-8 a second of
 * processor time, best of the rounds. With an interpreter that has Hugging Face `tokenizers`, that trainer in turn, on one thread.
 */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { trainBpe } from '../dist/tokenizers/index.js';

const { values } = parseArgs({
  options: {
    vocab_size: { type: 'string', default: '8256' },
    pattern: { type: 'string', default: 'gpt2' },
    rounds: { type: 'string', default: '3' },
    folder: { type: 'string', default: fileURLToPath(new URL('../../shared/data/text', import.meta.url)) },
    python: { type: 'string' },
  },
});
const files = ['红楼梦', '西游记', '三国演义', '水浒传', 'war-and-peace'].map((name) => `${values.folder}/${name}.txt`);
const vocab_size = Number(values.vocab_size);

const megabytes = files.reduce((sum, file) => sum + readFileSync(file).length, 0) / 1e6;
let best = Number.POSITIVE_INFINITY;
let theirs = Number.POSITIVE_INFINITY;
for (let round = 0; round < Number(values.rounds); round++) {
  const texts = files.map((file) => readFileSync(file, 'utf8'));
  const before = process.cpuUsage();
  const start = performance.now();
  const { json } = await trainBpe(texts, { vocab_size, pattern: values.pattern });
  const { user, system } = process.cpuUsage(before);
  const seconds = (user + system) / 1e6;
  const wall = (performance.now() - start) / 1000;
  best = Math.min(best, seconds);
  const rate = (megabytes / seconds).toFixed(2);
  console.log(
    `inkstone ${rate} MB/s (${seconds.toFixed(2)} s of processor, ${wall.toFixed(2)} s passed, ${json.model.merges.length} merges)`,
  );
  if (!values.python) continue;
  const script = fileURLToPath(new URL('./tokenizer_training.py', import.meta.url));
  const env = { ...process.env, RAYON_NUM_THREADS: '1', TOKENIZERS_PARALLELISM: 'false' };
  const args = [script, values.vocab_size, values.pattern, ...files];
  const { stdout, stderr, status } = spawnSync(values.python, args, { encoding: 'utf8', env });
  if (status !== 0) throw new Error(`${values.python}: ${stderr}`);
  const { seconds: other, wall: passed, merges } = JSON.parse(stdout);
  theirs = Math.min(theirs, other);
  const same = JSON.stringify(merges) === JSON.stringify(json.model.merges) ? 'the same merges' : 'OTHER MERGES';
  console.log(
    `tokenizers ${(megabytes / other).toFixed(2)} MB/s (${other.toFixed(2)} s of processor, ${passed.toFixed(2)} s passed, ${same})`,
  );
}
console.log(`best: inkstone ${(megabytes / best).toFixed(2)} MB/s of ${megabytes.toFixed(1)} MB`);
if (values.python)
  console.log(`best: tokenizers ${(megabytes / theirs).toFixed(2)} MB/s; ratio ${(theirs / best).toFixed(1)}x`);
