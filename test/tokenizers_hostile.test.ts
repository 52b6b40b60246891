/** tokenizer.json from a stranger: whatever it says, a tokenizer or one error that names the field; never a crash or a hang. */
import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { CapacityError, FileFormatError, InkstoneError } from '../src/errors.ts';
import { exerciseTokenizerJson, tokenizerFromJson, tokenizerFromJsonText } from '../src/tokenizers/index.ts';

const folder = new URL('golden/tokenizers/', import.meta.url);
const names = readdirSync(folder, { withFileTypes: true }).flatMap((entry) =>
  entry.isDirectory() ? [entry.name] : [],
);

/** A small file of each kind, so that thousands of mutations take seconds: the goldens with a short vocabulary. */
const originals: string[] = names.map((name) => {
  const json = JSON.parse(readFileSync(new URL(`${name}/tokenizer.json`, folder), 'utf8'));
  if (Array.isArray(json.model.vocab)) json.model.vocab.length = 40;
  else {
    const entries = Object.entries(json.model.vocab as Record<string, number>).filter(([, id]) => id < 320);
    json.model.vocab = Object.fromEntries(entries);
    json.model.merges = (json.model.merges as unknown[])
      .filter((pair) => {
        const [left, right] = Array.isArray(pair) ? pair : String(pair).split(' ');
        return [left, right, left + right].every((token) => Object.hasOwn(json.model.vocab, token));
      })
      .slice(0, 30);
  }
  return JSON.stringify(json);
});
const steps = JSON.parse(readFileSync(new URL('steps.json', folder), 'utf8'));
for (const { normalizer, pre_tokenizer } of steps.cases) {
  const model = {
    type: 'Unigram',
    unk_id: 0,
    vocab: [
      ['<unk>', 0],
      ['e', -1],
      ['He', -1.5],
    ],
    byte_fallback: false,
  };
  originals.push(
    JSON.stringify({ normalizer, pre_tokenizer, decoder: steps.decoding[originals.length % 15].decoder, model }),
  );
}

/** A generator of its own, so that a failure can be repeated. */
function random(seed: number): (below: number) => number {
  let state = seed >>> 0;
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
}

// biome-ignore format: a table
const strange: readonly unknown[] = [
  null, true, false, 0, -1, 1.5, 1e9, 2147483647, 1e308, '', 'x', '▁', ' ', '<s>', '(a+)+$', '[', '\\p{L}+', '(?<=.*)', '.*', [], {},
  [[]], ['a', 'b'], ['a', 1], { __proto__: null }, { type: 'Sequence' }, { String: '' }, { Regex: '(a|a)*b' }, { Regex: '' }, 'A'.repeat(5000),
];

/** Puts something strange in the place of a value, or takes, doubles or moves one. */
function mutate(json: unknown, below: (below: number) => number): unknown {
  const holders: (unknown[] | Record<string, unknown>)[] = [];
  const visit = (value: unknown): void => {
    if (typeof value !== 'object' || value === null) return;
    holders.push(value as Record<string, unknown>);
    // Only some of a long list: else nearly every change would hit the vocabulary.
    Object.values(value).slice(0, 12).forEach(visit);
  };
  visit(json);
  for (let i = 0; i <= below(3); i++) {
    const holder = holders[below(holders.length)] as Record<string, unknown>;
    const keys = Object.keys(holder);
    if (keys.length === 0) continue;
    const key = keys[below(keys.length)];
    const other = holders[below(holders.length)];
    const choice = below(6);
    if (choice === 0) Array.isArray(holder) ? holder.splice(Number(key), 1) : delete holder[key];
    else if (choice === 1) holder[key] = structuredClone(other);
    else if (choice === 2 && Array.isArray(holder)) holder.push(...structuredClone(holder).slice(0, 100));
    else if (choice === 3)
      Object.defineProperty(holder, '__proto__', { value: 'x', enumerable: true, configurable: true, writable: true });
    else holder[key] = strange[below(strange.length)];
  }
  return json;
}

