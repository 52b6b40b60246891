/**
 * Runs a template's tree. A template is untrusted: it sees only the values it is given, wrapped in classes of our own
 * (never a JavaScript object, prototype or function), and every step is paid for from a budget.
 */
import type { Arguments, Expr, Signature, Stmt, Target } from './ast.ts';
import { Budget, ChatTemplateError, Failure, typeError, valueError } from './errors.ts';
import { FILTERS, Group, needFilter, needTest } from './filters.ts';
import { GLOBALS, MAX_CALLS } from './globals.ts';
import { addTag, concat, GENERATION_STEP, Str } from './marked.ts';
import { attribute, binary, item, negate, relation, slice } from './operators.ts';
import { Runtime } from './runtime.ts';
import { TESTS } from './tests.ts';
import { Dict, equal, Float, iterate, List, Thing, toStr, truthy, typeName, Undefined, type Value } from './values.ts';

const LANGUAGE = {
  filters: FILTERS,
  tests: TESTS,
  attribute: (object: Value, name: string): Value => {
    if (object instanceof Group && (name === 'grouper' || name === 'list')) return object[name];
    return attribute(object, name);
  },
  item: (object: Value, index: Value, runtime: Runtime): Value => {
    if (object instanceof Group && index instanceof Str) return LANGUAGE.attribute(object, index.text);
    return item(object, index, runtime);
  },
};

class Scope {
  readonly variables = new Map<string, Value>();

  constructor(private readonly parent: Scope | null) {}

  get(name: string): Value | undefined {
    for (let scope: Scope | null = this; scope; scope = scope.parent) {
      const value = scope.variables.get(name);
      if (value !== undefined) return value;
    }
    return undefined;
  }
}

type Flow = 'next' | 'break' | 'continue';
type Output = Str[];

/**
 * Renders a tree.
 * @throws ChatTemplateError whatever the template does wrong or asks too much of.
 */
export function renderTree(
  body: readonly Stmt[],
  variables: ReadonlyMap<string, Value>,
  options: { readonly now: Date; readonly steps: number; readonly file: string },
): Str {
  const interpreter = new Interpreter(new Runtime(new Budget(options.steps), options.now, LANGUAGE));
  const scope = new Scope(null);
  for (const [name, value] of variables) scope.variables.set(name, value);
  try {
    return interpreter.capture(body, scope);
  } catch (error) {
    if (error instanceof Failure)
      throw new ChatTemplateError(error.errorType, error.message, interpreter.line, options.file);
    if (error instanceof RangeError) {
      throw new ChatTemplateError('Limit', 'the template nests too deeply', interpreter.line, options.file);
    }
    throw error;
  }
}

class Interpreter {
  /** The line of the statement or expression that runs. */
  line = 0;
  private calls = 0;
  private generations = 0;
  private isGenerating = false;

  constructor(private readonly runtime: Runtime) {}

  capture(body: readonly Stmt[], scope: Scope): Str {
    const out: Output = [];
    this.run(body, scope, out);
    return this.runtime.made(concat(out));
  }

  // Statements

  private run(body: readonly Stmt[], scope: Scope, out: Output): Flow {
    for (const statement of body) {
      const flow = this.statement(statement, scope, out);
      if (flow !== 'next') return flow;
    }
    return 'next';
  }

  private print(s: Str, out: Output): void {
    if (s.text === '') return;
    this.runtime.budget.text(s.text.length);
    out.push(s);
  }

  private statement(node: Stmt, scope: Scope, out: Output): Flow {
    this.runtime.budget.spend(1);
    this.line = node.line;
    switch (node.kind) {
      case 'text':
        this.print(new Str(node.text), out);
        return 'next';
      case 'output':
        this.print(toStr(this.evaluate(node.value, scope), this.runtime), out);
        return 'next';
      case 'if':
        for (const branch of node.branches) {
          if (branch.test === null || truthy(this.evaluate(branch.test, scope)))
            return this.run(branch.body, scope, out);
        }
        return 'next';
      case 'for':
        this.forLoop(node, scope, out);
        return 'next';
      case 'set':
        this.assign(node.target, this.evaluate(node.value, scope), scope);
        return 'next';
      case 'set_block': {
        const captured = this.capture(node.body, new Scope(scope));
        this.assign(node.target, node.filter ? this.filtered(node.filter, captured, scope) : captured, scope);
        return 'next';
      }
      case 'macro':
        scope.variables.set(node.macro.name, this.macro(node.macro, scope));
        return 'next';
      case 'call_block':
        this.callBlock(node, scope, out);
        return 'next';
      case 'filter_block': {
        const captured = this.capture(node.body, new Scope(scope));
        this.print(toStr(this.filtered(node.filter, captured, scope), this.runtime), out);
        return 'next';
      }
      case 'with': {
        const inner = new Scope(scope);
        for (const [target, value] of node.bindings) this.assign(target, this.evaluate(value, scope), inner);
        return this.run(node.body, inner, out);
      }
      case 'scope':
        return this.run(node.body, new Scope(scope), out);
      case 'generation':
        return this.generation(node.body, scope, out);
      case 'refused':
        throw new Failure('TypeError', node.reason);
      default:
        return node.kind;
    }
  }

