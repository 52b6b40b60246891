/** Byte-level BPE training: the vocabularies and merges of Hugging Face `tokenizers` (golden/tokenizer_training/make.py), and of a reference. */
import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { wellFormed } from '../src/tokenizers/bytes.ts';
import { tokenizerFromJsonText, trainBpe } from '../src/tokenizers/index.ts';
import { Pattern } from '../src/tokenizers/pattern.ts';
import { GPT2_PATTERN } from '../src/tokenizers/tokenizer-json.ts';
import { type Cutter, cutGpt2, cutLlama3, LLAMA3_PATTERN } from '../src/tokenizers/trainers/cutters.ts';

const golden = (name: string) => fileURLToPath(new URL(`./golden/tokenizer_training/${name}`, import.meta.url));
const text = fileURLToPath(new URL('../../shared/data/text', import.meta.url));
const reference = fileURLToPath(new URL('../../shared/data/tokenizers/bpe-training', import.meta.url));
const read = (name: string) => readFileSync(`${text}/${name}.txt`, 'utf8');

interface Model {
  readonly vocab: Readonly<Record<string, number>>;
  readonly merges: readonly (readonly [string, string])[];
}
const learned = (json: unknown) => {
  const { vocab, merges } = (json as { model: Model }).model;
  const tokens = Object.keys(vocab).sort((a, b) => vocab[a] - vocab[b]);
  return { tokens, merges: merges.map((pair) => pair.join(' ')) };
};

interface Case {
  readonly texts: readonly string[];
  readonly pattern: 'gpt2' | 'llama3';
  readonly bytes_first: boolean;
  readonly options: { readonly vocab_size: number };
  readonly tokens: readonly string[];
  readonly merges: readonly string[];
}

describe('learns what Hugging Face tokenizers learns', () => {
  it('from 250 small corpora of few letters', async () => {
    const cases = JSON.parse(readFileSync(golden('small.json'), 'utf8')) as Case[];
    expect(cases).toHaveLength(250);
    for (const { texts, pattern, bytes_first, options, tokens, merges } of cases) {
      const initial = bytes_first ? {} : { initial_alphabet: [] };
      const { json } = await trainBpe(texts, { ...options, ...initial, pattern });
      const ours = learned(json);
      expect(ours.merges, JSON.stringify({ texts, options })).toEqual(merges);
      expect(bytes_first ? ours.tokens.slice(256) : ours.tokens).toEqual(tokens);
    }
  });

  it.skipIf(!existsSync(text))('from tinyshakespeare and a Chinese novel (needs ../shared/data/text)', async () => {
    for (const [name, pattern, vocab_size] of [
      ['tinyshakespeare', 'gpt2', 1257],
      ['西游记', 'llama3', 1757],
    ] as const) {
      const { json } = await trainBpe([read(name)], { vocab_size, pattern, special_tokens: ['<|endoftext|>'] });
      expect(`${learned(json).merges.join('\n')}\n`).toBe(
        readFileSync(golden(`${name}.${pattern}.merges.txt`), 'utf8'),
      );
    }
  });

  it.skipIf(!existsSync(text))('8,000 merges from five novels (needs ../shared/data/text)', async () => {
    const hashes = JSON.parse(readFileSync(golden('novels.sha256.json'), 'utf8')) as Record<string, string>;
    const novels = ['红楼梦', '西游记', '三国演义', '水浒传', 'war-and-peace'].map(read);
    for (const pattern of ['gpt2', 'llama3'] as const) {
      const ours = learned((await trainBpe(novels, { vocab_size: 8256, pattern })).json);
      for (const part of ['tokens', 'merges'] as const) {
        const hash = createHash('sha256').update(ours[part].join('\n')).digest('hex');
        expect(hash, `${pattern} ${part}`).toBe(hashes[`${pattern}.${part}`]);
      }
    }
  });
});

it.skipIf(!existsSync(reference))(
  'learns the vocabulary and merges of a published reference, which breaks ties by bytes (needs ../shared/data/tokenizers)',
  async () => {
    const corpus = readFileSync(`${reference}/corpus.en`, 'utf8');
    const vocab = JSON.parse(readFileSync(`${reference}/train-bpe-reference-vocab.json`, 'utf8')) as Model['vocab'];
    const merges = readFileSync(`${reference}/train-bpe-reference-merges.txt`, 'utf8').trim().split('\n');
    const options = { vocab_size: 500, special_tokens: ['<|endoftext|>'] };
    const { json } = await trainBpe([corpus], { ...options, ties: 'greatest_bytes' });
    expect(learned(json).merges).toEqual(merges);
    expect(learned(json).tokens.sort()).toEqual(Object.keys(vocab).sort());
    // By ids the same counts come in another order, here and there.
    expect(learned((await trainBpe([corpus], options)).json).merges).not.toEqual(merges);
  },
);

