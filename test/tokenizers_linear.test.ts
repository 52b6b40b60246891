/**
 * Encoding takes time in proportion to the text, on the texts that make tokenizers quadratic: a megabyte of one letter,
 * of spaces, of Chinese, of capitals, digits or line ends. Processor time is measured, not the clock, so that other work on
 * the machine matters little.
 */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import {
  type Tokenizer,
  tokenizerFromGguf,
  tokenizerFromJson,
  tokenizerFromTiktoken,
} from '../src/tokenizers/index.ts';

const golden = (name: string): Tokenizer =>
  tokenizerFromJson(
    JSON.parse(readFileSync(new URL(`golden/tokenizers/${name}/tokenizer.json`, import.meta.url), 'utf8')),
  );

function processorTime(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

function timeOf(run: () => void): number {
  const start = processorTime();
  run();
  return processorTime() - start;
}

/** What doubling a text may cost at most. */
const LIMIT = 2.3;

/**
 * The ratio for one doubling, from two of them: the square root of time(4n) / time(n). The short text is encoded four times for
 * every time that the long one is, so that both sides do the same work, make the same garbage and suffer the same noise; each
 * side's best of up to 15 attempts counts.
 */
function ratioOf(tokenizer: Tokenizer, unit: string, units: number): number {
  const once = unit.repeat(Math.ceil(units / 4 / unit.length));
  const fourfold = once.repeat(4);
  tokenizer.encodeIds(once);
  let small = Number.POSITIVE_INFINITY;
  let large = Number.POSITIVE_INFINITY;
  for (let attempt = 0; attempt < 15; attempt++) {
    const fourTimes = timeOf(() => {
      for (let i = 0; i < 4; i++) tokenizer.encodeIds(once);
    });
    small = Math.min(small, fourTimes / 4);
    large = Math.min(
      large,
      timeOf(() => tokenizer.encodeIds(fourfold)),
    );
    if (Math.sqrt(large / small) <= LIMIT) break;
  }
  return Math.sqrt(large / small);
}

/** Ranks for the 256 bytes and for runs of one byte, in the published shape. */
function ranks(): string {
  const tokens: number[][] = Array.from({ length: 256 }, (_, byte) => [byte]);
  for (const byte of [97, 32, 10, 65]) for (let n = 2; n <= 64; n *= 2) tokens.push(new Array(n).fill(byte));
  tokens.push([0xe4, 0xb8], [0xe4, 0xb8, 0xad]);
  return tokens.map((bytes, rank) => `${Buffer.from(bytes).toString('base64')} ${rank}`).join('\n');
}

/** A SentencePiece vocabulary of one letter, marks and the bytes. */
function pieces(): Tokenizer {
  const tokens = ['<unk>', '<s>', '</s>'];
  for (let byte = 0; byte < 256; byte++) tokens.push(`<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`);
  for (let n = 1; n <= 16; n *= 2) tokens.push('▁'.repeat(n), 'a'.repeat(n));
  const metadata = new Map<string, unknown>([
    ['tokenizer.ggml.model', 'llama'],
    ['tokenizer.ggml.tokens', tokens],
    ['tokenizer.ggml.scores', tokens.map((_, id) => -id)],
  ]);
  return tokenizerFromGguf({ name: 'pieces.gguf', metadata });
}

const tokenizers: readonly (readonly [string, Tokenizer])[] = [
  ['byte-level BPE, GPT-2', golden('bpe_bytelevel_gpt2')],
  ['byte-level BPE, Llama 3', golden('bpe_bytelevel_split_llama3')],
  ['BPE with byte fallback', golden('bpe_bytefallback_llama2')],
  ['unigram', golden('unigram')],
  ['ranks, o200k', tokenizerFromTiktoken(ranks(), { pattern: o200k(), special: {} })],
  ['scores', pieces()],
];

function o200k(): string {
  return [
    '[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]+',
    '[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]+[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]*',
    '\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+',
  ].join('|');
}

const texts = {
  a: 'a',
  spaces: ' ',
  Chinese: '中',
  'Chinese text': '床前明月光，疑是地上霜',
  capitals: 'A',
  'line ends': '\n',
};

describe.each(tokenizers)('%s', (_name, tokenizer) => {
  it.each(Object.keys(texts) as (keyof typeof texts)[])(
    'megabytes of %s',
    (name) => {
      expect(ratioOf(tokenizer, texts[name], 2_000_000)).toBeLessThanOrEqual(LIMIT);
    },
    240_000,
  );
});

describe('other hard texts', () => {
  it('spaces that end in a letter, for a rule that wants the end (\\s+$)', () => {
    const tokenizer = tokenizerFromJson({
      model: { type: 'Unigram', unk_id: 0, vocab: [['<unk>', 0]] },
      pre_tokenizer: { type: 'Split', pattern: { Regex: '\\s+$|\\s*[\\r\\n]+' }, behavior: 'Isolated' },
    });
    const text = `${' '.repeat(400_000)}a`;
    expect([...tokenizer.encodeIds(text)]).toEqual([0]);
    expect(ratioOf(tokenizer, text, 400_000)).toBeLessThanOrEqual(LIMIT);
  }, 120_000);

  it('ten megabytes in one piece neither recurse nor fail', () => {
    const ids = tokenizers[0][1].encodeIds('a'.repeat(10_000_000));
    expect(ids.length).toBeGreaterThan(100_000);
  }, 120_000);
});
