/** Grammar files against texts, against the plain definition of their language, and against XGrammar on a real vocabulary. */
import { copyFileSync, existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { FileFormatError } from '../src/errors.ts';
import { parseEbnf } from '../src/generation/constraints/ebnf.ts';
import { compileGrammar } from '../src/generation/constraints/engine.ts';
import { parseGbnf } from '../src/generation/constraints/gbnf.ts';
import type { Grammar } from '../src/generation/constraints/grammar.ts';
import type { ConstraintVocabulary } from '../src/generation/constraints/types.ts';
import { constraintVocabulary } from '../src/generation/constraints/vocabulary.ts';
import { tokenizerFromGpt2Files, tokenizerFromJson } from '../src/tokenizers/index.ts';

const utf8 = (text: string) => new TextEncoder().encode(text);
const bytesOnly: ConstraintVocabulary = { size: 256, bytesOf: (token) => Uint8Array.of(token) };

/** 'yes': a whole text; 'open': the beginning of one; 'no'. */
function verdict(grammar: Grammar, text: string): 'yes' | 'open' | 'no' {
  const state = compileGrammar(grammar, bytesOnly).start();
  if (!state.acceptBytes(utf8(text))) return 'no';
  return state.canEnd ? 'yes' : 'open';
}

/** Grammars of the kinds that llama.cpp ships, written for these tests. */
const FILES: Record<string, { text: string; yes: string[]; no: string[] }> = {
  json: {
    text: `# a subset of JSON
root   ::= object
value  ::= object | array | string | number | ("true" | "false" | "null") ws
object ::=
  "{" ws (
            string ":" ws value
    ("," ws string ":" ws value)*
  )? "}" ws
array  ::= "[" ws ( value ("," ws value)* )? "]" ws
string ::= "\\"" ( [^"\\\\\\x7F\\x00-\\x1F] | "\\\\" (["\\\\bfnrt] | "u" [0-9a-fA-F]{4}) )* "\\"" ws
number ::= ("-"? ([0-9] | [1-9] [0-9]{0,15})) ("." [0-9]+)? ([eE] [-+]? [0-9] [1-9]{0,15})? ws
# Optional space, written by hand
ws ::= "" | " " | "\\n" [ \\t]{0,20}
`,
    yes: ['{}', '{"a": [1, -2.5e3, "é\\n\\u00e9"], "b":{"c":null}}', '{\n  "x": true\n}'],
    no: ['[]', '{"a":01}', '{a:1}', '{"a":"\\x"}', '{"a":1,}'],
  },
  arithmetic: {
    text: 'root  ::= (expr "=" ws term "\\n")+\nexpr  ::= term ([-+*/] term)*\nterm  ::= ident | num | "(" ws expr ")" ws\nident ::= [a-z] [a-z0-9_]* ws\nnum   ::= [0-9]+ ws\nws    ::= [ \\t\\n]*\n',
    yes: ['a+b*(c-1)=3\n', 'x = 1\ny = z_1\n'],
    no: ['=1\n', 'a+=1\n', 'A=1\n'],
  },
  chess: {
    text: `root ::= (
    # the first move has its number
    "1. " move " " move "\\n"
    ([1-9] [0-9]? ". " move " " move "\\n")+
)
move ::= (pawn | nonpawn | castle) [+#]?
pawn ::= ([a-h] "x")? [a-h] [1-8] ("=" [NBKQR])?
nonpawn ::= [NBKQR] [a-h]? [1-8]? "x"? [a-h] [1-8]
castle ::= "O-O" "-O"?
`,
    yes: ['1. e4 e5\n2. Nf3 Nc6\n', '1. e4 d5\n2. exd5 Qxd5+\n10. O-O O-O-O#\n'],
    no: ['1. e9 e5\n', '2. e4 e5\n', '1. e4 e5\n2. Nf3\n'],
  },
  list: {
    text: 'root ::= item+\n\n# Excludes various line break characters\nitem ::= "- " [^\\r\\n\\x0b\\x0c\\x85\\u2028\\u2029]+ "\\n"\n',
    yes: ['- a\n', '- 春江潮水\n- 🌊 b\n'],
    no: ['a\n', '- \n', '- a\u2028\n', '- a\u0085\n'],
  },
  c: {
    text: `root ::= (declaration)*
declaration ::= dataType identifier "(" parameter? ")" "{" statement* "}"
dataType  ::= "int" ws | "float" ws | "char" ws
identifier ::= [a-zA-Z_] [a-zA-Z_0-9]*
parameter ::= dataType identifier
statement ::=
    ( dataType identifier ws "=" ws expression ";" ) |
    ( "return" ws expression ";" ) |
    ( "while" "(" expression ")" "{" statement* "}" )
expression ::= term (("+" | "-" | "<") term)*
term ::= identifier | number | "(" expression ")"
number ::= [0-9]+
ws ::= ([ \\t\\n]+)
`,
    yes: ['', 'int main(){int x = 1+y;return (x);}', 'float f(char c){while(1){return c;}}'],
    no: ['int main(){', 'int (){}', 'int main(){x = 1;}'],
  },
  japanese: {
    text: 'root ::= jp-char+ ([ \\t\\n] jp-char+)*\njp-char ::= hiragana | katakana | punctuation | cjk\nhiragana ::= [ぁ-ゟ]\nkatakana ::= [ァ-ヿ]\npunctuation ::= [、-〾]\ncjk ::= [一-\\u9FFF]\n',
    yes: ['ひらがな', '春の海 カタカナ、終日'],
    no: ['a', 'ひ  ら', ' ひ'],
  },
};

describe('GBNF', () => {
  for (const [name, { text, yes, no }] of Object.entries(FILES)) {
    it(`${name}`, () => {
      const grammar = parseGbnf(text);
      for (const one of yes) expect.soft(verdict(grammar, one), one).toBe('yes');
      for (const one of no) expect.soft(verdict(grammar, one), one).not.toBe('yes');
    });
  }

  it('escapes, counts, negation, any character, comments, lines', () => {
    const grammar = parseGbnf(
      'root ::= "\\x41\\u00e9\\U0001F30A\\t\\"\\\\" a{2} b{1,} c{0,2} d{,1} [^a-c\\]\\-] . # the end\r\n\r\n  a ::= "a" |\n  "A"\nb ::= "b" ? "B"\nc ::= "c"\nd ::= "d"',
    );
    for (const one of ['Aé🌊\t"\\aABddé', 'Aé🌊\t"\\AabBBccdxy', 'Aé🌊\t"\\AabBBccd^🌊']) {
      expect.soft(verdict(grammar, one), one).toBe('yes');
    }
    for (const one of ['Aé🌊\t"\\aABaa', 'Aé🌊\t"\\aABcccdb', 'Aé🌊\t"\\aABd]x', 'Aé🌊\t"\\aABd-x', 'Aé🌊\t"\\aaxx']) {
      expect.soft(verdict(grammar, one), one).not.toBe('yes');
    }
    expect(verdict(parseGbnf('root ::= [^\\n]+ "\\n"'), 'é\n')).toBe('yes');
    expect(verdict(parseGbnf('root ::= | "a" |\n"b"'), '')).toBe('yes');
    expect(verdict(parseGbnf('root ::= [a-] [-a] []a]?'.replace('[]a]?', '"."')), '--.')).toBe('yes');
  });

  it.each([
    ['root := "a"', /line 1, column 6: found ":= \\"a\\"", expected "::="/],
    ['root ::= "a', /line 1, column 12: found the end, expected " for the " at line 1, column 10/],
    ['root ::= (\n"a"\n', /line 3, column 1: found the end, expected "\)" for the "\(" at line 1, column 10/],
    ['root ::= "a" )', /line 1, column 14: found "\)", expected the end of the line/],
    ['root ::= a\n\nb ::= "b"', /line 1, column 10: .*"a" is not/],
    ['start ::= "a"', /no rule "root"/],
    ['root ::= [b-a]', /column 11: .*a range/],
    ['root ::= "\\q"', /column 11: .*\\xNN/],
    ['root ::= "\\u12"', /4 hexadecimal digits/],
    ['root ::= "\\ud83d"', /halves of surrogate pairs/],
    ['root ::= [a', /"\]" for the "\["/],
    ['root ::= "a"{3,2}', /not below the first/],
    ['root ::= "a"{x}', /column 14: .*a whole number/],
    ['root ::= "a"{99999999999999999999}', /below 2\^53/],
    ['root ::= "a"\nroot ::= "b"', /line 2, column 1: .*there already/],
    ['root ::= <think>', /tokens by name or number/],
    ['root ::= *', /column 10: found "\*"/],
    ['', /no rule "root"/],
  ])('%s is refused', (text, message) => {
    expect(() => parseGbnf(text)).toThrow(FileFormatError);
    expect(() => parseGbnf(text)).toThrow(message);
  });

  it('any text is read or refused', () => {
    const pieces = [
      'root',
      '::=',
      '"a"',
      '(',
      ')',
      '[',
      ']',
      '|',
      '\n',
      '*',
      '{1}',
      '\\',
      '#',
      'b',
      '"',
      '-',
      '<',
      '{',
    ];
    let state = 1;
    for (let run = 0; run < 2000; run++) {
      let text = 'root ::= ';
      for (let i = 0; i < 12; i++) {
        state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff;
        text += pieces[(state >> 8) % pieces.length];
      }
      for (const parse of [parseGbnf, parseEbnf]) {
        try {
          parse(text);
        } catch (error) {
          expect(error).toBeInstanceOf(FileFormatError);
        }
      }
    }
  });
});

describe('EBNF', () => {
  it('of ISO 14977', () => {
    const grammar = parseEbnf(`
      (* numbers with a sign *)
      list = number, { ",", number } ;
      number = [ "-" ], digit, { digit }, 2 * 'x' ;
      digit = "0" | '1' | "2" ;`);
    expect(verdict(grammar, '-01xx,2xx')).toBe('yes');
    for (const text of ['', '-xx', '1x', '1xx,']) expect(verdict(grammar, text)).not.toBe('yes');
  });
  it('of the W3C', () => {
    const grammar = parseEbnf(`
      Element ::= '<' Name '>' (Element | Text)* '</' Name '>'  /* names need not agree */
      Name ::= [A-Za-z_] [A-Za-z0-9_#x2D]*
      Text ::= [^<&] | #x26 "amp;"
      `);
    expect(verdict(grammar, '<a><b-1>x &amp; é</b-1></a>')).toBe('yes');
    expect(verdict(grammar, '<a>&</a>')).toBe('no');
    expect(verdict(grammar, '<1a>')).toBe('no');
  });
  it('of BNF, with brackets around names, and left recursion', () => {
    const grammar = parseEbnf('<sum> ::= <sum> "+" <digit> | <digit>\n<digit> ::= "1" | "2"');
    expect(verdict(grammar, '1+2+1')).toBe('yes');
    expect(verdict(grammar, '1+')).toBe('open');
  });
  it.each([
    ['a = "x" ; b', /expected "=" or "::="/],
    ['a = b ;', /"b" is not/],
    ['a = { "x" ;', /"}" for the bracket at line 1, column 5/],
    ['a = "x\\n" ;', /EBNF has none/],
    ['a ::= [ "x" ]', /may mean either/],
    ['a ::= "x" - "y"', /exceptions/],
    ['a = ? anything ? ;', /special sequences/],
    ['a = "x" ;\nb ::= "y"', /line 2.*do not mix/],
    ['', /no rules/],
    ['a = 3 "x" ;', /"\*" after the count/],
  ])('%s is refused', (text, message) => {
    expect(() => parseEbnf(text)).toThrow(FileFormatError);
    expect(() => parseEbnf(text)).toThrow(message);
  });
});

const golden = new URL('./golden/tokenizers/', import.meta.url);
const json = (url: URL) => JSON.parse(readFileSync(url, 'utf8'));
const names = [
  'bpe_bytelevel_gpt2',
  'bpe_bytelevel_split_llama3',
  'bpe_bytefallback_llama2',
  'bpe_bytefallback_metaspace',
  'unigram',
];

describe('the bytes of tokens', () => {
  const texts: string[] = json(new URL('texts.json', golden));
  it.each(names)('%s: in a row they are the text', (name) => {
    const tokenizer = tokenizerFromJson(json(new URL(`${name}/tokenizer.json`, golden)));
    const vocabulary = constraintVocabulary(tokenizer);
    expect(constraintVocabulary(tokenizer)).toBe(vocabulary);
    let compared = 0;
    for (const text of texts) {
      const ids = [...tokenizer.encodeIds(text, { add_special_tokens: false })];
      const list = ids.map((id) => vocabulary.bytesOf(id));
      if (list.some((bytes) => bytes === null)) continue; // unknown tokens stand for no text
      const written = new TextDecoder('utf-8', { ignoreBOM: true }).decode(Buffer.concat(list.map((bytes) => bytes!)));
      // The decoder drops the space that the tokenizer put before the first word.
      const decoded = tokenizer.decode(ids);
      expect.soft([decoded, ` ${decoded}`], JSON.stringify(text)).toContain(written);
      compared++;
    }
    expect(compared).toBeGreaterThan(texts.length / 4);
    for (const { id, special } of tokenizer.addedTokens) if (special) expect(vocabulary.bytesOf(id)).toBeNull();
  });
});

const gpt2 = new URL('../../shared/data/tokenizers/gpt2/', import.meta.url);

interface XGrammar {
  TokenizerInfo: {
    createTokenizerInfo(
      vocabulary: string[],
      kind: string,
      prepend: boolean,
      size: number,
      stop: number,
    ): Promise<object>;
  };
  GrammarCompiler: { createGrammarCompiler(info: object): Promise<{ compileGrammar(text: string): Promise<object> }> };
  GrammarMatcher: {
    createGrammarMatcher(
      compiled: object,
    ): Promise<{ acceptToken(token: number): boolean; getNextTokenBitmask(): Promise<Int32Array> }>;
  };
}

/** Its file is CommonJS in a package that says it is not: it loads under another name. */
async function loadXGrammar(): Promise<XGrammar | string> {
  const folder = mkdtempSync(join(tmpdir(), 'xgrammar-'));
  try {
    const file = join(folder, 'index.cjs');
    copyFileSync(new URL('../node_modules/@mlc-ai/web-xgrammar/lib/index.js', import.meta.url), file);
    const loaded = createRequire(import.meta.url)(file) as XGrammar;
    return loaded.GrammarMatcher === undefined ? 'has no GrammarMatcher' : loaded;
  } catch (error) {
    return String(error);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

const xgrammar = existsSync(gpt2) ? await loadXGrammar() : 'needs ../shared/data/tokenizers';

describe.skipIf(typeof xgrammar === 'string')(`XGrammar${typeof xgrammar === 'string' ? `: ${xgrammar}` : ''}`, () => {
  // Not the files of other alphabets: this version clamps negated classes to ASCII, and lets any byte follow in others.
  const cases: [name: string, text: string][] = [
    ['json', '{"name": "An é — \\"x\\"", "n": [1, -2.50e+1],\n "o": {}}'],
    ['arithmetic', '(a1+22)*b=total\n'],
    ['chess', '1. e4 e5\n2. Nf3 Nc6\n10. O-O-O Qxd5+\n'],
    ['c', 'int main(int argc){int x = argc+1;return (x);}'],
  ];
  it.each(cases)('%s: the same masks, token by token', async (name, document) => {
    const read = (file: string) => readFileSync(new URL(file, gpt2), 'utf8');
    const tokenizer = tokenizerFromGpt2Files(JSON.parse(read('encoder.json')), read('vocab.bpe'));
    const vocabulary = constraintVocabulary(tokenizer);
    const size = tokenizer.vocabSize;
    const end = size - 1;
    const { TokenizerInfo, GrammarCompiler, GrammarMatcher } = xgrammar as XGrammar;
    /** It also allows bytes that no UTF-8 has, which can never become a text. */
    const isDamaged = (token: number) =>
      vocabulary.bytesOf(token)?.some((byte) => byte === 0xc0 || byte === 0xc1 || byte > 0xf4);
    const strings = Array.from({ length: size }, (_, id) => tokenizer.idToToken(id) ?? '');
    const info = await TokenizerInfo.createTokenizerInfo(strings, 'byte_level', false, size, end);
    const compiler = await GrammarCompiler.createGrammarCompiler(info);
    const matcher = await GrammarMatcher.createGrammarMatcher(await compiler.compileGrammar(FILES[name].text));
    const state = compileGrammar(parseGbnf(FILES[name].text), vocabulary).start();
    for (const token of tokenizer.encodeIds(document, { add_special_tokens: false })) {
      const theirs = await matcher.getNextTokenBitmask();
      const ours = state.mask();
      const differ: string[] = [];
      for (let t = 0; t < size; t++) {
        if (t === end || isDamaged(t)) continue;
        if (((ours[t >> 5] ^ theirs[t >> 5]) >>> (t & 31)) & 1)
          differ.push(`${(ours[t >> 5] >>> (t & 31)) & 1 ? 'ours' : 'theirs'}: ${strings[t]}`);
      }
      expect(differ.slice(0, 5)).toEqual([]);
      expect(((theirs[end >> 5] >>> (end & 31)) & 1) === 1).toBe(state.canEnd);
      expect(matcher.acceptToken(token), `their verdict on ${strings[token]}`).toBe(true);
      expect(state.accept(token)).toBe(true);
    }
    expect(state.canEnd).toBe(true);
  });
});
