import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { InkstoneError } from '../src/errors.ts';
import {
  type ChatMessage,
  ChatTemplate,
  ChatTemplateError,
  readChatTemplates,
  selectChatTemplate,
  specialTokenTexts,
  splitSpecialTokens,
} from '../src/prompts/index.ts';

const CHATML =
  "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content | trim + '<|im_end|>\n' }}{% endfor %}" +
  "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";
const SPECIAL = ['<|im_start|>', '<|im_end|>', '</s>'];
const render = (source: string, options: Record<string, unknown> = {}, messages: ChatMessage[] = []): string =>
  new ChatTemplate(source).render(messages, options);

function failure(
  source: string,
  options: Record<string, unknown> = {},
  messages: ChatMessage[] = [],
): ChatTemplateError {
  try {
    render(source, options, messages);
  } catch (error) {
    if (error instanceof ChatTemplateError) return error;
    throw error;
  }
  throw new Error('nothing was refused');
}

describe('a stranger’s template', () => {
  it('sees no JavaScript', () => {
    for (const name of ['constructor', 'prototype', 'toString', 'hasOwnProperty', 'valueOf', 'length_']) {
      expect(render(`{{ messages.${name} }}{{ ''.${name} }}{{ {}.${name} }}{{ (1).${name} }}{{ range.${name} }}`)).toBe(
        '',
      );
      expect(render(`{{ messages['${name}'] }}{{ {}['${name}'] }}{{ ${name} }}`)).toBe('');
    }
    for (const name of ['__proto__', '__class__', '__defineGetter__', '__globals__', '__init__']) {
      expect(render(`{{ {}.${name} }}{{ ''['${name}'] }}{{ ${name} }}{{ raise_exception.${name} }}`)).toBe('');
      expect(failure(`{{ {}.${name}.x }}`).errorType).toBe('SecurityError');
    }
    failure(`{{ messages.constructor.constructor('return process')() }}`);
    failure(`{{ (messages | attr('constructor'))('return process')() }}`);
    failure(`{{ '{0.constructor}'.format('x') }}`);
    failure(`{{ process.env }}`);
    failure(`{{ globalThis.process }}`);
    expect(render('{{ process }}{{ globalThis }}{{ require }}{{ this }}{{ self }}')).toBe('');
    expect(render(`{% set x = {'__proto__': 1, 'constructor': 2} %}{{ x.__proto__ }}{{ x.constructor }}`)).toBe('12');
    expect(({} as { polluted?: unknown }).polluted).toBeUndefined();
  });

  it('takes message keys such as __proto__ as plain keys', () => {
    const message = JSON.parse('{"role": "user", "__proto__": {"content": "x"}, "content": "y"}') as ChatMessage;
    expect(render('{{ messages[0].__proto__.content }}{{ messages[0].content }}', {}, [message])).toBe('xy');
  });

  it.each([
    ['a huge range', '{% for i in range(10**9) %}{% endfor %}'],
    ['nested loops', `${'{% for i in range(99999) %}'.repeat(5)}x${'{% endfor %}'.repeat(5)}`],
    [
      'nested loops that print nothing',
      '{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}',
    ],
    [
      'a string that doubles',
      "{% set ns = namespace(s='ab') %}{% for i in range(99) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}",
    ],
    ['a repeated string', "{{ 'x' * 10**9 }}"],
    ['a repeated list', '{{ ([1] * 10**8) | length }}'],
    [
      'a list that doubles',
      '{% set ns = namespace(s=[1]) %}{% for i in range(99) %}{% set ns.s = ns.s + ns.s %}{% endfor %}',
    ],
    [
      'a list of lists that doubles',
      '{% set ns = namespace(s=[1]) %}{% for i in range(99) %}{% set ns.s = [ns.s, ns.s] %}{% endfor %}{{ ns.s }}',
    ],
    [
      'the same as JSON',
      '{% set ns = namespace(s=[1]) %}{% for i in range(99) %}{% set ns.s = [ns.s, ns.s] %}{% endfor %}{{ ns.s | tojson }}',
    ],
    [
      'the same compared',
      '{% set ns = namespace(s=[1], t=[1]) %}{% for i in range(99) %}{% set ns.s = [ns.s, ns.s] %}{% set ns.t = [ns.t, ns.t] %}{% endfor %}{{ ns.s == ns.t }}',
    ],
    ['endless recursion', '{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}'],
    ['mutual recursion', '{% macro f() %}{{ g() }}{% endmacro %}{% macro g() %}{{ f() }}{% endmacro %}{{ f() }}'],
    ['a macro tree', `{% macro f(n) %}{% if n %}${'{{ f(n - 1) }}'.repeat(9)}{% endif %}{% endmacro %}{{ f(150) }}`],
    ['a recursive loop', '{% for x in [[1]] recursive %}{{ loop([x]) }}{% endfor %}'],
    ['a wide format', "{{ '%999999999d' % 1 }}"],
    ['a wide brace format', "{{ '{:999999999}'.format(1) }}"],
    ['padding', "{{ 'x'.ljust(10**9) }}"],
    ['centring', "{{ 'x' | center(10**9) }}"],
    ['replacing', "{{ ('a' * 10**6).replace('a', 'b' * 10**6) }}"],
    ['joining', "{{ ('x' * 10**6).join('a' * 10**5) }}"],
    ['a slow search', "{% for i in range(9999) %}{{ ('a' * 10**5 + 'b') in ('a' * 10**6) }}{% endfor %}"],
    ['sorting', '{% for i in range(9999) %}{% set x = range(99999) | sort %}{% endfor %}'],
    ['many tags left open', `{% for i in range(999) %}{{ ('<!--' * 10**5) | striptags | length }}{% endfor %}`],
    ['deep parentheses', `{{ ${'('.repeat(50_000)}1${')'.repeat(50_000)} }}`],
    ['deep blocks', `${'{% if 1 %}'.repeat(50_000)}${'{% endif %}'.repeat(50_000)}`],
    ['a long chain', `{{ 1${' + 1'.repeat(100_000)} }}`],
    ['a long chain of filters', `{{ 'x'${' | trim'.repeat(100_000)} }}`],
    ['many negations', `{{ ${'not '.repeat(100_000)}x }}`],
    ['elif after elif', `{% if 0 %}${'{% elif 0 %}'.repeat(100_000)}{% endif %}{{ 1${' + 1'.repeat(100_000)} }}`],
  ])('is refused for %s, in bounded time', (_what, source) => {
    const start = process.cpuUsage();
    const error = failure(source);
    expect(error).toBeInstanceOf(InkstoneError);
    expect(['Limit', 'OverflowError', 'TemplateSyntaxError']).toContain(error.errorType);
    // The processor's time, not the clock: other work on the machine does not matter.
    expect(process.cpuUsage(start).user / 1000).toBeLessThan(3000);
  });

  it('never crashes or hangs on any text', () => {
    const piece = fc.constantFrom(
      ...[
        '{{',
        '}}',
        '{%',
        '%}',
        '-%}',
        '{#',
        '#}',
        ' if ',
        ' for ',
        ' in ',
        ' else ',
        'endif',
        'endfor',
        ' set ',
        'messages',
        '.x',
        '[0]',
        '[',
        ']',
        '(',
        ')',
        "'",
        '"',
        ' | ',
        'tojson',
        'join',
        '~',
        '+',
        '*',
        '%',
        '==',
        '1',
        '1.5',
        ',',
        ':',
        ' is ',
        'not ',
        'raw',
        'macro m(a)',
        'endmacro',
        '\n',
        '😀',
        '\\',
        'loop',
        '=',
        ' x ',
      ],
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 30 }), (pieces) => {
        try {
          new ChatTemplate(pieces.join(''), { maxSteps: 20_000 }).render([{ role: 'user', content: 'hi' }]);
        } catch (error) {
          expect(error).toBeInstanceOf(InkstoneError);
        }
      }),
      { numRuns: 3000 },
    );
  });

  it('has its own words and line in the error', () => {
    const error = failure("line one\n{{ raise_exception('Only user and assistant roles!') }}");
    expect(error.message).toBe('chat template, line 2: Only user and assistant roles!');
    expect(() => new ChatTemplate('{% if %}', { name: 'chat_template.jinja' })).toThrow(
      /^chat_template\.jinja, line 1: /,
    );
  });

  it('grants long conversations the steps they need', () => {
    const messages = Array.from({ length: 2000 }, (_, i) => ({
      role: i % 2 ? 'assistant' : 'user',
      content: 'word '.repeat(400),
    }));
    expect(new ChatTemplate(CHATML).render(messages).length).toBeGreaterThan(4_000_000);
  });
});

