/** Text on disk to a corpus: what is kept, when it is used again, and when it is made anew. */
import {
  appendFileSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import fc from 'fast-check';
import { afterAll, beforeEach, describe, expect, it } from 'vitest';
import { EnvironmentError, FileFormatError, InterruptedError, SettingError } from '../src/errors.ts';
import { type CorpusOptions, type CorpusProgress, type DiskCorpus, openCorpus } from '../src/node/corpus.ts';
import { ShardTokens, ShardWriter } from '../src/node/corpus_shards.ts';
import {
  charactersOf,
  type Tokenizer,
  tokenizerFromCharacters,
  tokenizerFromGpt2Files,
  tokenizerFromJson,
} from '../src/tokenizers/index.ts';
import { type DocumentPart, splitText } from '../src/training/data/documents.ts';
import { BatchStream, corpusFromTexts, type TokenSource } from '../src/training/data/index.ts';
import { countText, type TextTokenizer, tokenise } from '../src/training/data/tokenise.ts';
import { decodeUtf8 } from '../src/training/data/utf8.ts';

const scratch = mkdtempSync(join(tmpdir(), 'inkstone-corpus-'));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));
let folder: string;
let cacheDir: string;
beforeEach(() => {
  folder = mkdtempSync(join(scratch, 'case-'));
  cacheDir = join(folder, 'cache');
});

const golden = new URL('./golden/tokenizers/', import.meta.url);
const tokenizers = [
  'bpe_bytelevel_gpt2',
  'bpe_bytelevel_split_llama3',
  'bpe_bytefallback_llama2',
  'bpe_bytefallback_metaspace',
  'unigram',
];
const tokenizerOf = (name: string) =>
  tokenizerFromJson(JSON.parse(readFileSync(new URL(`${name}/tokenizer.json`, golden), 'utf8')));
const gpt2 = tokenizerOf('bpe_bytelevel_gpt2');
const END = 1;

const all = (source: TokenSource | null): number[] => {
  if (source === null) return [];
  const tokens = new Int32Array(source.length);
  source.read(0, tokens);
  return [...tokens];
};
const encode = (tokenizer: Tokenizer, text: string) => [...tokenizer.encodeIds(text, { add_special_tokens: false })];

function write(name: string, text: string): string {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
}

/** Opens, looks and closes; with what was reported on the way. */
async function open<T>(
  options: Omit<CorpusOptions, 'tokenizer'> & { tokenizer?: Tokenizer },
  look: (corpus: DiskCorpus) => T,
) {
  const phases = new Set<string>();
  let reason: string | undefined;
  const onProgress = (progress: CorpusProgress) => {
    phases.add(progress.phase);
    reason ??= progress.reason;
  };
  const corpus = await openCorpus({ tokenizer: gpt2, cacheDir, end_token: END, onProgress, ...options });
  try {
    return { seen: look(corpus), made: phases.has('tokenise'), phases, reason };
  } finally {
    corpus.close();
  }
}

const poems = [
  '春眠不觉晓',
  'Shall I compare thee to a summer’s day?',
  'tyger tyger, burning bright',
  'x',
  '好雨知时节，当春乃发生。',
];

