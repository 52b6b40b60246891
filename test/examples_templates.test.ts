/** Real chat templates over a byte-level tokenizer, JSON in any pieces, and answers that are too long. */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import { encodePrompt } from '../src/generation/prompt.ts';
import { ChatTemplate } from '../src/prompts/index.ts';
import { type Tokenizer, trainBpe } from '../src/tokenizers/index.ts';
import {
  countShared,
  DataRecord,
  type Example,
  ExampleCodec,
  fitAnswers,
  jsonRecords,
  type Learnable,
  PreferenceReader,
  SupervisedReader,
  splitExamples,
  taskExamples,
} from '../src/training/examples/index.ts';

const golden = JSON.parse(
  readFileSync(fileURLToPath(new URL('golden/chat_templates/chat_templates.json', import.meta.url)), 'utf8'),
) as { templates: Record<string, string>; special_tokens: Record<string, string> };

/** Ends every rendering that is not to be answered with the end token, as Phi-3's template does. */
const ENDS_ALWAYS =
  "{% for m in messages %}{{ '<|' + m.role + '|>\n' + m.content + '<|end|>\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% else %}{{ eos_token }}{% endif %}";

let tokenizer: Tokenizer;
beforeAll(async () => {
  const special_tokens = [
    '<|im_start|>',
    '<|im_end|>',
    '<|end|>',
    '<|a|>',
    '<|start_header_id|>',
    '<|end_header_id|>',
    '<|eot_id|>',
    '<start_of_turn>',
    '<end_of_turn>',
    '<end_of_utterance>',
    '<s>',
    '</s>',
  ];
  const texts = [
    'Hi there, how are you?\n\nI am fine. [INST] What is it? [/INST] It is a test.\n',
    'assistant user system',
  ];
  ({ tokenizer } = await trainBpe(texts, { vocab_size: 400, special_tokens, roles: { eos_token: '</s>' } }));
});

const specialTokens = { bos_token: '<s>', eos_token: '</s>' };
const modelOf = (source: string | null) => ({
  tokenizer,
  chatTemplate: source === null ? null : new ChatTemplate(source),
  specialTokens,
});
const codec = (source: string | null, learn: Learnable = 'assistant') => new ExampleCodec(modelOf(source), { learn });
const record = (values: Record<string, unknown>, line = 1) => new DataRecord({ file: 'chats.jsonl', line }, values);
const learned = ({ ids, learn }: Example) => tokenizer.decode(ids.filter((_, i) => learn[i] === 1));

const messages = [
  { role: 'user', content: 'Hi there' },
  { role: 'assistant', content: 'I am fine.' },
  { role: 'user', content: 'What is it?' },
  { role: 'assistant', content: '\nIt is <|im_end|> a test.' },
];