describe('where text comes from', () => {
  const template = new ChatTemplate(CHATML);

  it('knows content from template, through trim and concatenation', () => {
    const segments = template.renderSegments([{ role: 'user', content: '  <|im_end|>hi ' }], {
      add_generation_prompt: true,
    });
    expect(segments).toEqual([
      { text: '<|im_start|>', from: 'template', isGenerated: false },
      { text: 'user', from: 'user', isGenerated: false },
      { text: '\n', from: 'template', isGenerated: false },
      { text: '<|im_end|>hi', from: 'user', isGenerated: false },
      { text: '<|im_end|>\n<|im_start|>assistant\n', from: 'template', isGenerated: false },
    ]);
  });

  it('never lets a user write a special token', () => {
    const text = fc
      .array(fc.constantFrom('<|im_start|>', '<|im_end|>', '<|im_', 'end|>', '</s>', '<', 'a', '\n', ' ', '😀'))
      .map((parts) => parts.join(''));
    const plain = fc.array(fc.record({ role: text, content: text }), { maxLength: 5 });
    fc.assert(
      fc.property(plain, (messages) => {
        const parts = splitSpecialTokens(template.renderSegments(messages), SPECIAL);
        const joined = parts.map((part) => (part.kind === 'special' ? part.token : part.text)).join('');
        expect(joined).toBe(template.render(messages));
        const tokens = parts.flatMap((part) => (part.kind === 'special' ? [part.token] : []));
        expect(tokens).toEqual(messages.flatMap(() => ['<|im_start|>', '<|im_end|>']));
      }),
      { numRuns: 500 },
    );
  });

  it('keeps text in one piece across the border, so that tokens may merge', () => {
    const segments = new ChatTemplate('{{ bos_token }}[INST] {{ messages[0].content }} [/INST]').renderSegments(
      [{ role: 'user', content: 'hi</s>' }],
      { tokens: { bos_token: '<s>' } },
    );
    expect(splitSpecialTokens(segments, ['<s>', '</s>'])).toEqual([
      { kind: 'special', token: '<s>' },
      { kind: 'text', text: '[INST] hi</s> [/INST]' },
    ]);
  });

  it.each([
    ['{{ messages[0].content | upper }}', 'A</S>B'],
    ['{{ messages[0].content.split("/")[1] }}', 's>b'],
    ['{{ messages[0].content[::-1] }}', 'b>s/<a'],
    ['{{ "%s" % messages[0].content }}', 'a</s>b'],
    ['{{ "{:.4}".format(messages[0].content) }}', 'a</s'],
    ['{{ messages[0].content | replace("/", "") }}', 'a<s>b'],
    ['{{ messages[0].content | list | join }}', 'a</s>b'],
    ['{{ messages[0].content | e }}', 'a&lt;/s&gt;b'],
    ['{{ [messages[0].content] | first }}', 'a</s>b'],
    ['{% set x %}{{ messages[0].content }}{% endset %}{{ x }}', 'a</s>b'],
    ['{% macro m(x) %}{{ x }}{% endmacro %}{{ m(messages[0].content) }}', 'a</s>b'],
    ['{{ {"k": messages[0].content}.k | indent }}', 'a</s>b'],
  ])('%s is all the user’s', (source, expected) => {
    const segments = new ChatTemplate(source).renderSegments([{ role: 'user', content: 'a</s>b' }]);
    expect(segments).toEqual([{ text: expected, from: 'user', isGenerated: false }]);
  });

  it('marks tools, documents and extra variables too, inside JSON', () => {
    const segments = new ChatTemplate('{{ tools | tojson }}{{ x }}{{ bos_token }}').renderSegments([], {
      tools: [{ 'a"</s>': '</s>' }],
      x: '</s>',
      tokens: { bos_token: '<s>' },
    });
    expect(segments.filter((s) => s.from === 'user').map((s) => s.text)).toEqual(['a\\"</s>', '</s>', '</s>']);
    expect(segments.at(-1)).toEqual({ text: '<s>', from: 'template', isGenerated: false });
  });
});

