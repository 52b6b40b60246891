/** Unigram training: the properties it must have, and how long its encodings are beside those of Hugging Face `tokenizers` 0.23.3. */
import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { wellFormed } from '../src/tokenizers/bytes.ts';
import { tokenizerFromJsonText, trainUnigram } from '../src/tokenizers/index.ts';
import { type Stretches, seedPieces } from '../src/tokenizers/trainers/seed-pieces.ts';
import { digamma, Lattice, logShares, maximise, type Pieces } from '../src/tokenizers/trainers/unigram-fit.ts';

const shakespeare = fileURLToPath(new URL('../../shared/data/text/tinyshakespeare.txt', import.meta.url));

/** Words as stretches of one array of units. */
function stretches(words: readonly string[], counts = words.map(() => 1)): Stretches {
  const text = words.join('');
  const ends = words.map((_, i) => words.slice(0, i + 1).join('').length);
  return {
    units: Uint16Array.from({ length: text.length }, (_, i) => text.charCodeAt(i)),
    starts: Int32Array.from(ends, (end, i) => end - words[i].length),
    ends: Int32Array.from(ends),
    counts: Float64Array.from(counts),
  };
}

const textOf = (units: Uint16Array, start: number, length: number) =>
  String.fromCharCode(...units.subarray(start, start + length));

const word = fc.string({ unit: fc.constantFrom('a', 'b', '中', '😀'), minLength: 1, maxLength: 14 });

describe('the pieces to begin with', () => {
  /** Every string of 2 to 16 characters that occurs twice and is followed by two different things, by looking at all of them. */
  const slowSeeds = (words: readonly string[]) => {
    const followers = new Map<string, string[]>();
    for (const one of words) {
      const chars = [...Array.from(one), '\0'];
      for (let i = 0; i < chars.length; i++) {
        for (let n = 2; n <= 16 && i + n < chars.length; n++) {
          const text = chars.slice(i, i + n).join('');
          followers.set(text, [...(followers.get(text) ?? []), chars[i + n]]);
        }
      }
    }
    const found = new Map<string, number>();
    for (const [text, next] of followers) {
      if (next.length >= 2 && new Set(next).size >= 2) found.set(text, next.length * Array.from(text).length);
    }
    return found;
  };

  it('are the characters, and the strings that repeat and go on in several ways', () => {
    fc.assert(
      fc.property(fc.array(word, { minLength: 1, maxLength: 6 }), (words) => {
        const input = stretches(words);
        const seeds = seedPieces(input, 1_000_000);
        const texts = Array.from(seeds.starts, (start, i) => textOf(input.units, start, seeds.lengths[i]));
        expect(new Set(texts.slice(0, seeds.characters))).toEqual(new Set(Array.from(words.join(''))));
        const found = new Map(
          texts.slice(seeds.characters).map((text, i) => [text, seeds.weights[seeds.characters + i]]),
        );
        expect(found).toEqual(slowSeeds(words));
      }),
      { numRuns: 300 },
    );
  });

  it('are those that Hugging Face lists in its own test', () => {
    // models/unigram/trainer.rs, test_unigram_chars: pieces and their probabilities.
    const input = stretches(['This is a', 'こんにちは友達']);
    const seeds = seedPieces(input, 1_000_000);
    const scores = logShares(seeds.weights);
    const texts = Array.from(seeds.starts, (start, i) => textOf(input.units, start, seeds.lengths[i]));
    expect(texts.slice(-2)).toEqual(['is ', 's ']);
    expect(new Set(texts)).toEqual(new Set([...'si 達友んはにちこhaT', 'is ', 's ']));
    expect(scores.at(-2)).toBeCloseTo(-1.4663370687934272, 10);
    expect(scores.at(-1)).toBeCloseTo(-1.8718021769015916, 10);
    expect(scores[0]).toBeCloseTo(-2.5649493574615367, 10);
  });
});