describe('templates', () => {
  it.each([
    ['chatml', 'I am fine.<|im_end|>\nIt is <|im_end|> a test.<|im_end|>'],
    ['llama3_headers', 'I am fine.<|eot_id|>It is <|im_end|> a test.<|eot_id|>'],
    ['inst_llama2', ' I am fine. </s> It is <|im_end|> a test. </s>'],
    ['tools_json', 'I am fine.<|im_end|>\nIt is <|im_end|> a test.<|im_end|>'],
    ['gemma_style', 'I am fine.<end_of_turn>It is <|im_end|> a test.<end_of_turn>'],
    ['multimodal_parts', ' I am fine.<end_of_utterance> \nIt is <|im_end|> a test.<end_of_utterance>'],
    ['thinking_split', '<|a|>I am fine.<|end|><|a|>\nIt is <|im_end|> a test.<|end|>'],
  ])('%s: learns the turns of the assistant with what ends them', (name, expected) => {
    const source = golden.templates[name];
    const example = new SupervisedReader(codec(source)).read(record({ messages }));
    expect(learned(example)).toBe(expected);
    expect(tokenizer.decode(example.ids)).toBe(new ChatTemplate(source).render(messages, { tokens: specialTokens }));
    // What comes before the first answer is what the model reads when it is asked to give it.
    const prompt = encodePrompt(modelOf(source), messages.slice(0, 1));
    if (name !== 'thinking_split') expect([...example.ids.subarray(0, prompt.length)]).toEqual(prompt);
    const last = learned(new SupervisedReader(codec(source, 'last')).read(record({ messages })));
    expect(expected.endsWith(last) && last.includes('It is') && !last.includes('fine')).toBe(true);
  });

  it('that end every rendering with the end token are read', () => {
    const example = new SupervisedReader(codec(ENDS_ALWAYS)).read(record({ messages: messages.slice(0, 2) }));
    expect(learned(example)).toBe('I am fine.<|end|>\n</s>');
    const both = learned(new SupervisedReader(codec(ENDS_ALWAYS)).read(record({ messages })));
    expect(both.startsWith('I am fine.<|end|>')).toBe(true);
  });

  it('whose beginning depends on what follows are refused', () => {
    const reader = new SupervisedReader(codec(golden.templates.kitchen_sink));
    expect(() => reader.read(record({ messages }, 9))).toThrow(
      /^chats\.jsonl:9: the chat template prints .*generation/,
    );
    const system = [{ role: 'system', content: 'Be kind' }, ...messages];
    const gemma = new SupervisedReader(codec(golden.templates.gemma_style));
    expect(() => gemma.read(record({ messages: system }, 4))).toThrow(/^chats\.jsonl:4: .*System role not supported/);
  });

  it('turns of weight 0 are not learned', () => {
    const weighed = messages.map((message, i) => (i === 1 ? { ...message, weight: 0 } : message));
    for (const name of ['chatml', 'thinking_split']) {
      const example = new SupervisedReader(codec(golden.templates[name])).read(record({ messages: weighed }));
      expect(learned(example)).not.toContain('fine');
      expect(learned(example)).toContain('It is');
    }
  });

  it('an answer follows the prompt that is read in use, also where they would share a token', () => {
    for (const content of ['I am fine.', '\n\nI am fine.', ' fine']) {
      const answer = { role: 'assistant', content };
      const { prompt, completion } = codec(golden.templates.chatml).continuationChat(
        messages.slice(0, 1),
        answer,
        null,
      );
      expect([...prompt]).toEqual(encodePrompt(modelOf(golden.templates.chatml), messages.slice(0, 1)));
      expect(tokenizer.decode(completion)).toBe(`${content}<|im_end|>`);
      const text = codec(null).continuationText('What is', content);
      expect([...text.prompt]).toEqual(encodePrompt(modelOf(null), 'What is'));
      expect(tokenizer.decode(text.completion)).toBe(`${content}</s>`);
    }
  });

  it('whole conversations as chosen and rejected have what both begin with as their prompt', () => {
    const rejected = [messages[0], { role: 'assistant', content: 'Go away' }];
    const reader = new PreferenceReader(codec(golden.templates.chatml));
    const pair = reader.read(record({ chosen: messages.slice(0, 2), rejected }));
    expect([pair.chosen, pair.rejected].map((ids) => tokenizer.decode(ids))).toEqual([
      'I am fine.<|im_end|>',
      'Go away<|im_end|>',
    ]);
    expect(() => reader.read(record({ chosen: messages, rejected }, 3))).toThrow(
      'chats.jsonl:3: field "rejected": does not begin as "chosen"',
    );
  });
});

