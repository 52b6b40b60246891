/**
 * Bytes as text. Byte-level vocabularies (GPT-2 and its many descendants) write every byte as one printable character:
 * the bytes that print stand for themselves, the other 68 follow from U+0100 in order (openai/gpt-2, encoder.py).
 */

/** Byte -> the UTF-16 unit that stands for it. */
export const BYTE_TO_UNIT: Uint16Array = new Uint16Array(256);
/** UTF-16 unit (below 324) -> the byte it stands for, or -1. */
export const UNIT_TO_BYTE: Int16Array = new Int16Array(324).fill(-1);

{
  let next = 256;
  for (let byte = 0; byte < 256; byte++) {
    const prints = (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
    const unit = prints ? byte : next++;
    BYTE_TO_UNIT[byte] = unit;
    UNIT_TO_BYTE[unit] = byte;
  }
}

const encoder = new TextEncoder();

/** UTF-8 bytes of a text; lone surrogates become U+FFFD. */
export function utf8(text: string): Uint8Array {
  return encoder.encode(text);
}

/** Writes the UTF-8 bytes (up to 4) of one code point, a lone surrogate as U+FFFD, and returns how many they are. */
export function writeUtf8(code: number, bytes: Uint8Array): number {
  if (code < 0x80) {
    bytes[0] = code;
    return 1;
  }
  if (code < 0x800) {
    bytes[0] = 0xc0 | (code >> 6);
    bytes[1] = 0x80 | (code & 63);
    return 2;
  }
  if (code >= 0xd800 && code <= 0xdfff) code = 0xfffd;
  if (code < 0x10000) {
    bytes[0] = 0xe0 | (code >> 12);
    bytes[1] = 0x80 | ((code >> 6) & 63);
    bytes[2] = 0x80 | (code & 63);
    return 3;
  }
  bytes[0] = 0xf0 | (code >> 18);
  bytes[1] = 0x80 | ((code >> 12) & 63);
  bytes[2] = 0x80 | ((code >> 6) & 63);
  bytes[3] = 0x80 | (code & 63);
  return 4;
}

/** The text of UTF-8 bytes; each maximal damaged part becomes one U+FFFD, and a byte order mark stays. */
export function fromUtf8(bytes: Uint8Array): string {
  return new TextDecoder('utf-8', { ignoreBOM: true }).decode(bytes);
}

/** Bytes written in the byte alphabet. */
export function bytesToAlphabet(bytes: Uint8Array): string {
  let text = '';
  for (let i = 0; i < bytes.length; i++) text += String.fromCharCode(BYTE_TO_UNIT[bytes[i]]);
  return text;
}

/** The bytes that a text in the byte alphabet stands for, or its UTF-8 bytes when a character is not of the alphabet. */
export function alphabetToBytes(text: string): Uint8Array {
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    const byte = unit < 324 ? UNIT_TO_BYTE[unit] : -1;
    if (byte < 0) return utf8(text);
    bytes[i] = byte;
  }
  return bytes;
}

/** The byte that a name like `<0x0A>` means, or -1. */
export function byteOfName(token: string): number {
  return /^<0x[0-9A-F]{2}>$/.test(token) ? Number.parseInt(token.slice(3, 5), 16) : -1;
}

/** The name of the token that stands for a byte in vocabularies with byte fallback. */
export function nameOfByte(byte: number): string {
  return `<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`;
}

/** The code point at a place; a lone surrogate counts as one. Writes nothing: its width is 2 above U+FFFF, else 1. */
export function codePointAt(text: string, index: number): number {
  const unit = text.charCodeAt(index);
  if (unit < 0xd800 || unit > 0xdbff || index + 1 >= text.length) return unit;
  const low = text.charCodeAt(index + 1);
  return low >= 0xdc00 && low <= 0xdfff ? (unit - 0xd800) * 0x400 + (low - 0xdc00) + 0x10000 : unit;
}

/** Replaces lone surrogates by U+FFFD (what they become in UTF-8), unit for unit. */
export function wellFormed(text: string): string {
  return /[\ud800-\udfff]/.test(text) ? text.replace(/\p{Surrogate}/gu, '\ufffd') : text;
}