/** All ways to cut a text into pieces. */
function ways(text: string, scores: ReadonlyMap<string, number>): { pieces: string[]; score: number }[] {
  if (text === '') return [{ pieces: [], score: 0 }];
  return [...scores]
    .filter(([piece]) => text.startsWith(piece))
    .flatMap(([piece, score]) =>
      ways(text.slice(piece.length), scores).map((rest) => ({
        pieces: [piece, ...rest.pieces],
        score: score + rest.score,
      })),
    );
}

function setUp(words: readonly string[], counts?: readonly number[]) {
  const input = stretches(words, counts && [...counts]);
  const seeds = seedPieces(input, 1000);
  const pieces: Pieces = {
    starts: Int32Array.of(-1, ...seeds.starts),
    lengths: Int32Array.of(0, ...seeds.lengths),
    scores: Float64Array.of(0, ...logShares(seeds.weights)),
  };
  return { input, pieces };
}

describe('expectation and maximisation', () => {
  it('sum over all ways, as counting them one by one does', () => {
    fc.assert(
      fc.property(
        fc.array(
          word.filter((one) => one.length <= 9),
          { minLength: 1, maxLength: 4 },
        ),
        (words) => {
          const { input, pieces } = setUp(words);
          const lattice = new Lattice(input.units, pieces);
          const names = Array.from(pieces.starts, (start, i) => textOf(input.units, start, pieces.lengths[i]));
          const scores = new Map(names.slice(1).map((name, i) => [name, pieces.scores[i + 1]]));
          for (let i = 0; i < words.length; i++) {
            const expected = new Float64Array(names.length);
            const likelihood = lattice.expect(input.starts[i], input.ends[i], 1, expected);
            const all = ways(words[i], scores);
            const total = all.reduce((sum, { score }) => sum + Math.exp(score), 0);
            expect(likelihood).toBeCloseTo(Math.log(total), 8);
            for (let id = 1; id < names.length; id++) {
              const uses = all.reduce((sum, { pieces: cut, score }) => {
                return sum + cut.filter((piece) => piece === names[id]).length * Math.exp(score);
              }, 0);
              expect(expected[id]).toBeCloseTo(uses / total, 8);
            }
            const best = Math.max(...all.map(({ score }) => score));
            expect(lattice.bestPath(input.starts[i], input.ends[i], () => {})).toBeCloseTo(best, 8);
          }
        },
      ),
      { numRuns: 100 },
    );
  });

  it('raise the likelihood of the corpus every round', () => {
    const words = ['the ', 'then', 'them', 'there', 'other', 'mother', 'bathe', 'the', 'thethe', '他们', '我们', '们'];
    const counts = words.map((_, i) => 20 * (i + 1));
    let { input, pieces } = setUp(words, counts);
    let before = Number.NEGATIVE_INFINITY;
    for (let round = 0; round < 12; round++) {
      const lattice = new Lattice(input.units, pieces);
      const expected = new Float64Array(pieces.scores.length);
      let likelihood = 0;
      words.forEach((_, i) => {
        likelihood += counts[i] * lattice.expect(input.starts[i], input.ends[i], counts[i], expected);
      });
      // The probabilities of the first round are shares of what pieces are worth, and no fit yet.
      expect(likelihood).toBeGreaterThan(before - 1e-3 * Math.abs(likelihood));
      if (round > 0) expect(likelihood).toBeGreaterThan(before - 1e-4 * Math.abs(before));
      before = likelihood;
      pieces = maximise(pieces, expected);
    }
  });

  it('know the digamma function', () => {
    // Abramowitz & Stegun, 6.3.2, 6.3.3 and table 6.1.
    expect(digamma(1)).toBeCloseTo(-0.5772156649, 8);
    expect(digamma(0.5)).toBeCloseTo(-1.963510026, 8);
    expect(digamma(2)).toBeCloseTo(0.4227843351, 8);
  });
});