describe('a corpus', () => {
  it('is the documents in order with the end token after each, split at floor(n (1 - fraction))', async () => {
    const path = write('poems.txt', poems.join('\n\n'));
    const tokens = poems.flatMap((poem) => [...encode(gpt2, poem), END]);
    await fc.assert(
      fc.asyncProperty(fc.double({ min: 0, max: 0.99, noNaN: true }), async (fraction) => {
        await open({ sources: [{ path, separator: '\n\n' }], split: { fraction }, shardTokens: 7 }, (corpus) => {
          const cut = Math.floor(tokens.length * (1 - fraction));
          expect(all(corpus.train[0].source)).toEqual(tokens.slice(0, cut));
          expect(all(corpus.validation)).toEqual(tokens.slice(cut));
          expect(corpus.tokens).toBe(tokens.length);
          const whole = countText(poems.join(''));
          const { train, validation } = corpus.counts;
          expect(train.bytes + validation.bytes).toBe(whole.bytes);
          expect(train.characters + validation.characters).toBe(whole.characters);
          const text = gpt2.decode(tokens.slice(0, cut).filter((id) => id !== END));
          // Where the cut parts a character, the decoded text ends with a replacement of what is there of it.
          if (!text.endsWith('\ufffd')) expect(train).toMatchObject(countText(text));
          expect(corpus.bytesPerToken).toBe(whole.bytes / tokens.length);
        });
      }),
      { numRuns: 25 },
    );
  });

  it('split by documents: each document whole, on the same side for the same seed, in about the right share', async () => {
    const documents = Array.from({ length: 400 }, (_, i) => `document ${i}`);
    const path = write('documents.jsonl', documents.map((text) => JSON.stringify({ text })).join('\n'));
    const split = { by: 'documents', fraction: 0.25, seed: 3 } as const;
    const texts = (source: TokenSource | null) =>
      gpt2
        .decode(all(source))
        .split(gpt2.decode([END]))
        .slice(0, -1);
    const { seen } = await open({ sources: [path], split }, (corpus) => {
      const [train, validation] = [texts(corpus.train[0].source), texts(corpus.validation)];
      expect([...train, ...validation].toSorted()).toEqual(documents.toSorted());
      expect(corpus.counts.train.documents).toBe(train.length);
      expect(corpus.counts.train.bytes).toBe(Buffer.byteLength(train.join('')));
      expect(corpus.counts.validation.characters).toBe(validation.join('').length);
      return validation;
    });
    // 400 draws of 1/4 have a standard deviation of 8.7.
    expect(Math.abs(seen.length - 100)).toBeLessThan(35);
    const memory = await corpusFromTexts(documents, { tokenizer: gpt2, end_token: END, split });
    expect(texts(memory.validation)).toEqual(seen);
    const other = await open({ sources: [path], split: { ...split, seed: 4 } }, (corpus) => texts(corpus.validation));
    expect(other.made).toBe(true);
    expect(other.seen).not.toEqual(seen);
  });

  it('in memory is the same as on disk', async () => {
    const path = write('poems.txt', poems.join('\n\n'));
    const memory = await corpusFromTexts(poems, {
      tokenizer: gpt2,
      end_token: END,
      begin_token: 2,
      split: { fraction: 0.3 },
    });
    await open(
      { sources: [{ path, separator: '\n\n' }], split: { fraction: 0.3 }, begin_token: 2, shardTokens: 5 },
      (disk) => {
        expect(disk.counts).toEqual(memory.counts);
        const options = { batch_size: 4, block_size: 9, seed: 5, cross_document_attention: false };
        for (const step of [0, 1, 2, 3]) {
          expect(new BatchStream(disk.train, options).batch(step)).toEqual(
            new BatchStream(memory.train, options).batch(step),
          );
        }
      },
    );
  });

  it('of several sources: one row without weights, a mixture with them, and validation data of its own', async () => {
    const [a, b, c] = [write('a.txt', poems[0]), write('b.txt', poems[1]), write('c.txt', poems[2])];
    const tokens = poems.slice(0, 3).map((poem) => [...encode(gpt2, poem), END]);
    await open({ sources: [a, b], validation: [c] }, (corpus) => {
      expect(corpus.train.map(({ source }) => all(source))).toEqual([[...tokens[0], ...tokens[1]]]);
      expect(all(corpus.validation)).toEqual(tokens[2]);
      expect(corpus.files.map(({ path }) => path)).toEqual([a, b, c]);
    });
    await open(
      {
        sources: [
          { path: a, weight: 3 },
          { path: b, weight: 1 },
        ],
        split: { fraction: 0 },
      },
      (corpus) => {
        expect(corpus.train.map(({ weight, source, name }) => [weight, all(source), name])).toEqual([
          [3, tokens[0], a],
          [1, tokens[1], b],
        ]);
        expect(corpus.validation).toBeNull();
      },
    );
    await expect(open({ sources: [{ path: a, weight: 3 }, b] }, () => 0)).rejects.toThrow(
      /give each source one, or none/,
    );
    await expect(open({ sources: [a], validation: [b], split: {} }, () => 0)).rejects.toThrow(SettingError);
    await expect(open({ sources: [] }, () => 0)).rejects.toThrow(SettingError);
    await expect(open({ sources: [a], split: { fraction: 1 } }, () => 0)).rejects.toThrow(SettingError);
    await expect(open({ sources: [a], end_token: 1e6 }, () => 0)).rejects.toThrow(/end_token = 1000000/);
  });

  it('without an end token is the bare text, as for character models', async () => {
    const path = write('text.txt', 'hello world');
    const tokenizer = tokenizerFromCharacters(charactersOf('hello world'));
    await open({ sources: [path], tokenizer, end_token: undefined, split: { fraction: 0.1 } }, (corpus) => {
      expect(tokenizer.decode(all(corpus.train[0].source))).toBe('hello wor');
      expect(tokenizer.decode(all(corpus.validation))).toBe('ld');
      expect(corpus.end_token).toBeNull();
      expect(corpus.counts.validation).toEqual({ tokens: 2, documents: 1, bytes: 2, characters: 2 });
    });
    const other = write('other.txt', 'hello word!');
    await expect(open({ sources: [other], tokenizer, end_token: undefined }, () => 0)).rejects.toThrow(
      /other\.txt: near document 1: .*"!": is not in the vocabulary/,
    );
  });

  it('of a vocabulary beyond 65,536 has tokens of 32 bits', async () => {
    const characters = Array.from({ length: 70_000 }, (_, i) =>
      String.fromCodePoint(i < 0xd800 - 32 ? i + 32 : i + 0x10000),
    );
    const tokenizer = tokenizerFromCharacters(characters);
    const text = characters[69_999] + characters[65_536] + characters[1];
    await open({ sources: [write('a.txt', text)], tokenizer, end_token: null, split: { fraction: 0 } }, (corpus) => {
      expect(all(corpus.train[0].source)).toEqual([69_999, 65_536, 1]);
    });
    expect(statSync(join(cacheDir, 'source-00000', 'shard-00000.bin')).size).toBe(12);
  });

  it('has no text: says so', async () => {
    await expect(open({ sources: [write('a.jsonl', '{"text": ""}\n')] }, () => 0)).rejects.toThrow(
      /there is no text in it/,
    );
    expect(readdirSync(join(cacheDir, 'source-00000'))).toEqual([]);
  });
});