/** The rule itself, as slowly as it can be said: count all pairs of all words anew for every merge. */
function slowMerges(words: readonly string[], merges: number): string[] {
  const bytes = (word: string) => Array.from(new TextEncoder().encode(word));
  const order = Array.from({ length: 256 }, (_, byte) => byte);
  const prints = (b: number) => (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174;
  const ids = [...order.filter(prints), ...order.filter((b) => !prints(b))];
  const split = words.map((word) => bytes(word).map((byte) => ids.indexOf(byte)));
  const names = ids.map((byte) => [byte]);
  const found: string[] = [];
  while (found.length < merges) {
    const counts = new Map<number, number>();
    for (const word of split) {
      for (let i = 1; i < word.length; i++) {
        const pair = word[i - 1] * 100_000 + word[i];
        counts.set(pair, (counts.get(pair) ?? 0) + 1);
      }
    }
    const best = [...counts].sort((a, b) => b[1] - a[1] || a[0] - b[0])[0];
    if (!best) break;
    const [left, right] = [Math.floor(best[0] / 100_000), best[0] % 100_000];
    names.push([...names[left], ...names[right]]);
    found.push(`${names[left]} ${names[right]}`);
    for (const word of split) {
      for (let i = 0; i + 1 < word.length; i++) {
        if (word[i] === left && word[i + 1] === right) word.splice(i, 2, names.length - 1);
      }
    }
  }
  return found;
}

it('merges as the rule says, on random words', async () => {
  const toBytes = (token: string) => {
    const prints = (b: number) => (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174;
    const rest = Array.from({ length: 256 }, (_, byte) => byte).filter((b) => !prints(b));
    return Array.from(token, (char) =>
      char.charCodeAt(0) < 256 ? char.charCodeAt(0) : rest[char.charCodeAt(0) - 256],
    );
  };
  const word = fc.string({ unit: fc.constantFrom('a', 'b', 'c', '中', '国'), minLength: 1, maxLength: 30 });
  await fc.assert(
    fc.asyncProperty(fc.array(word, { minLength: 1, maxLength: 8 }), fc.boolean(), async (some, uneven) => {
      // One word that is nearly the whole corpus makes the first guess of how frequent the last merge is far too high.
      const words = uneven ? [...some, ...Array.from({ length: 2000 }, () => 'xyz')] : some;
      const { json } = await trainBpe(words, { vocab_size: 286 });
      const ours = (json as unknown as { model: Model }).model.merges;
      expect(ours.map(([a, b]) => `${toBytes(a)} ${toBytes(b)}`)).toEqual(slowMerges(words, 30));
    }),
    { numRuns: 60 },
  );
});

describe('the hand-written cutters cut as their patterns do', () => {
  const cut = (cutter: Cutter, sample: string) => {
    const units = Uint16Array.from({ length: sample.length }, (_, i) => sample.charCodeAt(i));
    const ends: number[] = [];
    for (let at = 0; at < sample.length; ) {
      at = cutter(units, at, sample.length);
      ends.push(at);
    }
    return ends;
  };
  const unit = fc.oneof(
    fc.constantFrom(...Array.from(" \n\r\t'’sStTdDmMrReEvVlLaZ019.,!-·中国é½²ſİ\u0085\u00a0\u3000\ufeff\u0301😀𝒜𝟘")),
    fc.constantFrom("'s", "'RE", "'ll", "'ſ", '\r\n', '  ', ' \n'),
    fc.string({ unit: 'grapheme', minLength: 1, maxLength: 1 }),
  );
  const sample = fc.array(unit, { maxLength: 30 }).map((parts) => parts.join(''));
  it.each([
    ['gpt2', cutGpt2, GPT2_PATTERN],
    ['llama3', cutLlama3, LLAMA3_PATTERN],
  ] as const)('%s', (_, cutter, source) => {
    const pattern = new Pattern(source);
    fc.assert(
      fc.property(sample, (input) => {
        const ends: number[] = [];
        pattern.matches(input, (start, end) => {
          expect(start).toBe(ends.at(-1) ?? 0);
          ends.push(end);
        });
        expect(cut(cutter, input)).toEqual(ends);
      }),
      { numRuns: 5000 },
    );
  });
});

describe('the result', () => {
  const corpus = ['the cat sat on the mat, the end.', '猫坐在垫子上，完。', 'the cat’s 2,000 mats'];
  it('encodes and decodes every text, and reads its own file again', async () => {
    const { json, tokenizer } = await trainBpe(corpus, { vocab_size: 300, special_tokens: ['<|endoftext|>'] });
    const again = tokenizerFromJsonText(JSON.stringify(json));
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (any) => {
        const ids = tokenizer.encodeIds(any);
        expect(tokenizer.decode(ids)).toBe(wellFormed(any));
        expect(again.encodeIds(any)).toEqual(ids);
      }),
    );
    expect(tokenizer.encodeIds('the cat').length).toBeLessThan(4);
    expect(tokenizer.isSpecial(0)).toBe(true);
    expect(tokenizer.idToToken(0)).toBe('<|endoftext|>');
  });

  it('knows the tokens with roles', async () => {
    const roles = { eos_token: '</s>' };
    const { tokenizer } = await trainBpe(corpus, { vocab_size: 270, special_tokens: ['<s>', '</s>'], roles });
    expect(tokenizer.special.eos).toBe(1);
  });

  it('is the same from an async iterable, and from a pattern given as an expression', async () => {
    async function* later() {
      yield* corpus;
    }
    const options = { vocab_size: 290 };
    const wanted = JSON.stringify((await trainBpe(corpus, options)).json);
    expect(JSON.stringify((await trainBpe(later(), options)).json)).toBe(wanted);
    const own = `(?:${GPT2_PATTERN})`;
    const { json } = await trainBpe(corpus, { ...options, pattern: own });
    expect(learned(json)).toEqual(learned(JSON.parse(wanted)));
    expect(JSON.stringify(json)).toContain(JSON.stringify(own).slice(1, -1));
  });

  it('may name a token after a property of all objects', async () => {
    const { json, tokenizer } = await trainBpe(['__proto__ __proto__'], { vocab_size: 270, pattern: '\\S+' });
    expect(learned(json).tokens).toContain('__proto__');
    expect(tokenizer.decode(tokenizer.encodeIds('__proto__'))).toBe('__proto__');
  });
});