  private generation(body: readonly Stmt[], scope: Scope, out: Output): Flow {
    if (this.isGenerating) return this.run(body, new Scope(scope), out);
    this.isGenerating = true;
    const inner: Output = [];
    const flow = this.run(body, new Scope(scope), inner);
    this.isGenerating = false;
    this.print(addTag(concat(inner), ++this.generations * GENERATION_STEP), out);
    return flow;
  }

  private forLoop(node: Extract<Stmt, { kind: 'for' }>, scope: Scope, out: Output, given?: Value, depth = 1): void {
    if (depth > MAX_CALLS) throw new Failure('Limit', `the loop recurses deeper than ${MAX_CALLS} levels`);
    let items = iterate(given ?? this.evaluate(node.iterable, scope), this.runtime);
    const { test } = node;
    if (test) {
      items = items.filter((value) => {
        const inner = new Scope(scope);
        this.assign(node.target, value, inner);
        return truthy(this.evaluate(test, inner));
      });
    }
    const loop = new Loop(items, depth, (children) => {
      const inner: Output = [];
      this.forLoop(node, scope, inner, children, depth + 1);
      return this.runtime.made(concat(inner));
    });
    const thing = loop.thing(node.recursive, this.runtime);
    for (; loop.index < items.length; loop.index++) {
      this.runtime.budget.spend(1);
      const inner = new Scope(scope);
      inner.variables.set('loop', thing);
      this.assign(node.target, items[loop.index], inner);
      if (this.run(node.body, inner, out) === 'break') break;
    }
    if (items.length === 0) this.run(node.otherwise, new Scope(scope), out);
  }

  private assign(target: Target, value: Value, scope: Scope): void {
    if (target.kind === 'name') {
      scope.variables.set(target.name, value);
    } else if (target.kind === 'namespace') {
      const namespace = scope.get(target.name);
      if (!(namespace instanceof Thing) || !namespace.slots) {
        throw new Failure('TemplateError', 'cannot assign attribute on non-namespace object');
      }
      namespace.slots.set(target.attribute, value);
    } else {
      if (value instanceof Undefined) throw value.failure();
      const items = iterate(value, this.runtime);
      if (items.length < target.items.length) {
        throw valueError(`not enough values to unpack (expected ${target.items.length}, got ${items.length})`);
      }
      if (items.length > target.items.length)
        throw valueError(`too many values to unpack (expected ${target.items.length})`);
      target.items.forEach((part, i) => {
        this.assign(part, items[i], scope);
      });
    }
  }

  // Macros

  private macro(macro: Signature, scope: Scope): Thing {
    const { name, parameters } = macro;
    const call = (_runtime: Runtime, args: readonly Value[], keywords: ReadonlyMap<string, Value>): Value => {
      if (++this.calls > MAX_CALLS)
        throw new Failure('Limit', `macros call each other deeper than ${MAX_CALLS} levels`);
      const inner = new Scope(scope);
      const left = new Map(keywords);
      parameters.forEach((parameter, i) => {
        const given = i < args.length ? args[i] : left.get(parameter.name);
        left.delete(parameter.name);
        inner.variables.set(parameter.name, given === undefined ? this.fallback(parameter, inner) : given);
      });
      const caller = left.get('caller');
      left.delete('caller');
      if (caller !== undefined) inner.variables.set('caller', caller);
      this.extraArguments(macro, args, left, inner);
      const result = this.capture(macro.body, inner);
      this.calls--;
      return result;
    };
    return new Thing('jinja2.runtime.Macro', call, (wanted) => (wanted === 'name' ? new Str(name) : undefined));
  }

  private fallback(parameter: Signature['parameters'][number], scope: Scope): Value {
    if (parameter.fallback) return this.evaluate(parameter.fallback, scope);
    return new Undefined(`parameter '${parameter.name}' was not provided`);
  }