describe('the result', () => {
  const lines = [
    'the cat sat on the mat, then the rat sat on that cat.',
    '猫坐在垫子上，猫又坐在垫子上。',
    'the cats’ 2,000 mats',
  ];
  it('has as many tokens as asked, and decodes every text exactly, also from its own file', async () => {
    const { json, tokenizer } = await trainUnigram(lines, { vocab_size: 288, special_tokens: ['<unk>', '</s>'] });
    expect(tokenizer.vocabSize).toBe(288);
    const again = tokenizerFromJsonText(JSON.stringify(json));
    const any = fc.oneof(
      fc.string({ unit: 'binary' }),
      fc.constantFrom('▁ ▁', '<0x0A>', ' a', 'a ', '\r\n', '<unk>', ''),
    );
    fc.assert(
      fc.property(any, (text) => {
        const ids = tokenizer.encodeIds(text);
        expect(tokenizer.decode(ids)).toBe(wellFormed(text));
        expect(again.encodeIds(text)).toEqual(ids);
      }),
    );
    expect(tokenizer.special.unk).toBe(0);
  });

  it('gives unknown characters the unknown token where there are no bytes', async () => {
    const options = { vocab_size: 40, byte_fallback: false };
    const { tokenizer } = await trainUnigram(['abab abab cab bac ab'.repeat(5)], options);
    expect(Array.from(tokenizer.encodeIds('ab中ab'))).toContain(tokenizer.special.unk);
  });

  it('leaves rare characters to the bytes when the alphabet is limited', async () => {
    const { tokenizer } = await trainUnigram(['aaaa bbbb 中 国'.repeat(3)], { vocab_size: 262, limit_alphabet: 3 });
    expect(tokenizer.tokenToId('中')).toBeUndefined();
    expect(tokenizer.encodeIds('中').length).toBe(3);
    expect(tokenizer.decode(tokenizer.encodeIds('a中b'))).toBe('a中b');
  });

  it('copes with words of any length', async () => {
    const long = `${'ab'.repeat(20_000)} ${'😀'.repeat(3000)} ${'z'.repeat(5000)}`;
    const { tokenizer } = await trainUnigram([long], { vocab_size: 300 });
    expect(tokenizer.decode(tokenizer.encodeIds(long))).toBe(long);
    expect(tokenizer.encodeIds(long).length).toBeLessThan(long.length / 8);
  });

  it('refuses a vocabulary without room for alphabet and special tokens, an empty corpus, odd settings', async () => {
    await expect(trainUnigram(['abc'], { vocab_size: 259 })).rejects.toThrow(/vocab_size = 259.*at least 260.*259.*1/);
    await expect(trainUnigram([], { vocab_size: 300 })).rejects.toThrow(/empty/);
    await expect(trainUnigram(['a'], { vocab_size: 300, shrinking_factor: 1 })).rejects.toThrow(/shrinking_factor/);
  });

  it('stops when asked', async () => {
    const signal = AbortSignal.abort();
    await expect(trainUnigram(['abc'], { vocab_size: 300, signal })).rejects.toThrow(/interrupted/);
  });

  it.skipIf(!existsSync(shakespeare))(
    'encodes its corpus as shortly as that of Hugging Face does (needs ../shared/data/text)',
    async () => {
      const text = readFileSync(shakespeare, 'utf8');
      const options = { vocab_size: 2256, special_tokens: ['<unk>'] };
      const { tokenizer } = await trainUnigram([text], options);
      expect(tokenizer.vocabSize).toBe(2256);
      const ids = tokenizer.encodeIds(text);
      expect(tokenizer.decode(ids)).toBe(text);
      // UnigramTrainer(vocab_size=2000, special_tokens=["<unk>"], unk_token="<unk>") over the same cuts gives 433,163 tokens.
      expect(Math.abs(ids.length / 433_163 - 1)).toBeLessThan(0.01);
    },
  );
});
