/** What must hold for every text: round trips, streams, special tokens, and the three ways to merge. */
import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { FileFormatError, SettingError } from '../src/errors.ts';
import {
  charactersOf,
  type Segment,
  type Tokenizer,
  tokenizerFromCharacters,
  tokenizerFromGguf,
  tokenizerFromJson,
  tokenizerFromTiktoken,
} from '../src/tokenizers/index.ts';
import { mergeSymbols, type PairRanker, Symbols } from '../src/tokenizers/merging.ts';
import { Pattern } from '../src/tokenizers/pattern.ts';

const names = ['bpe_bytelevel_gpt2', 'bpe_bytelevel_split_llama3', 'bpe_bytefallback_llama2', 'unigram'] as const;
const load = (name: string): Tokenizer =>
  tokenizerFromJson(
    JSON.parse(readFileSync(new URL(`golden/tokenizers/${name}/tokenizer.json`, import.meta.url), 'utf8')),
  );
const tokenizers = new Map(names.map((name) => [name, load(name)]));
const byteLevel = tokenizers.get('bpe_bytelevel_gpt2')!;

/** Texts of words, spaces, marks, emoji, specials and halves of them. */
const text = fc
  .array(
    fc.oneof(
      fc.string({ unit: 'grapheme', maxLength: 6 }),
      fc.string({ unit: 'binary', maxLength: 4 }),
      fc.constantFrom(
        ' ',
        '  ',
        '\n',
        'the ',
        "don't",
        '123',
        '你好',
        '😀',
        '<s>',
        '</s>',
        '<|endoftext|>',
        '<|user|>',
      ),
      fc.constantFrom(
        '<|begin_of_text|>',
        '<unk>',
        '<pad>',
        '<0x41>',
        '<|end',
        'oftext|>',
        '▁',
        'e\u0301',
        '<tool_call>',
      ),
    ),
    { maxLength: 14 },
  )
  .map((parts) => parts.join(''));

const wellFormed = (given: string) => given.replace(/\p{Surrogate}/gu, '\ufffd');

describe('any text', () => {
  it('comes back from byte-level ids, specials parsed or not', () => {
    fc.assert(
      fc.property(text, fc.boolean(), (given, parse_special) => {
        expect(byteLevel.decode(byteLevel.encodeIds(given, { parse_special }))).toBe(wellFormed(given));
      }),
    );
  });

  it('comes back from ids with byte fallback', () => {
    const tokenizer = tokenizers.get('bpe_bytefallback_llama2')!;
    fc.assert(
      fc.property(text, (given) => {
        const back = tokenizer.decode(tokenizer.encodeIds(given), { skip_special_tokens: true });
        // The visible mark of a space is a space to such a vocabulary.
        expect(back).toBe(wellFormed(given).replaceAll('▁', ' '));
      }),
    );
  });

  it.each(names)('of a user never becomes a special token (%s)', (name) => {
    const tokenizer = tokenizers.get(name)!;
    fc.assert(
      fc.property(text, (given) => {
        for (const id of tokenizer.encodeIds(given, { add_special_tokens: false })) {
          expect(tokenizer.isSpecial(id) && id !== tokenizer.special.unk).toBe(false);
        }
      }),
    );
  });

  it.each(names)('has the same ids with and without offsets, which are in order and in the text (%s)', (name) => {
    const tokenizer = tokenizers.get(name)!;
    fc.assert(
      fc.property(text, fc.boolean(), (given, parse_special) => {
        const { ids, offsets, tokens } = tokenizer.encode(given, { parse_special, add_special_tokens: false });
        expect([...tokenizer.encodeIds(given, { parse_special, add_special_tokens: false })]).toEqual([...ids]);
        expect(tokens.length).toBe(ids.length);
        let last = 0;
        for (let i = 0; i < ids.length; i++) {
          const [start, end] = [offsets[i * 2], offsets[i * 2 + 1]];
          expect(start).toBeGreaterThanOrEqual(0);
          expect(start).toBeLessThanOrEqual(end);
          expect(end).toBeLessThanOrEqual(given.length);
          expect(end).toBeGreaterThanOrEqual(last);
          last = end;
        }
      }),
    );
  });
});

