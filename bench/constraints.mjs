/**
 * What structured output costs: `node bench/constraints.mjs [--vocabulary gpt2|o200k|cl100k] [--filter json] [--passes 3] [--json]`. What is
 * measured is dist/, or the folder of `--dist`. Each case is a schema, grammar file or expression with documents that follow it; a document is written token
 * by token, and at each token the mask is asked for. Times of the first pass over a freshly compiled grammar count, and those of the others: nothing is
 * warm that would not be. Vocabularies are read from ../shared/data/tokenizers.
 */
import { readFileSync } from 'node:fs';
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';

const { values: options } = parseArgs({
  options: {
    vocabulary: { type: 'string', default: 'gpt2' },
    filter: { type: 'string', default: '' },
    passes: { type: 'string', default: '3' },
    dist: { type: 'string', default: '' },
    json: { type: 'boolean', default: false },
    slowest: { type: 'boolean', default: false },
  },
});

const dist = options.dist === '' ? new URL('../dist/', import.meta.url) : pathToFileURL(`${options.dist}/`);
const load = (path) => import(new URL(path, dist).href);
const { compileGrammar } = await load('generation/constraints/engine.js');
const { parseGbnf } = await load('generation/constraints/gbnf.js');
const { choicesGrammar } = await load('generation/constraints/choices.js');
const { constraintVocabulary } = await load('generation/constraints/vocabulary.js');
const { trieOf } = await load('generation/constraints/trie.js');
const { schemaGrammar } = await load('generation/constraints/schema/grammar.js');
const tokenizers = await load('tokenizers/index.js');

const data = new URL('../../shared/data/tokenizers/', import.meta.url);
function openTokenizer(name) {
  const read = (path) => readFileSync(new URL(path, data), 'utf8');
  if (name === 'gpt2')
    return tokenizers.tokenizerFromGpt2Files(JSON.parse(read('gpt2/encoder.json')), read('gpt2/vocab.bpe'));
  return tokenizers.tokenizerFromTiktoken(read(`tiktoken/${name}_base.tiktoken`), `${name}_base`);
}

const person = {
  type: 'object',
  properties: {
    name: { type: 'string' },
    age: { type: 'integer', minimum: 0, maximum: 150 },
    email: { type: 'string', format: 'email' },
    tags: { type: 'array', items: { type: 'string' }, maxItems: 10 },
    address: {
      type: 'object',
      properties: {
        street: { type: 'string', maxLength: 100 },
        city: { type: 'string' },
        zip: { type: 'string', pattern: '^[0-9]{5}$' },
      },
      required: ['street', 'city'],
      additionalProperties: false,
    },
  },
  required: ['name', 'age'],
  additionalProperties: false,
};
const functionCall = {
  type: 'object',
  properties: {
    name: { enum: ['get_weather', 'get_time', 'search_web', 'send_mail'] },
    arguments: {
      type: 'object',
      properties: {
        location: { type: 'string' },
        unit: { enum: ['celsius', 'fahrenheit'] },
        days: { type: 'integer', minimum: 1, maximum: 14 },
      },
      required: ['location'],
      additionalProperties: false,
    },
  },
  required: ['name', 'arguments'],
  additionalProperties: false,
};
const configuration = {
  type: 'object',
  properties: {
    host: { type: 'string', minLength: 1, maxLength: 253 },
    port: { type: 'integer', minimum: 1, maximum: 65535 },
    debug: { type: 'boolean' },
    ratio: { type: 'number' },
    created: { type: 'string', format: 'date-time' },
    env: { type: 'object', additionalProperties: { type: 'string' } },
  },
  required: ['host', 'port'],
};
const tree = {
  $defs: {
    node: {
      type: 'object',
      properties: { value: { type: 'number' }, children: { type: 'array', items: { $ref: '#/$defs/node' } } },
      required: ['value'],
      additionalProperties: false,
    },
  },
  $ref: '#/$defs/node',
};
const nested = (depth) =>
  depth === 0 ? { value: 0.5 } : { value: depth, children: [nested(depth - 1), nested(depth - 1)] };