  /** `varargs` and `kwargs` take what the signature does not, if the body mentions them. */
  private extraArguments(
    macro: Signature,
    args: readonly Value[],
    left: ReadonlyMap<string, Value>,
    scope: Scope,
  ): void {
    const mentions = mentioned(macro);
    const extra = args.slice(macro.parameters.length);
    if (mentions.has('varargs')) scope.variables.set('varargs', new List(extra, true));
    else if (extra.length > 0) {
      throw typeError(`macro '${macro.name}' takes not more than ${macro.parameters.length} argument(s)`);
    }
    if (mentions.has('kwargs')) {
      const dict = new Dict();
      for (const [name, value] of left) dict.set(new Str(name), value);
      scope.variables.set('kwargs', dict);
    } else if (left.size > 0) {
      throw typeError(`macro '${macro.name}' takes no keyword argument '${[...left.keys()][0]}'`);
    }
  }

  private callBlock(node: Extract<Stmt, { kind: 'call_block' }>, scope: Scope, out: Output): void {
    if (node.call.kind !== 'call') throw typeError('expected call');
    const callee = this.evaluate(node.call.callee, scope);
    const [args, keywords] = this.arguments(node.call.args, scope);
    const result = this.call(callee, args, new Map([...keywords, ['caller', this.macro(node.caller, scope)]]));
    this.print(toStr(result, this.runtime), out);
  }

  // Expressions

  private call(callee: Value, args: readonly Value[], keywords: ReadonlyMap<string, Value>): Value {
    if (callee instanceof Undefined) throw callee.failure();
    if (!(callee instanceof Thing) || !callee.call) throw typeError(`'${typeName(callee)}' object is not callable`);
    return callee.call(this.runtime, args, keywords);
  }

  private arguments(args: Arguments, scope: Scope): [Value[], Map<string, Value>] {
    const positional = args.positional.map((node) => this.evaluate(node, scope));
    if (args.spread) positional.push(...iterate(this.evaluate(args.spread, scope), this.runtime));
    const keywords = new Map(args.keywords.map(([name, node]) => [name, this.evaluate(node, scope)]));
    if (args.keywordSpread) {
      const given = this.evaluate(args.keywordSpread, scope);
      if (!(given instanceof Dict)) throw typeError(`argument after ** must be a mapping, not ${typeName(given)}`);
      for (const [key, value] of given.items()) {
        if (!(key instanceof Str)) throw typeError('keywords must be strings');
        keywords.set(key.text, value);
      }
    }
    return [positional, keywords];
  }

  /** Applies a chain of filters to a captured text. */
  private filtered(node: Expr, captured: Str, scope: Scope): Value {
    if (node.kind !== 'filter') throw typeError('expected filter');
    const input = node.input ? this.filtered(node.input, captured, scope) : captured;
    const [args, keywords] = this.arguments(node.args, scope);
    return needFilter(node.name, this.runtime)(this.runtime, [input, ...args], keywords);
  }

  private evaluate(node: Expr, scope: Scope): Value {
    const { runtime } = this;
    runtime.budget.spend(1);
    this.line = node.line;
    switch (node.kind) {
      case 'const':
        if (typeof node.value === 'string') return new Str(node.value);
        return node.float ? new Float(Number(node.value)) : node.value;
      case 'name':
        return lookup(node.name, scope);
      case 'list':
      case 'tuple':
        return new List(
          node.items.map((child) => this.evaluate(child, scope)),
          node.kind === 'tuple',
        );
      case 'dict': {
        const dict = new Dict();
        for (const [key, value] of node.items) dict.set(this.evaluate(key, scope), this.evaluate(value, scope));
        return dict;
      }
      case 'attribute':
        return LANGUAGE.attribute(this.evaluate(node.object, scope), node.name);
      case 'item':
        return this.item(node, scope);
      case 'call': {
        const callee = this.evaluate(node.callee, scope);
        const [args, keywords] = this.arguments(node.args, scope);
        this.line = node.line;
        return this.call(callee, args, keywords);
      }
      case 'filter': {
        const input = this.evaluate(node.input!, scope);
        const [args, keywords] = this.arguments(node.args, scope);
        return needFilter(node.name, runtime)(runtime, [input, ...args], keywords);
      }
      case 'test': {
        const input = this.evaluate(node.input, scope);
        const [args, keywords] = this.arguments(node.args, scope);
        return truthy(needTest(node.name, runtime)(runtime, [input, ...args], keywords)) !== node.negate;
      }
      case 'unary': {
        const operand = this.evaluate(node.operand, scope);
        return node.operator === 'not' ? !truthy(operand) : negate(node.operator, operand);
      }
      case 'binary': {
        const left = this.evaluate(node.left, scope);
        if (node.operator === 'and') return truthy(left) ? this.evaluate(node.right, scope) : left;
        if (node.operator === 'or') return truthy(left) ? left : this.evaluate(node.right, scope);
        return binary(node.operator, left, this.evaluate(node.right, scope), runtime);
      }
      case 'compare': {
        let left = this.evaluate(node.first, scope);
        for (const [operator, expression] of node.rest) {
          const right = this.evaluate(expression, scope);
          if (!relation(operator, left, right, runtime)) return false;
          left = right;
        }
        return true;
      }
      case 'concat':
        return runtime.made(concat(node.parts.map((part) => toStr(this.evaluate(part, scope), runtime))));
      case 'conditional':
        if (truthy(this.evaluate(node.test, scope))) return this.evaluate(node.yes, scope);
        if (node.no) return this.evaluate(node.no, scope);
        return new Undefined('the inline if-expression evaluated to false and no else section was defined.');
      case 'slice':
        throw typeError('a slice stands only inside [ ]');
    }
  }