describe('any ids', () => {
  it.each(names)(
    'stream to what decode gives, a beginning of it at every step, never half a character (%s)',
    (name) => {
      const tokenizer = tokenizers.get(name)!;
      const id = fc.integer({ min: 0, max: tokenizer.vocabSize + 3 });
      fc.assert(
        fc.property(fc.array(id, { maxLength: 40 }), fc.boolean(), (ids, skip_special_tokens) => {
          const whole = tokenizer.decode(ids, { skip_special_tokens });
          const stream = tokenizer.stream({ skip_special_tokens });
          let soFar = '';
          for (const one of ids) {
            soFar += stream.push(one);
            expect(whole.startsWith(soFar)).toBe(true);
            expect(/[\ud800-\udbff]$/.test(soFar)).toBe(false);
          }
          expect(soFar + stream.end()).toBe(whole);
        }),
      );
    },
  );

  it('in a byte-level vocabulary are the bytes of their tokens', () => {
    const id = fc.integer({ min: 0, max: byteLevel.vocabSize - 1 });
    fc.assert(
      fc.property(fc.array(id, { maxLength: 30 }), (ids) => {
        const bytes = ids.flatMap((one) => [...byteLevel.tokenBytes(one)]);
        expect(byteLevel.decode(ids)).toBe(
          new TextDecoder('utf-8', { ignoreBOM: true }).decode(Uint8Array.from(bytes)),
        );
      }),
    );
  });

  it('that are no ids are refused', () => {
    for (const id of [-1, 1.5, Number.NaN]) expect(() => byteLevel.decode([id])).toThrow(SettingError);
    expect(byteLevel.decode([byteLevel.vocabSize + 100])).toBe('');
  });
});

describe('segments', () => {
  it('keep the text of a user apart from the tokens of a template', () => {
    const user = 'Hi<|endoftext|><|user|>';
    const input: Segment[] = [{ special: '<|user|>' }, user, { special: '<|endoftext|>' }, { id: 1 }];
    const ids = [...byteLevel.encodeIds(input)];
    const [userId, endId] = [byteLevel.tokenToId('<|user|>')!, byteLevel.tokenToId('<|endoftext|>')!];
    expect(ids).toEqual([userId, ...byteLevel.encodeIds(user), endId, 1]);
    expect(ids.filter((id) => byteLevel.isSpecial(id))).toEqual([userId, endId, 1]);
    expect(byteLevel.decode(ids)).toBe(`<|user|>${user}<|endoftext|><s>`);
  });

  it('count as their texts in a row, neighbours as one text', () => {
    const parts = ['wo', 'rd', { special: '<s>' }, ' x'] as const;
    expect([...byteLevel.encodeIds(parts)]).toEqual([...byteLevel.encodeIds('word<s> x', { parse_special: true })]);
    const { offsets, ids } = byteLevel.encode(parts);
    const at = ids.indexOf(byteLevel.tokenToId('<s>')!);
    expect([...offsets.subarray(at * 2)]).toEqual([4, 7, 7, 8, 8, 9]);
  });

  it('refuse what is no added token', () => {
    expect(() => byteLevel.encodeIds([{ special: 'the' }])).toThrow(/special = "the": is not an added token/);
    expect(() => byteLevel.encodeIds([{ id: 99999 }])).toThrow(SettingError);
  });
});

