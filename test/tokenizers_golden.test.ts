/** Tokenizers against recorded results: Hugging Face `tokenizers` (golden), OpenAI's and ggml's published vectors. */
import { existsSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import {
  codePointOffsets,
  type TiktokenEncoding,
  type Tokenizer,
  tokenizerFromGguf,
  tokenizerFromGpt1Files,
  tokenizerFromGpt2Files,
  tokenizerFromJson,
  tokenizerFromLlama2c,
  tokenizerFromTiktoken,
} from '../src/tokenizers/index.ts';
import { MemorySource, readGguf } from '../src/weights/index.ts';

const golden = new URL('./golden/tokenizers/', import.meta.url);
const shared = new URL('../../shared/', import.meta.url);
const json = (url: URL) => JSON.parse(readFileSync(url, 'utf8'));
const texts: string[] = json(new URL('texts.json', golden));

interface Case {
  readonly ids: number[];
  readonly ids_no_special?: number[];
  readonly ids_with_digit_split?: number[];
  readonly offsets?: number[];
  readonly tokens?: string[];
  readonly decode_skip: string;
  readonly decode_keep: string;
}

function streamed(tokenizer: Tokenizer, ids: readonly number[]): string {
  const stream = tokenizer.stream();
  return ids.map((id) => stream.push(id)).join('') + stream.end();
}

const names = [
  'bpe_bytelevel_gpt2',
  'bpe_bytelevel_split_llama3',
  'bpe_bytefallback_llama2',
  'bpe_bytefallback_metaspace',
  'unigram',
];

describe.each(names)('%s', (name) => {
  const expected = json(new URL(`${name}/expected.json`, golden));
  const tokenizer = tokenizerFromJson(json(new URL(`${name}/tokenizer.json`, golden)));

  it('encodes and decodes all texts', () => {
    (expected.cases as Case[]).forEach((wanted, i) => {
      const text = texts[i];
      const encoding = tokenizer.encode(text, { parse_special: true });
      expect.soft([...encoding.ids], `ids of ${JSON.stringify(text)}`).toEqual(wanted.ids);
      expect.soft([...tokenizer.encodeIds(text, { parse_special: true })]).toEqual(wanted.ids);
      expect
        .soft([...codePointOffsets(text, encoding.offsets)], `offsets of ${JSON.stringify(text)}`)
        .toEqual(wanted.offsets);
      expect.soft(encoding.tokens).toEqual(wanted.tokens);
      const plain = tokenizer.encodeIds(text, { parse_special: true, add_special_tokens: false });
      expect.soft([...plain]).toEqual(wanted.ids_no_special ?? wanted.ids);
      expect.soft(tokenizer.decode(wanted.ids, { skip_special_tokens: true })).toBe(wanted.decode_skip);
      expect.soft(tokenizer.decode(wanted.ids)).toBe(wanted.decode_keep);
      expect.soft(streamed(tokenizer, wanted.ids)).toBe(wanted.decode_keep);
    });
  });

  it('joins pairs', () => {
    for (const { a, b, ids, type_ids } of expected.pairs) {
      const encoding = tokenizer.encodePair(a, b, { parse_special: true });
      expect.soft([...encoding.ids]).toEqual(ids);
      expect.soft([...encoding.typeIds]).toEqual(type_ids);
    }
  });

  it('knows its size', () => expect(tokenizer.vocabSize).toBe(expected.vocab_size));
});

const model = new URL('data/models/SmolLM2-135M-Instruct.Q4_1.gguf', shared);
describe.skipIf(!existsSync(model))('SmolLM2 (needs ../shared/data/models)', () => {
  it('has the ids of the original tokenizer', () => {
    const tokenizer = tokenizerFromGguf(readGguf(new MemorySource('SmolLM2', readFileSync(model))));
    const expected = json(new URL('golden/smollm2/tokenizer.json.expected.json', shared));
    (expected.cases as Case[]).forEach((wanted, i) => {
      const ids = tokenizer.encodeIds(texts[i], { parse_special: true });
      expect.soft([...ids], JSON.stringify(texts[i])).toEqual(wanted.ids_with_digit_split ?? wanted.ids);
      expect.soft(tokenizer.decode(wanted.ids)).toBe(wanted.decode_keep);
    });
  });
});

const data = new URL('data/tokenizers/', shared);
describe.skipIf(!existsSync(data))('published vectors (need ../shared/data/tokenizers)', () => {
  it('GPT-2: files and GGUF agree with ggml', () => {
    const files = tokenizerFromGpt2Files(
      json(new URL('gpt2/encoder.json', data)),
      readFileSync(new URL('gpt2/vocab.bpe', data), 'utf8'),
    );
    const gguf = tokenizerFromGguf(
      readGguf(new MemorySource('gguf', readFileSync(new URL('gpt2/ggml-vocab-gpt-2.gguf', data)))),
    );
    const inputs = readFileSync(new URL('gpt2/ggml-vocab-gpt-2.gguf.inp', data), 'utf8').split(
      '\n__ggml_vocab_test__\n',
    );
    const outputs = readFileSync(new URL('gpt2/ggml-vocab-gpt-2.gguf.out', data), 'utf8').split('\n');
    expect(inputs.length).toBeGreaterThanOrEqual(46);
    inputs.forEach((text, i) => {
      const wanted = outputs[i].split(' ').filter(Boolean).map(Number);
      for (const tokenizer of [files, gguf]) {
        expect
          .soft([...tokenizer.encodeIds(text, { add_special_tokens: false })], JSON.stringify(text))
          .toEqual(wanted);
        expect.soft(tokenizer.decode(wanted)).toBe(text);
      }
    });
  });

  it('tiktoken: the test plans', () => {
    const gpt2Ranks = ranksOfGpt2();
    const ranks: Record<string, string> = {
      r50k_base: gpt2Ranks,
      p50k_base: gpt2Ranks,
      p50k_edit: gpt2Ranks,
      cl100k_base: readFileSync(new URL('tiktoken/cl100k_base.tiktoken', data), 'utf8'),
      o200k_base: readFileSync(new URL('tiktoken/o200k_base.tiktoken', data), 'utf8'),
    };
    const tokenizers = new Map<string, Tokenizer>();
    const plan = readFileSync(new URL('tiktoken/TestPlans.txt', data), 'utf8');
    let count = 0;
    let skipped = 0;
    for (const [, name, sample, encoded] of plan.matchAll(
      /EncodingName: (\w+)\nSample: ([\s\S]*?)\nEncoded: \[([\d, ]*)\]/g,
    )) {
      if (!tokenizers.has(name)) tokenizers.set(name, tokenizerFromTiktoken(ranks[name], name as TiktokenEncoding));
      const wanted = encoded
        .split(',')
        .filter((part) => part.trim() !== '')
        .map(Number);
      // p50k adds 24 tokens of spaces to r50k's, whose ranks are not in the folder
      if (name.startsWith('p50k') && wanted.some((id) => id > 50256)) {
        skipped++;
        continue;
      }
      expect.soft([...tokenizers.get(name)!.encodeIds(sample)], `${name} ${JSON.stringify(sample)}`).toEqual(wanted);
      count++;
    }
    expect(count + skipped).toBe(313);
  });

  it('GPT-1: lower case, punctuation apart, words that end', () => {
    const tokenizer = tokenizerFromGpt1Files(
      json(new URL('gpt1/encoder_bpe_40000.json', data)),
      readFileSync(new URL('gpt1/vocab_40000.bpe', data), 'utf8'),
    );
    const ids = tokenizer.encodeIds('Hello world, this is GPT-1!');
    expect(tokenizer.decode(ids).trim()).toBe('hello world , this is gpt - 1 !');
    expect([...ids].every((id) => id !== tokenizer.special.unk)).toBe(true);
  });
});

/** GPT-2's vocabulary as a rank file, which is what r50k is. */
function ranksOfGpt2(): string {
  const vocab: Record<string, number> = json(new URL('gpt2/encoder.json', data));
  const byteOf = new Map<string, number>();
  let extra = 0;
  for (let byte = 0; byte < 256; byte++) {
    const printable = (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
    byteOf.set(String.fromCodePoint(printable ? byte : 256 + extra++), byte);
  }
  return Object.entries(vocab)
    .filter(([token]) => token !== '<|endoftext|>')
    .map(([token, id]) => `${Buffer.from([...token].map((char) => byteOf.get(char)!)).toString('base64')} ${id}`)
    .join('\n');
}

describe('llama2.c', () => {
  /** A tokenizer.bin as llama2.c's tokenizer.py writes it: longest piece, then score, length and bytes of each. */
  function tokenizerBin(pieces: readonly (readonly [string, number])[]): Uint8Array {
    const parts = [Buffer.alloc(4)];
    for (const [piece, score] of pieces) {
      const bytes = Buffer.from(piece, 'utf8');
      const head = Buffer.alloc(8);
      head.writeFloatLE(score, 0);
      head.writeInt32LE(bytes.length, 4);
      parts.push(head, bytes);
    }
    return Buffer.concat(parts);
  }
  const bytes = Array.from(
    { length: 256 },
    (_, i) => [`<0x${i.toString(16).toUpperCase().padStart(2, '0')}>`, 0] as const,
  );
  const pieces = [
    ['<unk>', 0],
    ['\n<s>\n', 0],
    ['\n</s>\n', 0],
    ...bytes,
    [' a', -1],
    ['an', -2],
    [' an', -3],
    [' ', -4],
    ['a', -5],
    ['n', -6],
  ] as const;

  it('merges by score, falls back to bytes, and begins with a space', () => {
    const tokenizer = tokenizerFromLlama2c(tokenizerBin(pieces), pieces.length);
    const id = (piece: string) => pieces.findIndex(([text]) => text === piece);
    expect([...tokenizer.encodeIds('an')]).toEqual([1, id(' an')]);
    expect([...tokenizer.encodeIds('an é')]).toEqual([1, id(' an'), id(' '), 3 + 0xc3, 3 + 0xa9]);
    expect(tokenizer.decode(tokenizer.encodeIds('an é'), { skip_special_tokens: true })).toBe('an é');
  });

  it('refuses a file that ends too soon', () => {
    expect(() => tokenizerFromLlama2c(tokenizerBin(pieces).subarray(0, 40), pieces.length)).toThrow(
      /token \d+: lies beyond/,
    );
  });
});