  private item(node: Extract<Expr, { kind: 'item' }>, scope: Scope): Value {
    const object = this.evaluate(node.object, scope);
    const { index } = node;
    if (index.kind !== 'slice') return LANGUAGE.item(object, this.evaluate(index, scope), this.runtime);
    const bounds = [index.start, index.stop, index.step].map((bound) => bound && this.evaluate(bound, scope));
    return slice(object, bounds, this.runtime);
  }
}

function lookup(name: string, scope: Scope): Value {
  // Not `??`: null is a value of the language.
  const value = scope.get(name);
  if (value !== undefined) return value;
  return GLOBALS.get(name) ?? new Undefined(`'${name}' is undefined`);
}

/** The state behind `loop`. */
class Loop {
  index = 0;
  private lastChanged: readonly Value[] | null = null;

  constructor(
    private readonly items: readonly Value[],
    private readonly depth: number,
    private readonly recurse: (children: Value) => Value,
  ) {}

  thing(isRecursive: boolean, runtime: Runtime): Thing {
    const call = (_runtime: Runtime, args: readonly Value[]): Value => {
      if (!isRecursive) throw typeError("The loop must have the 'recursive' marker to be called recursively.");
      if (args.length !== 1) throw typeError('loop() takes one iterable');
      return this.recurse(args[0]);
    };
    return new Thing('jinja2.runtime.LoopContext', call, (name) => this.attribute(name, runtime));
  }

  private attribute(name: string, runtime: Runtime): Value | undefined {
    const { index, items } = this;
    switch (name) {
      case 'index':
        return index + 1;
      case 'index0':
        return index;
      case 'revindex':
        return items.length - index;
      case 'revindex0':
        return items.length - index - 1;
      case 'first':
        return index === 0;
      case 'last':
        return index === items.length - 1;
      case 'length':
        return items.length;
      case 'depth':
        return this.depth;
      case 'depth0':
        return this.depth - 1;
      case 'previtem':
        return index > 0 ? items[index - 1] : new Undefined('there is no previous item');
      case 'nextitem':
        return index + 1 < items.length ? items[index + 1] : new Undefined('there is no next item');
      case 'cycle':
        return new Thing('method', (_runtime, args) => {
          if (args.length === 0) throw typeError('no items for cycling given');
          return args[this.index % args.length];
        });
      case 'changed':
        return new Thing('method', (_runtime, args) => {
          const last = this.lastChanged;
          const isSame = last?.length === args.length && args.every((value, i) => equal(value, last[i], runtime));
          this.lastChanged = args;
          return !isSame;
        });
      default:
        return undefined;
    }
  }
}

const mentions = new WeakMap<Signature, ReadonlySet<string>>();

/** Which of `varargs` and `kwargs` a macro's body names. */
function mentioned(macro: Signature): ReadonlySet<string> {
  let found = mentions.get(macro);
  if (!found) {
    const names = new Set<string>();
    JSON.stringify(macro.body, (_key, value: unknown) => {
      if (typeof value === 'object' && value !== null && 'name' in value) {
        if (value.name === 'varargs' || value.name === 'kwargs') names.add(value.name);
      }
      return value;
    });
    found = names;
    mentions.set(macro, found);
  }
  return found;
}
