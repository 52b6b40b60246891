/**
 * Reads tokens into a tree, with the grammar and the precedence of Jinja 3.1 plus the two additions of chat templates:
 * `{% break %}` and `{% continue %}` (loopcontrols) and `{% generation %}`.
 */
import type { Arguments, Expr, Signature, Stmt, Target } from './ast.ts';
import { ChatTemplateError } from './errors.ts';
import { type Token, tokenize } from './lexer.ts';

/** Deeper templates are refused, so that no template can exhaust the stack. */
const MAX_DEPTH = 100;
const COMPARISONS = new Set(['==', '!=', '<', '<=', '>', '>=']);
const CONSTANTS: ReadonlyMap<string, null | boolean> = new Map([
  ['true', true],
  ['True', true],
  ['false', false],
  ['False', false],
  ['none', null],
  ['None', null],
]);
const NO_ARGUMENTS: Arguments = { positional: [], keywords: [] };

/** @throws ChatTemplateError (TemplateSyntaxError) with the line. */
export function parseTemplate(source: string, file: string): readonly Stmt[] {
  return new Parser(tokenize(source, file), file).template();
}

class Parser {
  private at = 0;
  private depth = 0;

  constructor(
    private readonly tokens: readonly Token[],
    private readonly file: string,
  ) {}

  template(): Stmt[] {
    const body = this.body([]);
    if (this.token.kind !== 'end') this.fail(`unexpected '${this.token.value}'`);
    return body;
  }

  // Tokens

  private get token(): Token {
    return this.tokens[this.at];
  }

  private get line(): number {
    return this.token.line;
  }

  private fail(reason: string): never {
    throw new ChatTemplateError('TemplateSyntaxError', reason, this.line, this.file);
  }

  private is(kind: Token['kind'], value?: string): boolean {
    return this.token.kind === kind && (value === undefined || this.token.value === value);
  }

  private isOperator(value: string): boolean {
    return this.is('operator', value);
  }

  private isName(value: string): boolean {
    return this.is('name', value);
  }

  private skip(kind: Token['kind'], value: string): boolean {
    if (!this.is(kind, value)) return false;
    this.at++;
    return true;
  }

  private expect(kind: Token['kind'], value?: string): Token {
    if (!this.is(kind, value)) {
      const found = this.token.kind === 'end' ? 'end of template' : this.token.value || DESCRIBED[this.token.kind];
      this.fail(`expected token '${value ?? DESCRIBED[kind] ?? kind}', got '${found}'`);
    }
    return this.tokens[this.at++];
  }

  private nested<T>(read: () => T): T {
    if (++this.depth > MAX_DEPTH) this.fail(`the template nests deeper than ${MAX_DEPTH} levels`);
    const result = read();
    this.depth--;
    return result;
  }

  // Statements

  /** Statements up to `{% end %}` for one of `ends`, whose name is left as the current token. */
  private body(ends: readonly string[]): Stmt[] {
    const body: Stmt[] = [];
    for (;;) {
      const { kind, value, line } = this.token;
      if (kind === 'text') {
        body.push({ kind: 'text', text: value, line });
        this.at++;
      } else if (kind === 'variable_begin') {
        this.at++;
        body.push({ kind: 'output', value: this.tuple(), line });
        this.expect('variable_end');
      } else if (kind === 'block_begin') {
        this.at++;
        if (this.token.kind === 'name' && ends.includes(this.token.value)) return body;
        body.push(this.nested(() => this.statement()));
        this.expect('block_end');
      } else if (ends.length === 0) {
        return body;
      } else {
        this.fail(`unexpected end of template, expected '${ends.join("' or '")}'`);
      }
    }
  }

  /** The body of a tag whose head has just been read, with its closing tag's name. */
  private block(end: string): Stmt[] {
    this.expect('block_end');
    const body = this.body([end]);
    this.at++;
    return body;
  }

