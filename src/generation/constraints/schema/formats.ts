/**
 * The formats of JSON Schema as regular languages. Where a specification's language is wider than anyone writes (quoted local parts of mail addresses,
 * addresses in brackets as mail hosts), the form in use is taken; where it is not regular (`regex`), the format is refused.
 */
import type { Decimal } from './decimal.ts';
import { ONE } from './decimal.ts';
import { ANY_NUMBER, type NumberShape } from './numbers.ts';
import { languageOf } from './patterns.ts';
import { ANY_STRING, languageShape, problemOf, type StringShape } from './strings.ts';

const DATE = (() => {
  const leap = '(?:\\d\\d(?:0[48]|[2468][048]|[13579][26])|(?:[02468][048]|[13579][26])00)';
  const long = '(?:0[13578]|1[02])-(?:0[1-9]|[12]\\d|3[01])';
  const short = '(?:0[469]|11)-(?:0[1-9]|[12]\\d|30)';
  return `(?:\\d{4}-(?:${long}|${short}|02-(?:0[1-9]|1\\d|2[0-8]))|${leap}-02-29)`;
})();

/** Offsets of which leap seconds are taken, in hours; with both signs. */
const ZONES = [...Array.from({ length: 48 }, (_, i) => i / 2), 5.75, 8.75, 12.75];

/** Leap seconds are the last second of a day in UTC, in the local times of these zones. */
const TIME = (() => {
  const leaps = ['23:59:60(?:\\.\\d+)?[Zz]'];
  const two = (value: number): string => String(value).padStart(2, '0');
  for (const sign of [1, -1]) {
    for (const hours of ZONES) {
      const zone = hours * 60;
      const local = (((23 * 60 + 59 + sign * zone) % 1440) + 1440) % 1440;
      const offset = `\\${sign > 0 ? '+' : '-'}${two(Math.floor(hours))}:${two(zone % 60)}`;
      leaps.push(`${two(Math.floor(local / 60))}:${two(local % 60)}:60(?:\\.\\d+)?${offset}`);
    }
  }
  return `(?:(?:[01]\\d|2[0-3]):[0-5]\\d:[0-5]\\d(?:\\.\\d+)?(?:[Zz]|[+\\-](?:[01]\\d|2[0-3]):[0-5]\\d)|${leaps.join('|')})`;
})();

const DURATION = (() => {
  const time = 'T(?:\\d+H(?:\\d+M(?:\\d+S)?)?|\\d+M(?:\\d+S)?|\\d+S)';
  const date = '(?:\\d+Y(?:\\d+M(?:\\d+D)?)?|\\d+M(?:\\d+D)?|\\d+D)';
  return `P(?:\\d+W|${date}(?:${time})?|${time})`;
})();

const LABEL = '[A-Za-z0-9](?:[A-Za-z0-9\\-]{0,61}[A-Za-z0-9])?';
const ATOM = "[A-Za-z0-9!#$%&'*+\\/=?^_`\\{\\|\\}~\\-]+";
const EMAIL = `${ATOM}(?:\\.${ATOM})*@${LABEL}(?:\\.${LABEL})*`;
const OCTET = '(?:25[0-5]|2[0-4]\\d|1\\d\\d|[1-9]?\\d)';
const IPV4 = `${OCTET}(?:\\.${OCTET}){3}`;

const IPV6 = (() => {
  const group = '[0-9A-Fa-f]{1,4}';
  const ways = [`(?:${group}:){7}${group}`, `(?:${group}:){6}${IPV4}`, '::'];
  // `a` groups before the gap and `b` after it, at least one group left out.
  for (let a = 0; a <= 7; a++) {
    const before = a === 0 ? ':' : `(?:${group}:){${a}}`;
    for (let b = 0; a + b <= 7; b++) {
      if (a + b > 0) ways.push(`${before}:${b === 0 ? '' : `${b > 1 ? `(?:${group}:){${b - 1}}` : ''}${group}`}`);
      if (a + b <= 5) ways.push(`${before}:${b === 0 ? '' : `(?:${group}:){${b}}`}${IPV4}`);
    }
  }
  return `(?:${ways.join('|')})`;
})();