describe('merging', () => {
  /** Ranks of random pairs of small ids; `monotone` as training makes them: a rank above those of its parts. */
  const rules = (seed: number, monotone: boolean): PairRanker => {
    const ranks = new Map<number, number>();
    let state = seed | 1;
    const next = (below: number) => {
      state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff;
      return (state >> 8) % below;
    };
    for (let rank = 0; rank < 40; rank++) {
      const known = monotone ? 4 + rank : 44;
      ranks.set(next(known) * 100 + next(known), rank);
    }
    return {
      foundId: -1,
      rank(symbols, left, right) {
        const rank = ranks.get(symbols.ids[left] * 100 + symbols.ids[right]) ?? -1;
        this.foundId = 4 + rank;
        return rank;
      },
    };
  };
  const symbolsOf = (ids: readonly number[]): Symbols => {
    const symbols = new Symbols();
    symbols.reset(ids.length);
    symbols.count = ids.length;
    ids.forEach((id, i) => {
      symbols.ids[i] = id;
      symbols.starts[i] = i;
      symbols.ends[i] = i + 1;
    });
    return symbols;
  };
  /** The definition: merge the leftmost pair of the best rank until there is none. */
  const byDefinition = (given: readonly number[], ranker: PairRanker): number[] => {
    const ids = [...given];
    for (;;) {
      let best = -1;
      let bestRank = Number.POSITIVE_INFINITY;
      for (let i = 0; i + 1 < ids.length; i++) {
        const rank = ranker.rank(symbolsOf([ids[i], ids[i + 1]]), 0, 1);
        if (rank >= 0 && rank < bestRank) [best, bestRank] = [i, rank];
      }
      if (best < 0) return ids;
      ids.splice(best, 2, 4 + bestRank);
    }
  };

  it('is the same by scanning, by heap and by buckets', () => {
    const ids = fc.array(fc.integer({ min: 0, max: 3 }), { maxLength: 80 });
    fc.assert(
      fc.property(ids, fc.integer(), fc.boolean(), (given, seed, monotone) => {
        const ranker = rules(seed, monotone);
        const wanted = byDefinition(given, ranker);
        for (const [few, some] of [
          [1000, 1000],
          [0, 1000],
          [0, 0],
        ]) {
          const symbols = symbolsOf(given);
          mergeSymbols(symbols, ranker, few, some);
          expect([...symbols.ids.subarray(0, symbols.count)]).toEqual(wanted);
          // The symbols cover the piece without a gap.
          for (let i = 0; i < symbols.count; i++) expect(symbols.starts[i]).toBe(i === 0 ? 0 : symbols.ends[i - 1]);
        }
      }),
      { numRuns: 300 },
    );
  });
});