describe('the cache', () => {
  const look = (corpus: DiskCorpus) => ({ tokens: all(corpus.train[0].source), data: corpus.hashes.data });
  const source = () => join(cacheDir, 'source-00000');

  it('is used again, also when files were touched, and its hashes stay', async () => {
    const path = write('a.txt', poems.join('\n'));
    const first = await open({ sources: [path] }, look);
    expect(first.made).toBe(true);
    const second = await open({ sources: [path] }, look);
    expect([...second.phases]).toEqual(['verify']);
    utimesSync(path, 1, 1);
    const third = await open({ sources: [path] }, look);
    expect([...third.phases].toSorted()).toEqual(['hash', 'verify']);
    for (const again of [second, third]) expect(again.seen).toEqual(first.seen);
  });

  it('is made anew when a file, the tokenizer or a setting changed, and says why', async () => {
    const path = write('a.txt', poems.join('\n'));
    const first = await open({ sources: [path] }, look);
    appendFileSync(path, 'more');
    const grown = await open({ sources: [path] }, look);
    expect(grown.reason).toBe('the files have changed');
    expect(grown.seen.tokens.length).toBeGreaterThan(first.seen.tokens.length);
    expect(grown.seen.data).not.toBe(first.seen.data);
    expect((await open({ sources: [path], end_token: null }, look)).reason).toBe('end_token has changed');
    expect((await open({ sources: [{ path, separator: '\n' }], end_token: null }, look)).reason).toBe(
      'text has changed',
    );
    const llama = tokenizerOf('bpe_bytefallback_llama2');
    expect((await open({ sources: [path], tokenizer: llama }, look)).reason).toBe('the tokenizer is another one');
    expect((await open({ sources: [path], tokenizer: llama }, look)).made).toBe(false);
  });

  it('is made anew when any of its files is damaged, cut off or gone', async () => {
    const path = write('a.txt', poems.join('\n'));
    const first = await open({ sources: [path], shardTokens: 16 }, look);
    const names = readdirSync(source()).filter((name) => name !== 'index.json');
    expect(names.length).toBeGreaterThan(4);
    for (const name of names) {
      const file = join(source(), name);
      const bytes = readFileSync(file);
      bytes[bytes.length >> 1] ^= 1;
      for (const [damage, said] of [
        [() => writeFileSync(file, bytes), 'has changed (SHA-256)'],
        [() => truncateSync(file, 1), 'has 1 bytes, not'],
        [() => rmSync(file), 'is not there'],
      ] as const) {
        damage();
        const again = await open({ sources: [path], shardTokens: 16 }, look);
        expect(again.reason).toContain(said);
        expect(again.reason).toContain(name);
        expect(again.seen).toEqual(first.seen);
      }
    }
  });

  it('is made anew when its index is damaged in any way', async () => {
    const path = write('a.txt', poems.join('\n'));
    const first = await open({ sources: [path] }, look);
    const index = join(source(), 'index.json');
    const sound = readFileSync(index);
    await fc.assert(
      fc.asyncProperty(fc.nat(sound.length - 1), fc.integer({ min: 1, max: 255 }), async (at, bits) => {
        const bytes = Buffer.from(sound);
        bytes[at] ^= bits;
        writeFileSync(index, bytes);
        expect((await open({ sources: [path] }, look)).seen.tokens).toEqual(first.seen.tokens);
      }),
      { numRuns: 40 },
    );
  });

  it('without verification looks at sizes alone', async () => {
    const path = write('a.txt', poems.join('\n'));
    await open({ sources: [path] }, look);
    const again = await open({ sources: [path], verify: false }, look);
    expect(again.phases.size).toBe(0);
    truncateSync(join(source(), 'shard-00000.bin'), 2);
    expect((await open({ sources: [path], verify: false }, look)).made).toBe(true);
  });

  it('is clean after an interruption or an error, and what a dead process left is swept away', async () => {
    const path = write('a.txt', poems.join('\n'));
    const controller = new AbortController();
    const interrupted = openCorpus({
      sources: [path],
      tokenizer: gpt2,
      cacheDir,
      signal: controller.signal,
      onProgress: ({ phase }) => phase === 'tokenise' && controller.abort(),
    });
    await expect(interrupted).rejects.toThrow(InterruptedError);
    expect(readdirSync(source())).toEqual([]);
    const bad = write('bad.txt', 'text\0');
    await expect(open({ sources: [bad] }, look)).rejects.toThrow(FileFormatError);
    expect(readdirSync(source())).toEqual([]);
    const first = await open({ sources: [path] }, look);
    // As if killed while the files were moved: no index, half the files, the folder of what was being made.
    rmSync(join(source(), 'index.json'));
    rmSync(join(source(), 'shard.idx'));
    writeFileSync(join(source(), 'shard-00001.bin'), 'left over');
    const again = await open({ sources: [path] }, look);
    expect(again.seen).toEqual(first.seen);
    expect(existsSync(join(source(), 'shard-00001.bin'))).toBe(false);
  });

  it('is shared by two who open it at once', async () => {
    const path = write('a.txt', poems.join('\n'));
    const [a, b] = await Promise.all([open({ sources: [path] }, look), open({ sources: [path] }, look)]);
    expect(a.seen).toEqual(b.seen);
    expect([a.made, b.made].filter(Boolean).length).toBe(1);
  });

  it('that another process made anew under an open corpus is noticed, not read', async () => {
    const path = write('a.txt', poems.join('\n'));
    const corpus = await openCorpus({
      sources: [path],
      tokenizer: gpt2,
      cacheDir,
      shardTokens: 8,
      split: { fraction: 0 },
    });
    const token = new Int32Array(1);
    corpus.train[0].source.read(0, token);
    appendFileSync(path, 'more');
    await open({ sources: [path], shardTokens: 8 }, look);
    corpus.train[0].source.read(0, token);
    expect(() => corpus.train[0].source.read(8, token)).toThrow(/another process made it anew/);
    corpus.close();
  });

  it('counts what the tokenizer does not know', async () => {
    const path = write('a.txt', 'ab砚a墨b');
    const tokenizer = tokenizerOf('unigram');
    const unk = tokenizer.special.unk ?? -1;
    const expected = encode(tokenizer, 'ab砚a墨b').filter((id) => id === unk).length;
    expect((await open({ sources: [path], tokenizer }, ({ unknown }) => unknown)).seen).toBe(expected);
    expect(expected).toBeGreaterThan(0);
  });

  it('that cannot be written is an EnvironmentError with its place', async () => {
    const path = write('a.txt', poems.join('\n'));
    await expect(openCorpus({ sources: [path], tokenizer: gpt2, cacheDir: path })).rejects.toThrow(EnvironmentError);
  });
});