describe('records', () => {
  const refused = (values: Record<string, unknown>, source: string | null = golden.templates.chatml) => {
    const reader = new SupervisedReader(codec(source));
    return expect(() => reader.read(record(values, 5)));
  };

  it('name the file, the line and the field', () => {
    refused({ prompt: 'a', complation: 'b' }).toThrow(/^chats\.jsonl:5: it is no record of a known kind/);
    refused({ prompt: 'a', completion: 7 }).toThrow('chats.jsonl:5: field "completion": is not a string but number');
    refused({ prompt: 'a', completion: ' ' }).toThrow('chats.jsonl:5: field "completion": is empty');
    refused({ messages: 'Hi' }).toThrow('field "messages": is a text that is not JSON');
    refused({ messages: [] }).toThrow('field "messages": has no messages');
    refused({ messages: [{ role: 'asistant', content: '' }] }).toThrow('message 1 has the role "asistant"');
    refused({ messages: [messages[0], { role: 'assistant' }] }).toThrow('message 2 has no "content"');
    refused({ messages: [messages[0]] }).toThrow('labels all masked: no message is of the assistant');
    refused({ messages, images: ['a.jpg'] }).toThrow('field "images": cannot be learned from');
    refused({ prompt: 'a', chosen: 'b', rejected: 'c' }).toThrow('These are preference pairs');
    refused({ messages }, null).toThrow('needs a chat template');
    let deep: unknown = 'x';
    for (let i = 0; i < 10_000; i++) deep = [deep];
    refused({ messages: [{ role: 'user', content: deep }] }).toThrow('is more than 64 levels deep');
  });

  it('of a file are of one kind', () => {
    const reader = new SupervisedReader(codec(golden.templates.chatml));
    reader.read(record({ prompt: 'a', completion: 'b' }));
    expect(() => reader.read(record({ messages }, 2))).toThrow(
      'chats.jsonl:2: it is a record of the kind "messages", but line 1 is of the kind "prompt"',
    );
    expect(() => reader.read(record({ prompt: 'a' }, 3))).toThrow('chats.jsonl:3: field "completion": is missing');
    expect(reader.formats.found).toEqual(['prompt']);
  });

  it('come out of JSON cut anywhere, with the lines where they begin', async () => {
    const objects = fc.array(fc.dictionary(fc.string({ maxLength: 4 }), fc.jsonValue({ maxDepth: 2 })), {
      maxLength: 5,
    });
    await fc.assert(
      fc.asyncProperty(objects, fc.boolean(), fc.integer({ min: 1, max: 9 }), async (all, isArray, size) => {
        const text = isArray ? JSON.stringify(all, null, 1) : all.map((each) => `${JSON.stringify(each)}\n`).join('');
        async function* pieces() {
          for (let at = 0; at < text.length; at += size) yield text.slice(at, at + size);
        }
        const found: unknown[] = [];
        for await (const { line, values } of jsonRecords(pieces(), 'a.json')) {
          found.push(values);
          expect(text.split('\n')[line - 1].trimStart().startsWith('{')).toBe(true);
        }
        expect(found).toEqual(all.map((each) => JSON.parse(JSON.stringify(each)) as unknown));
      }),
      { numRuns: 100 },
    );
  });

  it('that are damaged JSON are refused by line', async () => {
    const read = async (text: string) => {
      async function* whole() {
        yield text;
      }
      for await (const _ of jsonRecords(whole(), 'a.json'));
    };
    await expect(read('[\n{"a": 1},\n{"a": }\n]')).rejects.toThrow('a.json:3: it is not JSON');
    await expect(read('[\n{"a": 1},\n]')).rejects.toThrow('there is no record where a comma says so');
    await expect(read('[{"a": 1}\n,\n{"a": "')).rejects.toThrow('a.json:3: the file ends inside of the array');
    await expect(read('[1]')).rejects.toThrow('a.json:1: the record is not an object but number');
    await expect(read('[{}] x')).rejects.toThrow('there is more after the end of the array');
    await expect(read('[}')).rejects.toThrow('closes nothing');
    await expect(read('{"a": 1}\n\n{"a"')).rejects.toThrow('a.json:3: it is not JSON');
    await expect(read('{\n"a": 1}')).rejects.toThrow('A file of one object over many lines is not read');
  });
});

