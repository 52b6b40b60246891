/** `"…".format(…)` and its format specifications: https://docs.python.org/3/library/string.html#formatstrings */
import { Failure, typeError, valueError } from './errors.ts';
import { codePoints, concat, offsetOf, Str, substring } from './marked.ts';
import type { Runtime } from './runtime.ts';
import { Float, floatText, numeric, repr, toStr, typeName, Undefined, type Value } from './values.ts';

const BRACE = /[{}]/g;

export function formatBraces(
  template: Str,
  args: readonly Value[],
  keywords: ReadonlyMap<string, Value>,
  runtime: Runtime,
  nested?: { next: number },
): Str {
  const numbering = nested ?? { next: 0 };
  const parts: Str[] = [];
  const { text } = template;
  let at = 0;
  while (at < text.length) {
    BRACE.lastIndex = at;
    const open = BRACE.exec(text)?.index ?? -1;
    if (open < 0) break;
    parts.push(substring(template, at, open));
    if (text[open + 1] === text[open]) {
      parts.push(substring(template, open, open + 1));
      at = open + 2;
      continue;
    }
    if (text[open] === '}') throw valueError("Single '}' encountered in format string");
    const close = closing(text, open);
    parts.push(field(substring(template, open + 1, close), args, keywords, runtime, numbering, nested !== undefined));
    runtime.budget.spend(1);
    at = close + 1;
  }
  parts.push(substring(template, at));
  return runtime.made(concat(parts));
}

function closing(text: string, open: number): number {
  let depth = 0;
  for (let i = open; i < text.length; i++) {
    if (text[i] === '{') depth++;
    if (text[i] === '}' && --depth === 0) return i;
  }
  throw valueError("expected '}' before end of string");
}

function field(
  source: Str,
  args: readonly Value[],
  keywords: ReadonlyMap<string, Value>,
  runtime: Runtime,
  numbering: { next: number },
  isNested: boolean,
): Str {
  const found = /^([^!:[\].]*)((?:\.[^.[!:]+|\[[^\]]+\])*)(?:!([rsa]))?(?::([\s\S]*))?$/.exec(source.text);
  if (!found) throw valueError(`bad replacement field '${source.text}' in format string`);
  const [, name, path, conversion, rawSpec = ''] = found;
  let value: Value | undefined;
  if (name === '' || /^\d+$/.test(name)) {
    const index = name === '' ? numbering.next++ : Number(name);
    value = args[index];
    if (value === undefined) throw new Failure('IndexError', 'tuple index out of range');
  } else {
    value = keywords.get(name);
    if (value === undefined) throw new Failure('KeyError', `'${name}'`);
  }
  for (const [, attributeName, key] of path.matchAll(/\.([^.[]+)|\[([^\]]+)\]/g)) {
    value = attributeName
      ? runtime.language.attribute(value, attributeName)
      : runtime.language.item(value, /^\d+$/.test(key) ? Number(key) : new Str(key), runtime);
    if (value instanceof Undefined) throw value.failure();
  }
  const spec = rawSpec.includes('{')
    ? isNested
      ? (() => {
          throw valueError('Max string recursion exceeded');
        })()
      : formatBraces(new Str(rawSpec), args, keywords, runtime, numbering).text
    : rawSpec;
  if (conversion) value = conversion === 's' ? toStr(value, runtime) : repr(value, runtime);
  return formatSpec(value, spec, runtime);
}