describe('long documents', () => {
  it.each(tokenizers)('%s: tokens of pieces are the tokens of the whole', async (name) => {
    const tokenizer = tokenizerOf(name);
    const texts: string[] = JSON.parse(readFileSync(new URL('texts.json', golden), 'utf8'));
    const some = texts.filter((text) => text.length < 2000).join('\n');
    for (const long of [
      some.repeat(Math.ceil(300_000 / some.length)),
      '春江潮水连海平'.repeat(40_000),
      'word '.repeat(60_000),
    ]) {
      const ids: number[] = [];
      let pieces = 0;
      for await (const piece of tokenise(one(long), tokenizer, { end_token: null })) {
        pieces++;
        expect(piece.begins).toBe(pieces === 1);
        for (const id of piece.ids) ids.push(id);
      }
      expect(pieces).toBeGreaterThan(1);
      const whole = encode(tokenizer, long);
      expect(ids.length).toBe(whole.length);
      expect(ids.every((id, i) => id === whole[i])).toBe(true);
    }
  });

  async function* one(text: string): AsyncGenerator<DocumentPart[]> {
    for (let at = 0; at < text.length; at += 50_000)
      yield [{ text: text.slice(at, at + 50_000), end: at + 50_000 >= text.length }];
  }

  it('counts text as UTF-8 and code points', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        expect(countText(text)).toEqual({ bytes: Buffer.byteLength(text), characters: Array.from(text).length });
      }),
    );
  });
});