  private statement(): Stmt {
    const line = this.line;
    const tag = this.expect('name').value;
    switch (tag) {
      case 'for':
        return this.forStatement(line);
      case 'if':
        return this.ifStatement(line);
      case 'set':
        return this.setStatement(line);
      case 'macro': {
        const name = this.expect('name').value;
        const parameters = this.parameters();
        return { kind: 'macro', macro: { name, parameters, body: this.block('endmacro') }, line };
      }
      case 'call': {
        const parameters = this.isOperator('(') ? this.parameters() : [];
        const call = this.expression();
        if (call.kind !== 'call') this.fail('expected call');
        return { kind: 'call_block', call, caller: { name: 'caller', parameters, body: this.block('endcall') }, line };
      }
      case 'filter': {
        const filter = this.filters(null, true);
        return { kind: 'filter_block', filter, body: this.block('endfilter'), line };
      }
      case 'with':
        return this.withStatement(line);
      case 'block': {
        this.expect('name');
        while (this.skip('name', 'scoped') || this.skip('name', 'required'));
        const body = this.block('endblock');
        if (this.is('name')) this.at++;
        return { kind: 'scope', body, line };
      }
      case 'autoescape': {
        const on = this.expression();
        const body = this.block('endautoescape');
        if (on.kind !== 'const' || on.value) return { kind: 'refused', reason: 'autoescape is not offered', line };
        return { kind: 'scope', body, line };
      }
      case 'generation':
        return { kind: 'generation', body: this.block('endgeneration'), line };
      case 'break':
      case 'continue':
        return { kind: tag, line };
      case 'include':
      case 'import':
      case 'from':
      case 'extends':
        while (!this.is('block_end') && !this.is('end')) this.at++;
        return { kind: 'refused', reason: `'${tag}' has nothing to load from: a chat template stands alone`, line };
      default:
        return this.fail(`Encountered unknown tag '${tag}'.`);
    }
  }

  private forStatement(line: number): Stmt {
    const target = this.target(['in']);
    this.expect('name', 'in');
    const iterable = this.tuple(false, ['recursive']);
    const test = this.skip('name', 'if') ? this.expression() : null;
    const recursive = this.skip('name', 'recursive');
    this.expect('block_end');
    const body = this.body(['endfor', 'else']);
    const hasElse = this.skip('name', 'else');
    if (!hasElse) this.at++;
    const otherwise = hasElse ? this.block('endfor') : [];
    return { kind: 'for', target, iterable, test, recursive, body, otherwise, line };
  }

  private ifStatement(line: number): Stmt {
    const branches: { test: Expr | null; body: Stmt[] }[] = [];
    for (;;) {
      const test = this.tuple(false);
      this.expect('block_end');
      branches.push({ test, body: this.body(['elif', 'else', 'endif']) });
      if (this.skip('name', 'elif')) continue;
      if (this.skip('name', 'else')) branches.push({ test: null, body: this.block('endif') });
      else this.at++;
      return { kind: 'if', branches, line };
    }
  }

  private setStatement(line: number): Stmt {
    const target = this.target([]);
    if (this.skip('operator', '=')) return { kind: 'set', target, value: this.tuple(), line };
    const filter = this.isOperator('|') ? this.filters(null, false) : null;
    return { kind: 'set_block', target, filter, body: this.block('endset'), line };
  }

  private withStatement(line: number): Stmt {
    const bindings: [Target, Expr][] = [];
    while (!this.is('block_end')) {
      if (bindings.length > 0) this.expect('operator', ',');
      const target = this.target(['=']);
      this.expect('operator', '=');
      bindings.push([target, this.expression()]);
    }
    return { kind: 'with', bindings, body: this.block('endwith'), line };
  }