const jsonGbnf = `
root   ::= object
value  ::= object | array | string | number | ("true" | "false" | "null") ws
object ::= "{" ws ( string ":" ws value ("," ws string ":" ws value)* )? "}" ws
array  ::= "[" ws ( value ("," ws value)* )? "]" ws
string ::= "\\"" ( [^"\\\\\\x7F\\x00-\\x1F] | "\\\\" (["\\\\/bfnrt] | "u" [0-9a-fA-F]{4}) )* "\\"" ws
number ::= ("-"? ([0-9] | [1-9] [0-9]{0,15})) ("." [0-9]+)? ([eE] [-+]? [0-9]+)? ws
ws     ::= | " " | "\\n" [ \\t]{0,20}
`;
const arithmetic = `
root  ::= (expr "=" ws term "\\n")+
expr  ::= expr [-+*/] ws term | term
term  ::= ident | num | "(" ws expr ")" ws
ident ::= [a-z] [a-z0-9_]* ws
num   ::= [0-9]+ ws
ws    ::= [ \\t\\n]*
`;
const long =
  'The quick brown fox jumps over the lazy dog, "twice"; then it rests — 春江潮水连海平 — and writes: a\\b/c.';
const documents = {
  person: [
    {
      name: 'Ada Lovelace',
      age: 36,
      email: 'ada@example.org',
      tags: ['mathematics', 'engines', long],
      address: { street: '12 St James Square', city: 'London', zip: '10115' },
    },
    { age: 7, name: long },
  ],
  call: [{ name: 'get_weather', arguments: { location: 'Reykjavík, Iceland', unit: 'celsius', days: 3 } }],
  config: [
    {
      port: 8080,
      host: 'db.example.org',
      debug: false,
      ratio: 0.25,
      created: '2024-05-06T07:08:09Z',
      env: { PATH: '/usr/bin:/bin', HOME: '/root' },
    },
  ],
  tree: [nested(4)],
};
const text = (value) => JSON.stringify(value);
const schema = (value) => () => schemaGrammar(value);
const cases = [
  ['schema person', schema(person), documents.person.map(text)],
  ['schema function call', schema(functionCall), documents.call.map(text)],
  ['schema configuration', schema(configuration), documents.config.map(text)],
  ['schema recursive tree', schema(tree), documents.tree.map(text)],
  ['schema any json', schema(true), [...documents.person, ...documents.config].map(text)],
  [
    'schema string maxLength 100',
    schema({ type: 'string', maxLength: 100 }),
    [text('An ordinary sentence of words. '.repeat(3))],
  ],
  ['schema string maxLength 10^9', schema({ type: 'string', maxLength: 1e9 }), [text(long.repeat(5))]],
  [
    'schema pattern',
    schema({ type: 'string', pattern: '^[A-Z][a-z]+( [A-Z][a-z]+)*$' }),
    [text('Grace Brewster Murray Hopper')],
  ],
  [
    'gbnf json',
    () => parseGbnf(jsonGbnf),
    [...documents.person, ...documents.tree].map((value) => JSON.stringify(value, null, 1)),
  ],
  [
    'gbnf arithmetic, left recursion',
    () => parseGbnf(arithmetic),
    ['a+b*(c - 17)/(x1 + (y*2)) = 12\nfoo*bar - baz = ((1))\n'],
  ],
  [
    'gbnf words',
    () => parseGbnf('root ::= line+\nline ::= word (" " word)* [.!?] "\\n"\nword ::= [a-zA-Z]+'),
    ['the quick brown fox jumps over the lazy dog.\nAll is well!\n'],
  ],
  ['gbnf any text', () => parseGbnf('root ::= .*'), [long]],
  [
    'choices 1000',
    () => choicesGrammar(Array.from({ length: 1000 }, (_, i) => `choice number ${i * 7919}`)),
    ['choice number 791900'],
  ],
];