describe('continuing a message', () => {
  const messages = [
    { role: 'user', content: 'Tell' },
    { role: 'assistant', content: 'Once upon ' },
  ];

  it('ends inside it, trimmed as the template trims', () => {
    expect(render(CHATML, { continue_final_message: true }, messages)).toMatch(/assistant\nOnce upon$/);
    expect(render(CHATML.replace(' | trim', ''), { continue_final_message: true }, messages)).toMatch(/\nOnce upon $/);
  });

  it('continues the last text part', () => {
    const parts = [{ role: 'assistant', content: [{ type: 'text', text: 'a' }, { type: 'image' }] }];
    const source = '{% for m in messages %}{% for p in m.content %}{{ p.text }}{% endfor %}</s>{% endfor %}';
    expect(render(source, { continue_final_message: true }, parts)).toBe('a');
  });

  it('refuses what cannot be continued', () => {
    const options = { continue_final_message: true };
    expect(() => render(CHATML, options, [])).toThrow(/no message to continue/);
    expect(() => render(CHATML, options, [{ role: 'assistant', content: null }])).toThrow(/no text to continue/);
    expect(() => render('x', options, messages)).toThrow(/does not print the end/);
    expect(() => render(CHATML, { ...options, add_generation_prompt: true }, messages)).toThrow(/choose one/);
  });
});

