/** `json.dumps` as transformers sets it up for the `tojson` filter: `ensure_ascii=False`, no HTML escaping. */
import { Failure, typeError } from './errors.ts';
import { concat, mapRuns, Str } from './marked.ts';
import type { Runtime } from './runtime.ts';
import { compare, Dict, Float, floatText, List, typeName, type Value } from './values.ts';

export interface DumpOptions {
  readonly ensureAscii: boolean;
  /** Text of one level, or `null` for one line. */
  readonly indent: string | null;
  readonly itemSeparator: string;
  readonly keySeparator: string;
  readonly sortKeys: boolean;
}

export function dumps(value: Value, options: DumpOptions, runtime: Runtime): Str {
  const parts: (Str | string)[] = [];
  write(value, 0);
  return runtime.made(concat(parts));

  function write(node: Value, depth: number): void {
    runtime.budget.spend(1);
    if (depth > 200) throw new Failure('Limit', 'values nested deeper than 200 levels cannot be written as JSON');
    if (node === null) parts.push('null');
    else if (typeof node === 'boolean' || typeof node === 'number') parts.push(String(node));
    else if (node instanceof Float) parts.push(jsonFloat(node.value));
    else if (node instanceof Str) string(node);
    else if (node instanceof List) {
      sequence('[', ']', node.items, depth, (item) => write(item, depth + 1));
    } else if (node instanceof Dict) {
      const entries = node.items();
      if (options.sortKeys) entries.sort(([a], [b]) => compare(a, b, '<', runtime));
      sequence('{', '}', entries, depth, ([key, item]) => {
        string(jsonKey(key));
        parts.push(options.keySeparator);
        write(item, depth + 1);
      });
    } else throw typeError(`Object of type ${typeName(node)} is not JSON serializable`);
  }

  function sequence<T>(open: string, close: string, items: readonly T[], depth: number, one: (item: T) => void): void {
    const newLine = options.indent === null || items.length === 0 ? '' : `\n${options.indent.repeat(depth)}`;
    parts.push(open);
    items.forEach((item, i) => {
      if (i > 0) parts.push(options.itemSeparator);
      if (newLine) parts.push(newLine + options.indent);
      one(item);
    });
    if (newLine) runtime.budget.text(newLine.length * items.length);
    parts.push(newLine, close);
  }

  function string(s: Str): void {
    runtime.budget.text(s.text.length);
    parts.push(
      '"',
      mapRuns(s, (text) => escapeText(text, options.ensureAscii)),
      '"',
    );
  }
}

function escapeText(text: string, ensureAscii: boolean): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: JSON escapes control characters
  const escaped = text.replace(/["\\\x00-\x1f]/g, (char) => SHORT[char] ?? hex(char));
  return ensureAscii ? escaped.replace(/[\x7f-\uffff]/g, (char) => (char === '\x7f' ? char : hex(char))) : escaped;
}

const hex = (unit: string): string => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`;
const SHORT: Readonly<Record<string, string>> = {
  '"': '\\"',
  '\\': '\\\\',
  '\n': '\\n',
  '\r': '\\r',
  '\t': '\\t',
  '\b': '\\b',
  '\f': '\\f',
};

function jsonFloat(value: number): string {
  if (Number.isNaN(value)) return 'NaN';
  return Number.isFinite(value) ? floatText(value) : value > 0 ? 'Infinity' : '-Infinity';
}

function jsonKey(key: Value): Str {
  if (key instanceof Str) return key;
  if (key === null) return new Str('null');
  if (typeof key === 'boolean' || typeof key === 'number') return new Str(String(key));
  if (key instanceof Float) return new Str(jsonFloat(key.value));
  throw typeError(`keys must be str, int, float, bool or None, not ${typeName(key)}`);
}