describe('mutated files', () => {
  it('end in a tokenizer or in an error of ours, quickly', () => {
    const below = random(20261124);
    let refused = 0;
    const runs = 6000;
    for (let i = 0; i < runs; i++) {
      const text = JSON.stringify(mutate(JSON.parse(originals[below(originals.length)]), below));
      const start = performance.now();
      try {
        exerciseTokenizerJson(text);
      } catch (error) {
        if (!(error instanceof InkstoneError)) throw new Error(`run ${i}: ${text.slice(0, 3000)}`, { cause: error });
        refused++;
      }
      expect(performance.now() - start, `run ${i}: ${text.slice(0, 2000)}`).toBeLessThan(5000);
    }
    // Both ends are met: the mutations neither ruin everything nor nothing.
    expect(refused).toBeGreaterThan(runs / 10);
    expect(refused).toBeLessThan(runs);
    expect(({} as Record<string, unknown>).x).toBeUndefined();
  }, 300_000);

  it('are refused when cut off', () => {
    for (const text of originals.slice(0, names.length)) {
      for (let end = 0; end < text.length; end += Math.ceil(text.length / 50)) {
        expect(() => exerciseTokenizerJson(text.slice(0, end))).toThrow(FileFormatError);
      }
    }
  });
});

describe('each refusal names its field', () => {
  const model = { type: 'BPE', vocab: { a: 0, b: 1, ab: 2, '<unk>': 3 }, merges: ['a b'] };
  // biome-ignore format: a table
  const cases: readonly (readonly [string, unknown, string])[] = [
    ['no object', [], ''],
    ['no model', {}, 'model'],
    ['unknown model', { model: { type: 'Magic' } }, 'model.type'],
    ['dropout', { model: { ...model, dropout: 0.1 } }, 'model.dropout'],
    ['a vocabulary that is a list', { model: { ...model, vocab: [] } }, 'model.vocab'],
    ['an id that is a text', { model: { ...model, vocab: { a: '0' } } }, 'model.vocab["a"]'],
    ['an id out of all proportion', { model: { ...model, vocab: { a: 1e9 } } }, 'model.vocab["a"]'],
    ['a merge of unknown tokens', { model: { ...model, merges: [['a', 'c']] } }, 'model.merges[0]'],
    ['a merge of three', { model: { ...model, merges: [['a', 'b', 'c']] } }, 'model.merges[0]'],
    ['an unknown unk_token', { model: { ...model, unk_token: '<none>' } }, 'model.unk_token'],
    ['an endless score', { model: { type: 'Unigram', unk_id: 0, vocab: [['a', Number.POSITIVE_INFINITY]] } }, 'model.vocab[0]'],
    ['an unk_id that is none', { model: { type: 'Unigram', unk_id: 5, vocab: [['a', 0]] } }, 'model.unk_id'],
    ['unknown normalizer', { model, normalizer: { type: 'Magic' } }, 'normalizer.type'],
    ['a bad expression', { model, normalizer: { type: 'Replace', pattern: { Regex: '(' }, content: '' } }, 'normalizer.pattern.Regex'],
    ['a back-reference', { model, pre_tokenizer: { type: 'Split', pattern: { Regex: '(a)\\1' }, behavior: 'Isolated' } }, 'pre_tokenizer.pattern.Regex'],
    ['a bad behaviour', { model, pre_tokenizer: { type: 'Punctuation', behavior: 'Odd' } }, 'pre_tokenizer.behavior'],
    ['scripts', { model, pre_tokenizer: { type: 'UnicodeScripts' } }, 'pre_tokenizer.type'],
    ['a long mark', { model, pre_tokenizer: { type: 'Metaspace', replacement: 'ab' } }, 'pre_tokenizer.replacement'],
    ['a bad map', { model, normalizer: { type: 'Precompiled', precompiled_charsmap: 'AAAA' } }, 'normalizer.precompiled_charsmap'],
    ['unknown decoder', { model, decoder: { type: 'Magic' } }, 'decoder.type'],
    ['a decoder that strips nothing', { model, decoder: { type: 'Strip', content: '', start: 2e9 } }, 'decoder.content'],
    ['a template without its token', { model, post_processor: { type: 'TemplateProcessing', single: [{ SpecialToken: { id: 'x' } }], pair: [] } }, 'post_processor.special_tokens["x"]'],
    ['a second text for one', { model, post_processor: { type: 'TemplateProcessing', single: [{ Sequence: { id: 'B' } }], pair: [] } }, 'post_processor.single'],
    ['a template of an id that is none', { model, post_processor: { type: 'BertProcessing', sep: ['a', 77], cls: ['b', 1] } }, 'post_processor'],
    ['two templates', { model, post_processor: { type: 'Sequence', processors: [{ type: 'BertProcessing', sep: ['a', 0], cls: ['b', 1] }, { type: 'BertProcessing', sep: ['a', 0], cls: ['b', 1] }] } }, 'post_processor'],
    ['an added token without id', { model, added_tokens: [{ content: 'x' }] }, 'added_tokens[0].id'],
    ['a very long added token', { model, added_tokens: [{ id: 9, content: 'x'.repeat(9999) }] }, 'added_tokens[0].content'],
    ['too many steps', { model, pre_tokenizer: { type: 'Sequence', pretokenizers: new Array(999).fill({ type: 'Digits' }) } }, 'pre_tokenizer.pretokenizers'],
  ];
  it.each(cases)('%s', (_name, json, field) => {
    try {
      tokenizerFromJson(json, { file: 'x.json' });
    } catch (error) {
      expect(error).toBeInstanceOf(FileFormatError);
      expect((error as FileFormatError).where).toBe(field);
      expect((error as FileFormatError).message.length).toBeLessThan(400);
      return;
    }
    throw new Error('it was taken');
  });

  it('deep nesting', () => {
    const deep = (depth: number, key: string, inner: string) =>
      `${`{"type":"Sequence","${key}":[`.repeat(depth)}${inner}${']}'.repeat(depth)}`;
    const file = (part: string) => `{"model":{"type":"BPE","vocab":{"a":0},"merges":[]},${part}}`;
    for (const [field, key] of [
      ['normalizer', 'normalizers'],
      ['pre_tokenizer', 'pretokenizers'],
      ['decoder', 'decoders'],
      ['post_processor', 'processors'],
    ]) {
      const text = file(`"${field}":${deep(20_000, key, '{"type":"Sequence"}')}`);
      expect(() => tokenizerFromJsonText(text)).toThrow(FileFormatError);
    }
    expect(() => tokenizerFromJsonText(`{"model":${'['.repeat(100_000)}${']'.repeat(100_000)}}`)).toThrow(
      FileFormatError,
    );
  });

  it('rules that double the text end in an error, not in all memory', () => {
    const double = { type: 'Replace', pattern: { String: 'a' }, content: 'aa' };
    const growing = tokenizerFromJson({
      model,
      normalizer: { type: 'Sequence', normalizers: new Array(100).fill(double) },
    });
    expect(() => growing.encodeIds('aaa')).toThrow(CapacityError);
    expect(() => growing.encode('aaa')).toThrow(CapacityError);
    const bytes = tokenizerFromJson({
      model,
      normalizer: { type: 'Sequence', normalizers: new Array(100).fill({ type: 'ByteLevel' }) },
    });
    expect(() => bytes.encodeIds('é')).toThrow(CapacityError);
    const decoding = tokenizerFromJson({ model, decoder: { type: 'Sequence', decoders: new Array(100).fill(double) } });
    expect(() => decoding.decode([0])).toThrow(CapacityError);
  });
});
