/**
 * Sums of two numbers of three digits, as `inkstone tune` and `inkstone eval` read them: `node scripts/addition.mjs FOLDER [--count 200000] [--held 2000]`
 * writes train.jsonl, test.jsonl (no sum is in both) and sums.txt, from which a tokenizer learns the characters.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    count: { type: 'string', default: '200000' },
    held: { type: 'string', default: '2000' },
    seed: { type: 'string', default: '1' },
  },
});
const [folder = 'addition'] = positionals;
const [count, held] = [Number(values.count), Number(values.held)];
if (!(count > 0 && held > 0 && count + held <= 1e6)) throw new Error('there are 1,000,000 sums: ask for fewer');

/** All pairs in an order of the seed's (Fisher and Yates), with numbers of Marsaglia's xorshift. */
let state = (Number(values.seed) * 2654435761 + 1) >>> 0 || 1;
const random = () => {
  state ^= state << 13;
  state ^= state >>> 17;
  state ^= state << 5;
  return (state >>> 0) / 2 ** 32;
};
const order = Uint32Array.from({ length: 1e6 }, (_, i) => i);
for (let i = order.length - 1; i > 0; i--) {
  const j = Math.floor(random() * (i + 1));
  [order[i], order[j]] = [order[j], order[i]];
}
let place = 0;
const record = () => {
  const n = order[place++];
  const [a, b] = [Math.floor(n / 1000), n % 1000];
  return { prompt: `${a}+${b}=`, completion: String(a + b) };
};
const lines = (n) => Array.from({ length: n }, () => `${JSON.stringify(record())}\n`).join('');

mkdirSync(folder, { recursive: true });
writeFileSync(join(folder, 'test.jsonl'), lines(held));
writeFileSync(join(folder, 'train.jsonl'), lines(count));
writeFileSync(join(folder, 'sums.txt'), '0123456789+=\n'.repeat(100));
console.error(`${count} sums to learn from and ${held} others in ${folder}`);