/** RFC 3986, and RFC 3987 where `wide` holds the characters beyond ASCII. */
function address(wide: string, privateUse: string, relative: boolean): string {
  const plain = `[A-Za-z0-9\\-._~!$&'()*+,;=:@${wide}]`;
  const encoded = '%[0-9A-Fa-f]{2}';
  const p = `(?:${plain}|${encoded})`;
  const segments = `(?:\\/${p}*)*`;
  const user = `(?:(?:[A-Za-z0-9\\-._~!$&'()*+,;=:${wide}]|${encoded})*@)?`;
  const host = `(?:\\[(?:${IPV6}|[Vv][0-9A-Fa-f]+\\.[A-Za-z0-9\\-._~!$&'()*+,;=:]+)\\]|(?:[A-Za-z0-9\\-._~!$&'()*+,;=${wide}]|${encoded})*)`;
  const authority = `\\/\\/${user}${host}(?::\\d*)?${segments}`;
  const absolute = `\\/(?:${p}+${segments})?`;
  const rootless = `${p}+${segments}`;
  const tail = `(?:\\?(?:${p}|[\\/?${privateUse}])*)?(?:#(?:${p}|[\\/?])*)?`;
  // What has nothing after its scheme is an address by the letter, and of nothing.
  const scheme = `[A-Za-z][A-Za-z0-9+\\-.]*:(?:${authority}|${absolute}|${rootless})`;
  if (!relative) return `${scheme}${tail}`;
  const first = `(?:[A-Za-z0-9\\-._~!$&'()*+,;=@${wide}]|${encoded})+`;
  return `(?:${scheme}|${authority}|${absolute}|${first}${segments})?${tail}`;
}

const WIDE =
  '\\u{a0}-\\u{d7ff}\\u{f900}-\\u{fdcf}\\u{fdf0}-\\u{ffef}' +
  Array.from({ length: 14 }, (_, i) => `\\u{${(i + 1).toString(16)}0000}-\\u{${(i + 1).toString(16)}fffd}`).join('');
const PRIVATE = '\\u{e000}-\\u{f8ff}\\u{f0000}-\\u{ffffd}\\u{100000}-\\u{10fffd}';
const POINTER = '(?:\\/(?:[^~\\/]|~[01])*)*';

const TEMPLATE = (() => {
  const literal = '[^\\u{0}-\\u{20}"%<>\\\\^`\\{\\|\\}\\u{7f}-\\u{9f}]|%[0-9A-Fa-f]{2}';
  const name = '(?:[A-Za-z0-9_]|%[0-9A-Fa-f]{2})+(?:\\.(?:[A-Za-z0-9_]|%[0-9A-Fa-f]{2})+)*';
  const variable = `${name}(?::[1-9]\\d{0,3}|\\*)?`;
  return `(?:${literal}|\\{[+#.\\/;?&=,!@\\|]?${variable}(?:,${variable})*\\})*`;
})();

/** Expressions of the whole text. Any character: `[^]` is not of the u flag, so pointers and the like use classes. */
const FORMATS: Readonly<Record<string, () => string>> = {
  date: () => DATE,
  time: () => TIME,
  'date-time': () => `${DATE}[Tt]${TIME}`,
  duration: () => DURATION,
  email: () => EMAIL,
  hostname: () => `${LABEL}(?:\\.${LABEL})*`,
  ipv4: () => IPV4,
  ipv6: () => IPV6,
  uri: () => address('', '', false),
  'uri-reference': () => address('', '', true),
  iri: () => address(WIDE, PRIVATE, false),
  'iri-reference': () => address(WIDE, PRIVATE, true),
  'uri-template': () => TEMPLATE,
  uuid: () => '[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}',
  'json-pointer': () => POINTER,
  'relative-json-pointer': () => `(?:0|[1-9]\\d*)(?:#|${POINTER})`,
  byte: () => '(?:[A-Za-z0-9+\\/]{4})*(?:[A-Za-z0-9+\\/]{2}==|[A-Za-z0-9+\\/]{3}=)?',
};

const REFUSED: Readonly<Record<string, string>> = {
  regex: 'cannot be enforced: regular expressions are not a regular language',
  'idn-hostname': 'cannot be enforced: it depends on tables of Unicode that no runtime has',
  'idn-email': 'cannot be enforced: it depends on tables of Unicode that no runtime has',
};

/** @returns undefined for formats that are not known, which mean nothing. */
export function formatStrings(format: unknown, path: string): StringShape | undefined {
  if (typeof format !== 'string') return undefined;
  if (Object.hasOwn(REFUSED, format))
    return { ...ANY_STRING, problem: { path, value: format, reason: REFUSED[format] } };
  if (!Object.hasOwn(FORMATS, format)) return undefined;
  try {
    return languageShape(languageOf(FORMATS[format](), 'whole'));
  } catch (error) {
    return { ...ANY_STRING, problem: problemOf(error, path, format) };
  }
}

const INTEGERS: Readonly<Record<string, number>> = { int32: 31, int64: 63 };

/** The formats of OpenAPI that bound integers. */
export function formatNumbers(format: unknown): NumberShape[] {
  if (typeof format !== 'string' || !Object.hasOwn(INTEGERS, format)) return [];
  const limit = 1n << BigInt(INTEGERS[format]);
  const whole = (digits: bigint): Decimal => ({ digits, exponent: 0 });
  return [{ ...ANY_NUMBER, low: whole(-limit), high: whole(limit - 1n), multiple: ONE }];
}