  private target(ends: readonly string[]): Target {
    const line = this.line;
    const one = (): Target => {
      if (this.skip('operator', '(')) {
        const inner = this.target([]);
        this.expect('operator', ')');
        return inner;
      }
      const name = this.expect('name').value;
      if (CONSTANTS.has(name)) this.fail(`can't assign to '${name}'`);
      if (!this.skip('operator', '.')) return { kind: 'name', name, line };
      return { kind: 'namespace', name, attribute: this.expect('name').value, line };
    };
    const first = one();
    if (!this.isOperator(',')) return first;
    const items = [first];
    while (this.skip('operator', ',')) {
      if (
        this.token.kind === 'block_end' ||
        this.isOperator('=') ||
        this.isOperator(')') ||
        ends.includes(this.token.value)
      )
        break;
      items.push(one());
    }
    return { kind: 'tuple', items, line };
  }

  private parameters(): Signature['parameters'] {
    const parameters: { name: string; fallback?: Expr }[] = [];
    this.expect('operator', '(');
    while (!this.isOperator(')')) {
      if (parameters.length > 0) this.expect('operator', ',');
      const name = this.expect('name').value;
      if (this.skip('operator', '=')) parameters.push({ name, fallback: this.expression() });
      else if (parameters.at(-1)?.fallback) this.fail('non-default argument follows default argument');
      else parameters.push({ name });
    }
    this.at++;
    return parameters;
  }

  // Expressions, loosest binding first

  /** One expression, or a tuple when commas follow. */
  private tuple(conditional = true, ends: readonly string[] = [], parenthesised = false): Expr {
    const line = this.line;
    const items: Expr[] = [];
    let isTuple = false;
    while (!this.endsTuple(ends)) {
      items.push(conditional ? this.expression() : this.or());
      if (!this.skip('operator', ',')) break;
      isTuple = true;
    }
    if (!isTuple && items.length === 1) return items[0];
    if (items.length === 0 && !parenthesised)
      this.fail(`Expected an expression, got '${this.token.value || DESCRIBED[this.token.kind]}'`);
    return { kind: 'tuple', items, line };
  }

  private endsTuple(ends: readonly string[]): boolean {
    const { kind, value } = this.token;
    return (
      kind === 'variable_end' ||
      kind === 'block_end' ||
      this.isOperator(')') ||
      (kind === 'name' && ends.includes(value))
    );
  }

  private expression(): Expr {
    return this.nested(() => {
      const line = this.line;
      let value = this.or();
      while (this.skip('name', 'if')) {
        const test = this.or();
        const no = this.skip('name', 'else') ? this.expression() : null;
        value = { kind: 'conditional', test, yes: value, no, line };
      }
      return value;
    });
  }

  private leftAssociative(operators: readonly string[], kind: 'name' | 'operator', operand: () => Expr): Expr {
    let left = operand();
    while (this.token.kind === kind && operators.includes(this.token.value)) {
      const { value: operator, line } = this.token;
      this.at++;
      left = { kind: 'binary', operator, left, right: operand(), line };
    }
    return left;
  }

  private or(): Expr {
    return this.leftAssociative(['or'], 'name', () => this.leftAssociative(['and'], 'name', () => this.not()));
  }

  private not(): Expr {
    const line = this.line;
    if (!this.skip('name', 'not')) return this.compare();
    return { kind: 'unary', operator: 'not', operand: this.nested(() => this.not()), line };
  }

  private compare(): Expr {
    const line = this.line;
    const first = this.sum();
    const rest: [string, Expr][] = [];
    for (;;) {
      if (this.token.kind === 'operator' && COMPARISONS.has(this.token.value)) {
        rest.push([this.tokens[this.at++].value, this.sum()]);
      } else if (this.skip('name', 'in')) {
        rest.push(['in', this.sum()]);
      } else if (
        this.isName('not') &&
        this.tokens[this.at + 1].kind === 'name' &&
        this.tokens[this.at + 1].value === 'in'
      ) {
        this.at += 2;
        rest.push(['not in', this.sum()]);
      } else {
        return rest.length > 0 ? { kind: 'compare', first, rest, line } : first;
      }
    }
  }

