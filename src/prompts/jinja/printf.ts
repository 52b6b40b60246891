/** `"…" % values`: https://docs.python.org/3/library/stdtypes.html#printf-style-string-formatting */
import { Failure, typeError, valueError } from './errors.ts';
import { formatNumber, sprintfFloat } from './format.ts';
import { codePoints, concat, offsetOf, Str, substring } from './marked.ts';
import { pad } from './methods.ts';
import type { Runtime } from './runtime.ts';
import { Dict, Float, List, numeric, repr, toStr, typeName, Undefined, type Value } from './values.ts';

const DIRECTIVE = /%(?:\(([^)]*)\))?([-+ #0]*)(\*|\d+)?(?:\.(\*|\d+))?[hlL]?([\s\S])?/g;

export function formatPercent(template: Str, values: Value, runtime: Runtime): Str {
  const args = values instanceof List && values.isTuple ? values.items : [values];
  const parts: Str[] = [];
  let next = 0;
  let at = 0;
  let usedMapping = false;
  const take = (): Value => {
    if (next >= args.length) throw typeError('not enough arguments for format string');
    return args[next++];
  };
  for (const found of template.text.matchAll(DIRECTIVE)) {
    const [all, key, flags, width, precision, type] = found;
    parts.push(substring(template, at, found.index));
    at = found.index + all.length;
    if (type === undefined) throw valueError('incomplete format');
    if (type === '%') {
      parts.push(new Str('%'));
      continue;
    }
    const size = (text: string | undefined): number | undefined => {
      if (text !== '*') return text === undefined ? undefined : Number(text);
      const given = take();
      if (typeof given !== 'number') throw typeError('* wants int');
      return given;
    };
    const minWidth = size(width);
    const digits = size(precision);
    let value: Value;
    if (key === undefined) value = take();
    else {
      if (!(values instanceof Dict)) throw typeError('format requires a mapping');
      usedMapping = true;
      const item = values.get(new Str(key));
      if (item === undefined) throw new Failure('KeyError', `'${key}'`);
      value = item;
    }
    parts.push(directive(value, flags, minWidth, digits, type, runtime));
  }
  parts.push(substring(template, at));
  if (!usedMapping && next < args.length && !(values instanceof Dict)) {
    throw typeError('not all arguments converted during string formatting');
  }
  return runtime.made(concat(parts));
}

function directive(
  value: Value,
  flags: string,
  width: number | undefined,
  precision: number | undefined,
  type: string,
  runtime: Runtime,
): Str {
  const align = flags.includes('-') ? '<' : '>';
  if (type === 's' || type === 'r' || type === 'a') {
    if (value instanceof Undefined && value.errorType === 'SecurityError') throw value.failure();
    const text = type === 's' ? toStr(value, runtime) : repr(value, runtime);
    const cut = precision === undefined ? text : substring(text, 0, offsetOf(text.text, precision));
    return pad(cut, Math.abs(width ?? 0), ' ', align, runtime);
  }
  if (type === 'c') {
    const text = typeof value === 'number' ? new Str(String.fromCodePoint(value)) : value;
    if (!(text instanceof Str) || codePoints(text.text) !== 1)
      throw typeError('%c requires an int or a unicode character');
    return pad(text, Math.abs(width ?? 0), ' ', align, runtime);
  }
  if (!'diuoxXeEfFgG'.includes(type)) throw valueError(`unsupported format character '${type}'`);
  if (value instanceof Undefined) throw value.failure();
  const number = numeric(value);
  if (number === null) throw typeError(`%${type} format: a real number is required, not ${typeName(value)}`);
  if ('oxX'.includes(type) && value instanceof Float)
    throw typeError(`%${type} format: an integer is required, not float`);
  const sign = flags.includes('+') ? '+' : flags.includes(' ') ? ' ' : '';
  const magnitude = Math.abs('diu'.includes(type) ? Math.trunc(number) : number);
  let digits = 'eEfFgG'.includes(type)
    ? sprintfFloat(magnitude, type, precision ?? 6, flags.includes('#'))
    : formatNumber(magnitude, type === 'i' || type === 'u' ? 'd' : type, flags.includes('#')).padStart(
        precision ?? 0,
        '0',
      );
  const negative = number < 0 || Object.is(number, -0);
  const lead = negative && !(Object.is(number, -0) && 'diu'.includes(type)) ? '-' : sign;
  if (flags.includes('0') && align === '>') {
    runtime.budget.text(width ?? 0);
    digits = digits.padStart((width ?? 0) - lead.length, '0');
  }
  return pad(new Str(lead + digits), Math.abs(width ?? 0), ' ', align, runtime);
}