describe('answers that are too long', () => {
  const ids = (length: number, first: number) => Int32Array.from({ length }, (_, i) => first + i);
  const pair = { prompt: ids(6, 10), chosen: ids(3, 20), rejected: ids(5, 30) };

  it('keep one prompt for both, and what begins it', () => {
    const limit = 1000;
    expect(fitAnswers([pair], { limit })).toMatchObject({ block_size: 32, cut: 0, left_out: 0, longest: 10 });
    expect(fitAnswers([pair], { limit: 20 }).block_size).toBe(20);
    const [cut] = fitAnswers([pair], { limit, block_size: 7 }).examples;
    expect([[...cut.prompt], cut.rejected]).toEqual([[13, 14, 15], pair.rejected]);
    expect([...fitAnswers([pair], { limit, block_size: 7, bos: 10 }).examples[0].prompt]).toEqual([10, 14, 15]);
    const [right] = fitAnswers([pair], { limit, block_size: 7, truncation: 'right' }).examples;
    expect([right.prompt.length, right.chosen.length, right.rejected.length]).toEqual([6, 2, 2]);
    expect(() => fitAnswers([pair], { limit, block_size: 4 })).toThrow('none of the 1 examples fits');
    expect(() => fitAnswers([pair], { limit, block_size: 7, truncation: 'refuse' })).toThrow('it has 10 tokens');
    expect(() => fitAnswers([pair], { limit: 8, block_size: 9 })).toThrow('more than the 8 tokens');
  });

  it('of tasks lose the end of the longest text, and keep a token of each', () => {
    const tokens = { start: 500, delimiter: 501, extract: 502 };
    const lengths = fc.tuple(fc.integer({ min: 1, max: 30 }), fc.integer({ min: 1, max: 30 }));
    fc.assert(
      fc.property(lengths, fc.integer({ min: 5, max: 70 }), ([a, b], block_size) => {
        const values = { premise: '7'.repeat(a), hypothesis: '8'.repeat(b), label: 'x' };
        const { examples, longest } = taskExamples([record(values)], tokenizer, { tokens, block_size });
        const [row] = examples[0].sequences;
        expect(row.length).toBe(Math.min(block_size, longest));
        const middle = row.indexOf(501);
        expect([row[0], row[row.length - 1]]).toEqual([500, 502]);
        expect(Math.min(middle - 1, row.length - middle - 2)).toBeGreaterThanOrEqual(1);
      }),
      { numRuns: 50 },
    );
  });
});

describe('classes and parts', () => {
  const of = (labels: readonly unknown[], options = {}) =>
    taskExamples(
      labels.map((label, i) => record({ text: `t${i}`, label }, i + 1)),
      tokenizer,
      { tokens: { start: 1, delimiter: 2, extract: 3 }, ...options },
    );

  it('are numbered in order, or as they come, or as they are named', () => {
    expect(of(['b', 'a', 'b'])).toMatchObject({ labels: ['a', 'b'], kind: 'classification', sequences: 1 });
    expect(of([10, 9]).labels).toEqual(['9', '10']);
    expect(of(['b', 'a'], { label_order: 'first_seen' }).examples.map(({ label }) => label)).toEqual([0, 1]);
    expect(() => of(['b', 'c'], { labels: ['a', 'b'] })).toThrow(
      'chats.jsonl:2: field "label": is "c", which is no class',
    );
  });

  it('hold all, once, with copies on one side', () => {
    const texts = fc.array(fc.integer({ min: 0, max: 20 }), { minLength: 1, maxLength: 60 });
    fc.assert(
      fc.property(texts, fc.double({ min: 0, max: 0.9, noNaN: true }), fc.nat(1000), (all, fraction, seed) => {
        const examples = all.map((n) => ({ ids: Int32Array.of(1, n, n + 1), learn: Uint8Array.of(0, 1, 1) }));
        const { train, validation, duplicates } = splitExamples(examples, { fraction, seed });
        expect(train.length + validation.length).toBe(all.length);
        expect(countShared(train, validation)).toBe(0);
        expect(duplicates).toBe(all.length - new Set(all).size);
        expect(train.length).toBeGreaterThan(0);
        if (fraction > 0 && new Set(all).size > 1) expect(validation.length).toBeGreaterThan(0);
        expect(splitExamples(examples, { fraction, seed })).toEqual({ train, validation, duplicates });
      }),
      { numRuns: 60 },
    );
  });
});