describe('where templates are kept', () => {
  it('reads every place, chat_template.jinja first', () => {
    const tokenizerConfig = {
      chat_template: [
        { name: 'default', template: 'A' },
        { name: 'tool_use', template: 'B' },
      ],
    };
    const templates = readChatTemplates({ tokenizerConfig, jinja: 'C', additional: { rag: 'D' } });
    expect(selectChatTemplate(templates)).toBe('C');
    expect(selectChatTemplate(templates, { hasTools: true })).toBe('B');
    expect(selectChatTemplate(templates, { name: 'rag' })).toBe('D');
    expect(() => selectChatTemplate(templates, { name: 'x' })).toThrow(/default, tool_use, rag/);
    const gguf = new Map([
      ['tokenizer.chat_template', 'E'],
      ['tokenizer.chat_template.tool_use', 'F'],
    ]);
    expect([...readChatTemplates({ gguf })]).toEqual([
      ['default', 'E'],
      ['tool_use', 'F'],
    ]);
    expect(() => selectChatTemplate(readChatTemplates({}))).toThrow(/has no chat template/);
    expect(() => readChatTemplates({ tokenizerConfig: { chat_template: 5 } })).toThrow(/must be a text or a list/);
  });

  it('reads special tokens as texts or objects', () => {
    const config = {
      bos_token: '<s>',
      eos_token: { content: '</s>', lstrip: false },
      add_bos_token: true,
      pad_token: null,
    };
    expect(specialTokenTexts(config)).toEqual({ bos_token: '<s>', eos_token: '</s>' });
  });
});
