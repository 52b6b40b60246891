/** Records of every kind as token ids with masks: what is learned, what stays text, and what is refused with its file, line and field. */
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readRecords } from '../src/node/examples.ts';
import { ChatTemplate } from '../src/prompts/index.ts';
import { type Tokenizer, trainCharacters } from '../src/tokenizers/index.ts';
import {
  DataRecord,
  type Example,
  ExampleCodec,
  LabelledReader,
  type Learnable,
  PreferenceReader,
  SupervisedReader,
  splitExamples,
  taskExamples,
} from '../src/training/examples/index.ts';

const root = mkdtempSync(join(tmpdir(), 'inkstone-records-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));

/** ChatML, as many models have it. */
const CHATML =
  "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";
/** The same with marks of what the assistant said. */
const MARKED =
  "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' }}{% if message['role'] == 'assistant' %}{% generation %}{{ message['content'] + '<|im_end|>' }}{% endgeneration %}{{ '\\n' }}{% else %}{{ message['content'] + '<|im_end|>\\n' }}{% endif %}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";

let tokenizer: Tokenizer;
beforeAll(async () => {
  const letters = ' \n!"#$%&\'()*+,-./0123456789:;<=>?ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_|{}[]';
  ({ tokenizer } = await trainCharacters([letters], {
    special_tokens: ['<|im_start|>', '<|im_end|>', '<|endoftext|>'],
    roles: { eos_token: '<|endoftext|>', bos_token: '<|endoftext|>' },
  }));
});

const codec = (template: string | null = CHATML, learn: Learnable = 'assistant') =>
  new ExampleCodec({ tokenizer, chatTemplate: template === null ? null : new ChatTemplate(template) }, { learn });
const record = (values: Record<string, unknown>, line = 1) => new DataRecord({ file: 'data.jsonl', line }, values);
const special = (ids: Iterable<number>) => Array.from(ids, (id) => tokenizer.idToToken(id) ?? '').join('');
const learned = ({ ids, learn }: Example) => special(Array.from(ids).filter((_, i) => learn[i] === 1));
const whole = ({ ids }: Example) => special(ids);

const chat = [
  { role: 'user', content: 'Hi' },
  { role: 'assistant', content: 'Hello' },
  { role: 'user', content: 'Bye' },
  { role: 'assistant', content: 'See you' },
];

describe('conversations', () => {
  it.each([CHATML, MARKED])('teach what the assistant says, up to the token that ends its turn', (template) => {
    const example = new SupervisedReader(codec(template)).read(record({ messages: chat }));
    expect(learned(example).replaceAll('▁', ' ')).toBe('Hello<|im_end|>See you<|im_end|>');
    const last = new SupervisedReader(codec(template, 'last')).read(record({ messages: chat }));
    expect(learned(last)).toBe('See you<|im_end|>');
    const all = new SupervisedReader(codec(template, 'all')).read(record({ messages: chat }));
    expect(all.learn.reduce((a, b) => a + b, 0)).toBe(all.ids.length - 1);
  });

  it('of ShareGPT are the same', () => {
    const names = { user: 'human', assistant: 'gpt' } as const;
    const conversations = chat.map(({ role, content }) => ({
      from: names[role as keyof typeof names],
      value: content,
    }));
    const reader = new SupervisedReader(codec());
    expect(whole(reader.read(record({ conversations })))).toBe(
      whole(new SupervisedReader(codec()).read(record({ messages: chat }))),
    );
  });

  it('keep what a user wrote as text, even where it spells a special token', () => {
    const messages = [
      { role: 'user', content: '<|im_end|>' },
      { role: 'assistant', content: 'No' },
    ];
    const { ids } = new SupervisedReader(codec()).read(record({ messages }));
    const end = tokenizer.encodeIds([{ special: '<|im_end|>' }], { add_special_tokens: false })[0];
    // One ends the user's turn, one the assistant's.
    expect(Array.from(ids).filter((id) => id === end)).toHaveLength(2);
  });
});

describe('prompts and completions', () => {
  it('teach the completion and the end token', () => {
    const example = new SupervisedReader(codec(null)).read(record({ prompt: 'a+b=', completion: 'c' }));
    expect([learned(example), whole(example)]).toEqual(['c<|endoftext|>', 'a+b=c<|endoftext|>']);
    const { ids } = new SupervisedReader(codec(null)).read(record({ text: 'abc' }));
    expect(special(ids)).toBe('abc<|endoftext|>');
  });

  it('of Alpaca are turns where the model has a template, and its own text where not', () => {
    const alpaca = record({ instruction: 'Add', input: '1 2', output: '3' });
    expect(learned(new SupervisedReader(codec()).read(alpaca))).toBe('3<|im_end|>');
    const text = new SupervisedReader(codec(null)).read(alpaca);
    expect(whole(text)).toContain('### Instruction:\nAdd\n\n### Input:\n1 2\n\n### Response:');
    expect(learned(text)).toMatch(/3<\|endoftext\|>$/);
  });

  it('of preferences share the prompt', () => {
    const pair = new PreferenceReader(codec()).read(record({ prompt: 'Q', chosen: 'yes', rejected: 'no' }));
    const both = [pair.chosen, pair.rejected].map((answer) => special(answer));
    expect(both[0]).toContain('yes');
    expect(both[1]).toContain('no');
    const one = new LabelledReader(codec()).read(record({ prompt: 'Q', completion: 'yes', label: true }));
    expect([special(one.completion).includes('yes'), one.label]).toEqual([true, true]);
  });
});

describe('task inputs', () => {
  it('stand between start, delimiter and extract', () => {
    const tokens = { start: 1, delimiter: 2, extract: 0 };
    const of = (values: Record<string, unknown>) =>
      taskExamples([record(values)], tokenizer, { tokens, labels: ['n', 'y'] });
    const ids = (text: string) => Array.from(tokenizer.encodeIds(text, { add_special_tokens: false }));
    const entailment = of({ premise: 'ab', hypothesis: 'c', label: 'y' }).examples[0];
    expect(Array.from(entailment.sequences[0])).toEqual([1, ...ids('ab'), 2, ...ids('c'), 0]);
    expect(entailment.label).toBe(1);
    const similar = of({ text1: 'ab', text2: 'c', label: 'n' }).examples[0];
    expect(similar.sequences.map((each) => Array.from(each))).toEqual([
      [1, ...ids('ab'), 2, ...ids('c'), 0],
      [1, ...ids('c'), 2, ...ids('ab'), 0],
    ]);
    const choice = of({ context: 'a', choices: ['b', 'c', 'd'], answer: 2 }).examples[0];
    expect([choice.sequences.length, choice.label]).toEqual([3, 2]);
  });
});

describe('files', () => {
  const read = async (name: string, content: string | Uint8Array) => {
    const path = join(root, name);
    writeFileSync(path, content);
    const found: DataRecord[] = [];
    for await (const each of readRecords([path])) found.push(each);
    return found;
  };

  it('of every kind give the same records, with their lines', async () => {
    const rows = [
      { prompt: 'a', completion: 'b' },
      { prompt: 'c, "d"', completion: 'e' },
    ];
    const lines = rows.map((row) => JSON.stringify(row)).join('\n');
    const csv = 'prompt,completion\na,b\n"c, ""d""",e\n';
    const kinds = {
      'a.jsonl': lines,
      'a.jsonl.gz': gzipSync(lines),
      'a.json': JSON.stringify(rows, null, 2),
      'a.csv': csv,
    };
    for (const [name, content] of Object.entries(kinds)) {
      const found = await read(name, content);
      expect(found.map(({ values }) => ({ ...values }))).toEqual(rows);
      expect(found[1].origin.line).toBeGreaterThan(found[0].origin.line);
    }
    expect((await read('b.tsv', 'fine film\t1\nbad one\t0\n')).map(({ values }) => values)).toEqual([
      { text: 'fine film', label: '1' },
      { text: 'bad one', label: '0' },
    ]);
    expect((await read('c.txt', 'one text\n')).map(({ values }) => values)).toEqual([{ text: 'one text\n' }]);
  });

  it('that are not as they should be are refused by line', async () => {
    await expect(read('d.jsonl', '{"a":1}\n{"a":')).rejects.toThrow(/d\.jsonl.*2/s);
    await expect(read('e.json', '[{"a":1},\n 3]')).rejects.toThrow(/e\.json.*2/s);
    await expect(read('f.tsv', 'a\tb\tc\n')).rejects.toThrow(/f\.tsv.*line 1/s);
    await expect(read('g.xyz', 'a')).rejects.toThrow(/g\.xyz/);
    await expect(read('h.jsonl', '')).rejects.toThrow(/empty/);
  });

  it('are parted with copies on one side', () => {
    const one = (i: number): Example => ({ ids: Int32Array.of(1, i), learn: Uint8Array.of(0, 1) });
    const { train, validation, duplicates } = splitExamples(
      Array.from({ length: 60 }, (_, i) => one(i % 20)),
      { fraction: 0.25, seed: 1 },
    );
    expect([train.length, validation.length, duplicates]).toEqual([45, 15, 40]);
    const seen = new Set(train.map(({ ids }) => ids[1]));
    expect(validation.some(({ ids }) => seen.has(ids[1]))).toBe(false);
  });
});

const shared = '../shared/data/instruct';
describe.skipIf(!existsSync(shared))('published samples (needs ../shared/data/instruct)', () => {
  it.each([
    ['instruction-data.json', 1100],
    ['alpaca_en_demo.json', 900],
    ['glaive_toolcall_en_demo.json', 250],
  ])('%s is read', async (name, least) => {
    const reader = new SupervisedReader(codec());
    let count = 0;
    for await (const each of readRecords([join(shared, name)])) {
      reader.read(each);
      count++;
    }
    expect(count).toBeGreaterThanOrEqual(least);
  });

  it('pictures are refused with a reason', async () => {
    const reader = new SupervisedReader(codec());
    await expect(async () => {
      for await (const each of readRecords([join(shared, 'mllm_demo.json')])) reader.read(each);
    }).rejects.toThrow(/mllm_demo\.json:\d+.*images/s);
  });
});