  private sum(): Expr {
    return this.leftAssociative(['+', '-'], 'operator', () => this.concat());
  }

  private concat(): Expr {
    const line = this.line;
    const parts = [this.product()];
    while (this.skip('operator', '~')) parts.push(this.product());
    return parts.length > 1 ? { kind: 'concat', parts, line } : parts[0];
  }

  private product(): Expr {
    return this.leftAssociative(['*', '/', '//', '%'], 'operator', () =>
      this.leftAssociative(['**'], 'operator', () => this.unary(true)),
    );
  }

  private unary(withFilters: boolean): Expr {
    const { line, value } = this.token;
    let node: Expr;
    if (this.isOperator('-') || this.isOperator('+')) {
      this.at++;
      const operator = value === '-' ? '-' : '+';
      node = { kind: 'unary', operator, operand: this.nested(() => this.unary(false)), line };
    } else {
      node = this.primary();
    }
    node = this.postfix(node);
    return withFilters ? this.filterExpression(node) : node;
  }

  private primary(): Expr {
    const { kind, value, line } = this.token;
    switch (kind) {
      case 'name': {
        this.at++;
        const constant = CONSTANTS.get(value);
        return constant !== undefined ? { kind: 'const', value: constant, line } : { kind: 'name', name: value, line };
      }
      case 'string': {
        let text = '';
        while (this.is('string')) text += this.tokens[this.at++].value;
        return { kind: 'const', value: text, line };
      }
      case 'integer':
      case 'float': {
        this.at++;
        const number = Number(value.replaceAll('_', ''));
        if (kind === 'integer' && !Number.isSafeInteger(number)) this.fail(`the integer ${value} is larger than 2^53`);
        return { kind: 'const', value: number, float: kind === 'float', line };
      }
      case 'operator':
        if (value === '(') {
          this.at++;
          const inner = this.tuple(true, [], true);
          this.expect('operator', ')');
          return inner;
        }
        if (value === '[') return this.list(line);
        if (value === '{') return this.dict(line);
    }
    return this.fail(`unexpected '${value || DESCRIBED[kind]}'`);
  }

  private list(line: number): Expr {
    const items: Expr[] = [];
    this.at++;
    while (!this.isOperator(']')) {
      if (items.length > 0) this.expect('operator', ',');
      if (this.isOperator(']')) break;
      items.push(this.expression());
    }
    this.at++;
    return { kind: 'list', items, line };
  }

  private dict(line: number): Expr {
    const items: [Expr, Expr][] = [];
    this.at++;
    while (!this.isOperator('}')) {
      if (items.length > 0) this.expect('operator', ',');
      if (this.isOperator('}')) break;
      const key = this.expression();
      this.expect('operator', ':');
      items.push([key, this.expression()]);
    }
    this.at++;
    return { kind: 'dict', items, line };
  }

  private postfix(start: Expr): Expr {
    let node = start;
    for (;;) {
      if (this.isOperator('.') || this.isOperator('[')) node = this.subscript(node);
      else if (this.isOperator('(')) node = { kind: 'call', callee: node, args: this.args(), line: this.line };
      else return node;
    }
  }

  private filterExpression(start: Expr): Expr {
    let node = start;
    for (;;) {
      if (this.isOperator('|')) node = this.filters(node, false);
      else if (this.isName('is')) node = this.test(node);
      else if (this.isOperator('(')) node = { kind: 'call', callee: node, args: this.args(), line: this.line };
      else return node;
    }
  }