describe('refuses, and says why', () => {
  const options = { vocab_size: 300 };
  it('an empty corpus', async () => {
    await expect(trainBpe([], options)).rejects.toThrow(/corpus is empty/);
    await expect(trainBpe(['', ''], options)).rejects.toThrow(/all empty.*corpus is empty/);
  });
  it('a vocabulary too small, with both numbers', async () => {
    await expect(trainBpe(['a'], { vocab_size: 256, special_tokens: ['<s>'] })).rejects.toThrow(
      /vocab_size = 256.*at least 257.*256.*1 special/,
    );
  });
  it('binary data', async () => {
    await expect(trainBpe(['fine', 'a\0b'], options)).rejects.toThrow(/texts\[1\].*binary data.*NUL at place 1/);
    await expect(trainBpe(['\ufffd\u0001'.repeat(50)], options)).rejects.toThrow(/texts\[0\].*binary data/);
    await expect(trainBpe([7 as unknown as string], options)).rejects.toThrow(/texts\[0\].*not a text/);
  });
  it('options that mean nothing', async () => {
    await expect(trainBpe(['a'], { vocab_size: 1.5 })).rejects.toThrow(/vocab_size/);
    await expect(trainBpe(['a'], { ...options, pattern: '(' })).rejects.toThrow(/pattern/);
    await expect(trainBpe(['a'], { ...options, special_tokens: ['x', 'x'] })).rejects.toThrow(/twice/);
    await expect(trainBpe(['a'], { ...options, roles: { bos_token: '<s>' } })).rejects.toThrow(/bos_token/);
    await expect(trainBpe(['a'], { ...options, initial_alphabet: [300] })).rejects.toThrow(/initial_alphabet/);
  });
});

it('tells progress in order and stops when asked', async () => {
  const line = 'pack my box with five dozen liquor jugs ';
  const texts = Array.from({ length: 50 }, (_, i) => line.repeat(20) + i);
  const stages: string[] = [];
  let last = -1;
  await trainBpe(texts, {
    vocab_size: 400,
    expected_length: texts.join('').length,
    onProgress: ({ stage, share }) => {
      if (stages.at(-1) !== stage) [last] = [-1, stages.push(stage)];
      expect(share).toBeGreaterThanOrEqual(last);
      last = share;
    },
  });
  expect(stages).toEqual(['read', 'merge']);
  expect(last).toBe(1);

  const control = new AbortController();
  async function* endless() {
    for (let i = 0; ; i++) {
      if (i === 3) control.abort();
      yield `${line}${i}`.repeat(1000);
    }
  }
  await expect(trainBpe(endless(), { vocab_size: 300, signal: control.signal })).rejects.toThrow(/interrupted/);
});
