/** UTF-8 from a stream of bytes, with the offset of the first byte that is none. */
import { FileFormatError } from '../../errors.ts';

/**
 * The text of a stream of bytes, chunk by chunk; a byte-order mark at the beginning is left out.
 * @param file in messages.
 * @throws FileFormatError for a NUL byte or invalid UTF-8, with its offset (in the unpacked bytes of a packed file).
 */
export async function* decodeUtf8(chunks: AsyncIterable<Uint8Array>, file: string): AsyncGenerator<string, void, void> {
  const decoder = new TextDecoder('utf-8', { fatal: true });
  let offset = 0;
  let tail: Uint8Array = new Uint8Array(0);
  for await (const chunk of chunks) {
    if (offset === 0 && tail.length === 0) refuseUtf16(chunk, file);
    const nul = chunk.indexOf(0);
    if (nul >= 0) throw binary(file, offset + nul, 'a NUL byte, which text does not have');
    let text: string;
    try {
      text = decoder.decode(chunk, { stream: true });
    } catch {
      throw invalid(file, offset - tail.length, joined(tail, chunk));
    }
    offset += chunk.length;
    tail = unfinished(joined(tail, chunk.subarray(Math.max(0, chunk.length - 3))));
    if (text.length > 0) yield text;
  }
  try {
    decoder.decode();
  } catch {
    throw invalid(file, offset - tail.length, tail);
  }
}

/** The bytes at the end that begin a character which is not complete: 0 to 3 of them. */
function unfinished(bytes: Uint8Array): Uint8Array {
  for (let back = 1; back <= Math.min(3, bytes.length); back++) {
    const byte = bytes[bytes.length - back];
    if ((byte & 0xc0) === 0x80) continue;
    const needed = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : byte >= 0xc0 ? 2 : 1;
    return needed > back ? bytes.slice(bytes.length - back) : new Uint8Array(0);
  }
  return new Uint8Array(0);
}

function joined(a: Uint8Array, b: Uint8Array): Uint8Array {
  if (a.length === 0) return b;
  const both = new Uint8Array(a.length + b.length);
  both.set(a);
  both.set(b, a.length);
  return both;
}

/** Where in `bytes` the first sequence stands that is no UTF-8 (RFC 3629, the table of section 4). */
export function firstInvalid(bytes: Uint8Array): number {
  for (let i = 0; i < bytes.length; ) {
    const a = bytes[i];
    const length = a < 0x80 ? 1 : a >= 0xc2 && a < 0xe0 ? 2 : a >= 0xe0 && a < 0xf0 ? 3 : a >= 0xf0 && a < 0xf5 ? 4 : 0;
    if (length === 0 || i + length > bytes.length) return i;
    const low = a === 0xe0 ? 0xa0 : a === 0xf0 ? 0x90 : 0x80;
    const high = a === 0xed ? 0x9f : a === 0xf4 ? 0x8f : 0xbf;
    for (let j = 1; j < length; j++) {
      const byte = bytes[i + j];
      if (byte < (j === 1 ? low : 0x80) || byte > (j === 1 ? high : 0xbf)) return i;
    }
    i += length;
  }
  return bytes.length;
}

function refuseUtf16(start: Uint8Array, file: string): void {
  const mark = (start[0] << 8) | start[1];
  if (mark === 0xfffe || mark === 0xfeff) {
    throw new FileFormatError(file, 'byte 0', 'it is UTF-16', 'Convert it to UTF-8');
  }
}

function invalid(file: string, offset: number, bytes: Uint8Array): FileFormatError {
  const at = firstInvalid(bytes);
  return binary(file, offset + at, `invalid UTF-8 (0x${(bytes[at] ?? 0).toString(16).padStart(2, '0')})`);
}

function binary(file: string, offset: number, problem: string): FileFormatError {
  return new FileFormatError(file, `byte ${offset}`, problem, 'Only UTF-8 text can be trained on; leave this file out');
}