  private subscript(object: Expr): Expr {
    const line = this.line;
    if (this.skip('operator', '.')) {
      if (this.is('name')) return { kind: 'attribute', object, name: this.tokens[this.at++].value, line };
      const index = this.expect('integer');
      return { kind: 'item', object, index: { kind: 'const', value: Number(index.value), line }, line };
    }
    this.at++;
    const parts: Expr[] = [];
    let isTuple = false;
    while (!this.isOperator(']')) {
      parts.push(this.sliceOrExpression());
      if (!this.skip('operator', ',')) break;
      isTuple = true;
    }
    this.expect('operator', ']');
    if (parts.length === 0) this.fail(`unexpected ']'`);
    return { kind: 'item', object, index: isTuple ? { kind: 'tuple', items: parts, line } : parts[0], line };
  }

  private sliceOrExpression(): Expr {
    const line = this.line;
    const bound = (): Expr | undefined =>
      this.isOperator(':') || this.isOperator(']') || this.isOperator(',') ? undefined : this.expression();
    const start = bound();
    if (!this.skip('operator', ':')) return start ?? this.fail(`unexpected '${this.token.value}'`);
    const stop = bound();
    const step = this.skip('operator', ':') ? bound() : undefined;
    return { kind: 'slice', start, stop, step, line };
  }

  private filters(input: Expr | null, inline: boolean): Expr {
    let node = input;
    let startsInline = inline;
    while (startsInline || this.skip('operator', '|')) {
      startsInline = false;
      const line = this.line;
      const name = this.dotted();
      const args = this.isOperator('(') ? this.args() : NO_ARGUMENTS;
      node = { kind: 'filter', input: node, name, args, line };
    }
    return node!;
  }

  private test(input: Expr): Expr {
    const line = this.line;
    this.at++;
    const negate = this.skip('name', 'not');
    const name = this.dotted();
    let args = NO_ARGUMENTS;
    const { kind, value } = this.token;
    if (this.isOperator('(')) {
      args = this.args();
    } else if (
      (kind === 'name' && !['else', 'or', 'and', 'is', 'if', 'in', 'not', 'recursive'].includes(value)) ||
      kind === 'string' ||
      kind === 'integer' ||
      kind === 'float' ||
      this.isOperator('[') ||
      this.isOperator('{')
    ) {
      args = { positional: [this.postfix(this.primary())], keywords: [] };
    }
    return { kind: 'test', input, name, args, negate, line };
  }

  private dotted(): string {
    let name = this.expect('name').value;
    while (this.skip('operator', '.')) name += `.${this.expect('name').value}`;
    return name;
  }

  private args(): Arguments {
    const positional: Expr[] = [];
    const keywords: [string, Expr][] = [];
    let spread: Expr | undefined;
    let keywordSpread: Expr | undefined;
    let first = true;
    this.expect('operator', '(');
    while (!this.isOperator(')')) {
      if (!first) this.expect('operator', ',');
      if (this.isOperator(')')) break;
      first = false;
      if (this.skip('operator', '*')) {
        if (spread ?? keywordSpread) this.fail('invalid syntax for function call expression');
        spread = this.expression();
      } else if (this.skip('operator', '**')) {
        if (keywordSpread) this.fail('invalid syntax for function call expression');
        keywordSpread = this.expression();
      } else if (
        this.is('name') &&
        this.tokens[this.at + 1].kind === 'operator' &&
        this.tokens[this.at + 1].value === '='
      ) {
        const name = this.token.value;
        this.at += 2;
        keywords.push([name, this.expression()]);
      } else {
        if (spread ?? keywordSpread ?? keywords[0]) this.fail('invalid syntax for function call expression');
        positional.push(this.expression());
      }
    }
    this.at++;
    return { positional, keywords, spread, keywordSpread };
  }
}

const DESCRIBED: Readonly<Record<Token['kind'], string>> = {
  text: 'template data',
  block_begin: 'begin of statement block',
  block_end: 'end of statement block',
  variable_begin: 'begin of print statement',
  variable_end: 'end of print statement',
  name: 'name',
  string: 'string',
  integer: 'integer',
  float: 'float',
  operator: 'operator',
  end: 'end of template',
};