describe('bounded memory', () => {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  /** What is alive, in MiB. */
  const alive = () => {
    collect();
    const { heapUsed, external, arrayBuffers } = process.memoryUsage();
    return (heapUsed + Math.max(external, arrayBuffers)) / 2 ** 20;
  };
  /** A token for each line and each end of line, so that the test is about the way and not about a tokenizer. */
  const quick: TextTokenizer = {
    vocabSize: 256,
    special: { eos: 255 },
    encodeIds: (input) => {
      const text = input as string;
      const ids: number[] = [];
      for (let at = 0; at < text.length; ) {
        const end = text.indexOf('\n', at);
        const next = end < 0 ? text.length : Math.max(end, at + 1);
        ids.push((next - at) & 127);
        at = next;
      }
      return Int32Array.from(ids);
    },
    tokenBytes: () => new Uint8Array(4),
  };

  it.each([undefined, '\n\n'])('100 MB of text pass, with separator %j', async (separator) => {
    const chunk = Buffer.from(`${'the ink stone dries slowly in the evening sun\n'.repeat(40)}\n`.repeat(140));
    const count = Math.ceil(100e6 / chunk.length);
    let most = 0;
    async function* chunks() {
      for (let i = 0; i < count; i++) {
        if (i % 64 === 32) most = Math.max(most, alive());
        yield chunk;
      }
    }
    const before = alive();
    const writer = new ShardWriter(folder, 'shard', 'uint16', 1 << 20);
    for await (const piece of tokenise(splitText(decodeUtf8(chunks(), 'f'), separator), quick)) writer.push(piece);
    const set = writer.finish();
    expect(most - before).toBeLessThan(24);
    expect(set.bytes).toBeGreaterThan(97e6);
    expect(set.shards.length).toBeGreaterThan(4);
    const tokens = new ShardTokens(folder, set, 'uint16');
    const window = new Int32Array(1025);
    for (let i = 0; i < 500; i++) tokens.read(Math.floor((i / 500) * (set.tokens - 1025)), window);
    expect(alive() - before).toBeLessThan(24);
    tokens.close();
  });
});

const shakespeare = new URL('../../shared/data/text/tinyshakespeare.txt', import.meta.url);
const published = new URL('../../shared/data/tokenizers/gpt2/', import.meta.url);
describe.skipIf(!existsSync(shakespeare))('tiny Shakespeare (needs ../shared/data)', () => {
  it('has the numbers of tokens that nanoGPT reports: characters', async () => {
    const tokenizer = tokenizerFromCharacters(charactersOf(readFileSync(shakespeare, 'utf8')));
    expect(tokenizer.vocabSize).toBe(65);
    await open({ sources: [shakespeare.pathname], tokenizer, end_token: undefined }, ({ counts }) => {
      expect([counts.train.tokens, counts.validation.tokens]).toEqual([1_003_854, 111_540]);
      expect(counts.validation.bytes).toBe(111_540);
    });
  });

  it.skipIf(!existsSync(published))('has the numbers of tokens that nanoGPT reports: GPT-2', async () => {
    // nanoGPT splits the text, then tokenises each side.
    const text = readFileSync(shakespeare, 'utf8');
    const cut = Math.floor(text.length * 0.9);
    const [train, validation] = [write('train.txt', text.slice(0, cut)), write('val.txt', text.slice(cut))];
    const encoder = JSON.parse(readFileSync(new URL('encoder.json', published), 'utf8'));
    const tokenizer = tokenizerFromGpt2Files(encoder, readFileSync(new URL('vocab.bpe', published), 'utf8'));
    await open({ sources: [train], validation: [validation], tokenizer, end_token: null }, ({ counts }) => {
      expect([counts.train.tokens, counts.validation.tokens]).toEqual([301_966, 36_059]);
    });
  });
});