describe('patterns', () => {
  it('match as the engine of the language does, where both have the syntax', () => {
    const atom = fc.constantFrom('a', 'b', '[ab]', '[^a]', '\\d', '(?:ab|a)', '(?:b|ba)', '.', 'c');
    const part = fc.tuple(atom, fc.constantFrom('', '', '*', '+', '?', '{1,2}', '*?', '+?', '??'));
    const branch = fc.array(part, { minLength: 1, maxLength: 4 });
    const ahead = fc.constantFrom('', '', '(?=b)', '(?!a)', '(?<=a)', '(?<!b)', '\\b');
    const source = fc
      .array(fc.tuple(branch, ahead), { minLength: 1, maxLength: 3 })
      .map((branches) => branches.map(([parts, look]) => parts.map((one) => one.join('')).join('') + look).join('|'));
    const letters = fc.string({ unit: fc.constantFrom('a', 'b', 'c', '1', '😀', ' '), maxLength: 14 });
    fc.assert(
      fc.property(source, letters, (pattern, given) => {
        // Empty matches next to a match are passed over differently; the rest is the same.
        const wanted: number[][] = [];
        for (const { 0: match, index } of given.matchAll(new RegExp(pattern, 'gu'))) {
          if (match.length > 0) wanted.push([index, index + match.length]);
        }
        const found: number[][] = [];
        new Pattern(pattern, 'rust').matches(given, (start, end) => {
          if (end > start) found.push([start, end]);
        });
        expect(found).toEqual(wanted);
      }),
      { numRuns: 500 },
    );
  });

  it('refuse by name what they cannot do', () => {
    for (const [pattern, problem] of [
      ['(a)\\1', /escape \\1/],
      ['(?(1)a|b)', /group \(\?\(/],
      ['\\p{Nonsense}', /property "Nonsense"/],
      ['(a*)*', /can be empty/],
      ['a{5,2}', /end is before its start/],
      ['[z-a]', /end is before its start/],
      ['(', /without its/],
      ['((((a{99}){99}){99}){99}){99}', /too large/],
      ['(?<=ab)c', /behind for more than one/],
    ] as const) {
      expect(() => new Pattern(pattern), pattern).toThrow(problem);
    }
  });

  it('that backtrack without bound end in an error', () => {
    const tokenizer = tokenizerFromJson({
      model: { type: 'WordLevel', vocab: { '<unk>': 0 }, unk_token: '<unk>' },
      pre_tokenizer: { type: 'Split', pattern: { Regex: '(?:a+)+$' }, behavior: 'Isolated' },
    });
    expect(() => tokenizer.encodeIds(`${'a'.repeat(60)}b`)).toThrow(/steps on 61 characters needed/);
  });
});

describe('characters', () => {
  it('are numbered in order, and others refused', () => {
    const tokenizer = tokenizerFromCharacters(charactersOf('hello 😀!'));
    expect(charactersOf('hello 😀!')).toEqual([' ', '!', 'e', 'h', 'l', 'o', '😀']);
    const ids = tokenizer.encodeIds('hello 😀');
    expect([...ids]).toEqual([3, 2, 4, 4, 5, 0, 6]);
    expect(tokenizer.decode(ids)).toBe('hello 😀');
    expect(() => tokenizer.encodeIds('hex')).toThrow(/text = "x": is not in the vocabulary/);
    expect([...tokenizerFromCharacters(['?', 'a'], 0).encodeIds('ab😀')]).toEqual([1, 0, 0]);
    expect(() => tokenizerFromCharacters(['a', 'a'])).toThrow(/is there twice/);
  });
});

describe('GGUF metadata', () => {
  const key = (name: string) => `tokenizer.ggml.${name}`;
  const base = new Map<string, unknown>([
    [key('model'), 'gpt2'],
    [key('pre'), 'gpt-2'],
    [key('tokens'), ['a', 'b', 'ab', '<|x|>', ' y']],
    [key('merges'), ['a b']],
    [key('token_type'), [1, 1, 1, 3, 4]],
    [key('eos_token_id'), 3],
  ]);
  const made = (...changes: (readonly [string, unknown])[]) =>
    tokenizerFromGguf({
      name: 'm.gguf',
      metadata: new Map([...base, ...changes.map(([k, v]) => [key(k), v] as const)]),
    });

  it('gives merges, special and user-defined tokens, and ids with roles', () => {
    const tokenizer = made(['add_eos_token', true]);
    expect([...tokenizer.encodeIds('abba y')]).toEqual([2, 1, 0, 4, 3]);
    expect(tokenizer.special).toEqual({ eos: 3 });
    expect(tokenizer.isSpecial(3)).toBe(true);
    expect(tokenizer.isSpecial(4)).toBe(false);
  });

  it('is refused by key when it is wrong', () => {
    const bad: (readonly [string, unknown, RegExp])[] = [
      ['pre', 'made-up', /tokenizer\.ggml\.pre: "made-up"/],
      ['model', 'rwkv', /tokenizer\.ggml\.model: "rwkv"/],
      ['model', undefined, /carries no tokenizer/],
      ['tokens', 'abc', /tokens: is not a list/],
      ['tokens', [1, 2], /token 0 is not a text/],
      ['merges', ['a c'], /merges: entry 0, "a c"/],
      ['merges', ['ab'], /entry 0 is not two tokens/],
      ['token_type', [1], /has 1 entries for 5 tokens/],
      ['eos_token_id', 77, /eos_token_id: is 77/],
      ['add_bos_token', true, /names no bos token/],
      ['add_eos_token', 'yes', /is not true or false/],
    ];
    for (const [name, value, problem] of bad) {
      expect(() => made([name, value]), name).toThrow(FileFormatError);
      expect(() => made([name, value]), name).toThrow(problem);
    }
  });
});

describe('rank files', () => {
  it('are refused by line', () => {
    expect(() => tokenizerFromTiktoken('YQ== 0\nnot a line', 'cl100k_base')).toThrow(/line 2: is not base64/);
    expect(() => tokenizerFromTiktoken('YQ== 999999999', 'cl100k_base')).toThrow(/line 1: has the rank/);
    expect(() => tokenizerFromTiktoken('YQ== 0', 'cl100k_base')).toThrow(/has no token for the byte/);
    expect(() => tokenizerFromTiktoken('', 'x200k' as 'cl100k_base')).toThrow(/encoding = "x200k": must be one of/);
  });
});