const SPEC = /^(?:([\s\S])?([<>=^]))?([-+ ])?(z)?(#)?(0)?(\d+)?([,_])?(?:\.(\d+))?([a-zA-Z%])?$/u;

/** `format(value, spec)`. */
export function formatSpec(value: Value, spec: string, runtime: Runtime): Str {
  if (spec === '') return toStr(value, runtime);
  const found = SPEC.exec(spec);
  if (!found) throw valueError(`Invalid format specifier '${spec}' for object of type '${typeName(value)}'`);
  const [, fill, align, sign = '', , alternate, zero, widthText, grouping, precisionText, type] = found;
  const width = Number(widthText ?? 0);
  runtime.budget.text(width);
  const precision = precisionText === undefined ? undefined : Number(precisionText);
  if (value instanceof Str) {
    if (type !== undefined && type !== 's') throw valueError(`Unknown format code '${type}' for object of type 'str'`);
    if (sign) throw valueError('Sign not allowed in string format specifier');
    const cut = precision === undefined ? value : substring(value, 0, offsetOf(value.text, precision));
    return padded(cut, width, fill ?? (zero ? '0' : ' '), align ?? '<');
  }
  const number = numeric(value);
  if (number === null) throw typeError(`unsupported format string passed to ${typeName(value)}.__format__`);
  const magnitude = Math.abs(number);
  const isInteger = !(value instanceof Float);
  let digits: string;
  if (isInteger && (type === undefined || 'bcdnoxX'.includes(type))) {
    if (precision !== undefined) throw valueError('Precision not allowed in integer format specifier');
    digits = formatNumber(magnitude, type ?? 'd', alternate !== undefined);
  } else if (type === '%') digits = `${sprintfFloat(magnitude * 100, 'f', precision ?? 6)}%`;
  else if (type === undefined)
    digits = precision === undefined ? floatText(magnitude) : sprintfFloat(magnitude, 'g', precision);
  else if ('eEfFgGn'.includes(type))
    digits = sprintfFloat(magnitude, type === 'n' ? 'g' : type, precision ?? 6, alternate !== undefined);
  else throw valueError(`Unknown format code '${type}' for object of type '${typeName(value)}'`);
  if (grouping) digits = group(digits, grouping);
  const lead = number < 0 || Object.is(number, -0) ? '-' : sign === '-' ? '' : sign;
  if ((zero && !align) || align === '=') {
    return new Str(lead + digits.padStart(width - lead.length, fill ?? (zero ? '0' : ' ')));
  }
  return padded(new Str(lead + digits), width, fill ?? ' ', align ?? '>');
}

function padded(s: Str, width: number, fill: string, align: string): Str {
  const missing = Math.max(0, width - codePoints(s.text));
  const left = align === '>' || align === '=' ? missing : align === '^' ? Math.floor(missing / 2) : 0;
  return concat([fill.repeat(left), s, fill.repeat(missing - left)]);
}

const group = (digits: string, by: string): string =>
  digits.replace(/^\d+/, (whole) => whole.replace(/\B(?=(\d{3})+$)/g, by));

/** A non-negative integer in the base of `type`. */
export function formatNumber(value: number, type: string, alternate: boolean): string {
  switch (type) {
    case 'b':
      return (alternate ? '0b' : '') + value.toString(2);
    case 'o':
      return (alternate ? '0o' : '') + value.toString(8);
    case 'x':
      return (alternate ? '0x' : '') + value.toString(16);
    case 'X':
      return (alternate ? '0X' : '') + value.toString(16).toUpperCase();
    case 'c':
      if (value > 0x10ffff) throw new Failure('OverflowError', '%c arg not in range(0x110000)');
      return String.fromCodePoint(value);
    default:
      return String(value);
  }
}

/** A non-negative float as C's printf writes it with `e`, `f` or `g`. */
export function sprintfFloat(value: number, type: string, precision: number, alternate = false): string {
  if (!Number.isFinite(value)) {
    const text = Number.isNaN(value) ? 'nan' : 'inf';
    return type === type.toUpperCase() ? text.toUpperCase() : text;
  }
  if (precision > 100) throw valueError(`precision ${precision} is larger than 100`);
  const exponential = (digits: number): string =>
    value.toExponential(digits).replace(/e([+-])(\d)$/, (_, sign: string, digit: string) => `e${sign}0${digit}`);
  let text: string;
  switch (type.toLowerCase()) {
    case 'f':
      text =
        value >= 1e21
          ? BigInt(value).toString() + (precision > 0 ? `.${'0'.repeat(precision)}` : '')
          : value.toFixed(precision);
      break;
    case 'e':
      text = exponential(precision);
      break;
    default: {
      const significant = Math.max(1, precision);
      const exponent = value === 0 ? 0 : Number(value.toExponential(significant - 1).split('e')[1]);
      text =
        exponent < -4 || exponent >= significant
          ? exponential(significant - 1)
          : value.toFixed(Math.min(100, significant - 1 - exponent));
      if (!alternate) text = text.replace(/(\.\d*?)0+(?=e|$)/, '$1').replace(/\.(?=e|$)/, '');
    }
  }
  return type === type.toUpperCase() ? text.toUpperCase() : text;
}