const start = performance.now();
const tokenizer = openTokenizer(options.vocabulary);
const vocabulary = constraintVocabulary(tokenizer);
const beforeTrie = performance.now();
const trie = trieOf(vocabulary);
const trieTime = performance.now() - beforeTrie;
if (!options.json) {
  console.log(
    `${options.vocabulary}: ${vocabulary.size} tokens, tree of ${trie.count} nodes in ${trieTime.toFixed(0)} ms (tokenizer ${(beforeTrie - start).toFixed(0)} ms)`,
  );
}

const median = (list) => quantile(list, 0.5);
function quantile(list, q) {
  const sorted = Float64Array.from(list).sort();
  return sorted.length === 0 ? Number.NaN : sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))];
}

const results = [];
const allMasks = [];
const allCompiles = [];
for (const [name, grammarOf, texts] of cases) {
  if (!name.includes(options.filter)) continue;
  const masks = [];
  const accepts = [];
  const compiles = [];
  const grammars = [];
  let tokens = 0;
  let slowest = [0, ''];
  for (let pass = 0; pass < Number(options.passes); pass++) {
    const t0 = performance.now();
    const grammar = grammarOf();
    const t1 = performance.now();
    const constraint = compileGrammar(grammar, vocabulary);
    const t2 = performance.now();
    grammars.push(t1 - t0);
    compiles.push(t2 - t0);
    for (const document of texts) {
      const state = constraint.start();
      let written = '';
      for (const token of tokenizer.encodeIds(document, { add_special_tokens: false })) {
        const t3 = performance.now();
        const mask = state.mask();
        const t4 = performance.now();
        if (((mask[token >> 5] >>> (token & 31)) & 1) === 0)
          throw new Error(`${name}: token ${token} is not allowed after ${written}`);
        const t5 = performance.now();
        state.accept(token);
        accepts.push(1000 * (performance.now() - t5));
        masks.push(1000 * (t4 - t3));
        if (t4 - t3 > slowest[0]) slowest = [t4 - t3, written];
        written += tokenizer.decode([token]);
        tokens++;
      }
    }
  }
  allMasks.push(...masks);
  allCompiles.push(...compiles);
  results.push({
    name,
    tokens,
    compile_ms: median(compiles),
    grammar_ms: median(grammars),
    mask_us_median: median(masks),
    mask_us_p99: quantile(masks, 0.99),
    mask_us_max: Math.max(...masks),
    accept_us_median: median(accepts),
  });
  if (!options.json) {
    const r = results[results.length - 1];
    console.log(
      `${name.padEnd(34)} compile ${r.compile_ms.toFixed(1).padStart(6)} ms (of it grammar ${r.grammar_ms.toFixed(1)})   mask ${r.mask_us_median.toFixed(1).padStart(6)} µs median ${r.mask_us_p99.toFixed(0).padStart(6)} p99 ${r.mask_us_max.toFixed(0).padStart(6)} max   accept ${r.accept_us_median.toFixed(1)} µs`,
    );
    if (options.slowest) console.log(`   slowest after ${JSON.stringify(slowest[1].slice(-60))}`);
  }
}
const total = {
  masks: allMasks.length,
  mask_us_median: median(allMasks),
  mask_us_p99: quantile(allMasks, 0.99),
  compile_ms_median: median(allCompiles),
};
if (options.json)
  console.log(
    JSON.stringify({
      vocabulary: options.vocabulary,
      tokens: vocabulary.size,
      trie_ms: trieTime,
      cases: results,
      total,
    }),
  );
else
  console.log(
    `all: mask ${total.mask_us_median.toFixed(1)} µs median, ${total.mask_us_p99.toFixed(0)} µs p99; compile ${total.compile_ms_median.toFixed(1)} ms median`,
  );
