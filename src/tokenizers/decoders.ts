/**
 * Decoders: how the strings of tokens become text again. Rules as in Hugging Face `tokenizers` (tokenizers/src/decoders).
 *
 * Every step is a small machine that takes strings and gives strings, so that decoding a whole list and decoding token
 * by token are the same computation: a step gives out only what no later token can change.
 */
import { CapacityError } from '../errors.ts';
import { alphabetToBytes, byteOfName, utf8 } from './bytes.ts';
import type { Pattern } from './pattern.ts';

export type DecoderStep =
  | { readonly kind: 'byte-level' }
  | { readonly kind: 'byte-fallback' }
  | { readonly kind: 'fuse' }
  | { readonly kind: 'join'; readonly between: string }
  | { readonly kind: 'metaspace'; readonly mark: string; readonly dropsFirst: boolean }
  | { readonly kind: 'replace'; readonly pattern: string | Pattern; readonly content: string }
  | { readonly kind: 'strip'; readonly content: string; readonly start: number; readonly stop: number }
  | { readonly kind: 'suffix'; readonly suffix: string }
  | { readonly kind: 'word-piece'; readonly prefix: string; readonly cleanup: boolean }
  | { readonly kind: 'ctc'; readonly pad: string; readonly delimiter: string; readonly cleanup: boolean };

type Out = (text: string) => void;

/** One step at work. */
interface Machine {
  push(token: string, out: Out): void;
  end(out: Out): void;
}

/** A chain of steps at work: give it token strings in order; what comes out is text. */
export class Decoding {
  private readonly machines: Machine[] = [];

  constructor(steps: readonly DecoderStep[]) {
    // After these steps the rest of the chain sees one long token that arrives in parts.
    let fused = false;
    for (const step of steps) {
      this.machines.push(machineOf(step, fused));
      if (step.kind === 'fuse' || step.kind === 'byte-level') fused = true;
    }
  }

  push(token: string): string {
    let text = '';
    this.feed(0, token, (part) => {
      text += part;
    });
    return text;
  }

  end(): string {
    let text = '';
    const out = (part: string) => {
      text += part;
    };
    this.machines.forEach((machine, i) => {
      machine.end((part) => this.feed(i + 1, part, out));
    });
    return text;
  }

  private feed(index: number, token: string, out: Out): void {
    if (index === this.machines.length) out(token);
    else this.machines[index].push(token, (part) => this.feed(index + 1, part, out));
  }
}

/** The bytes that a token stands for in the middle of a text. */
export function neutralBytes(steps: readonly DecoderStep[], token: string): Uint8Array {
  let text = token;
  let fused = false;
  for (const step of steps) {
    switch (step.kind) {
      case 'byte-level':
        return alphabetToBytes(text);
      case 'byte-fallback': {
        const byte = byteOfName(text);
        if (byte >= 0) return Uint8Array.of(byte);
        break;
      }
      case 'fuse':
        fused = true;
        break;
      case 'join':
        text = step.between + text;
        break;
      case 'metaspace':
        text = text.replaceAll(step.mark, ' ');
        break;
      case 'replace':
        text = replaceIn(text, step.pattern, step.content);
        break;
      case 'strip':
        if (!fused) text = stripToken(text, step.content, step.start, step.stop);
        break;
      case 'suffix':
        text = step.suffix.length > 0 ? text.replaceAll(step.suffix, ' ') : text;
        break;
      case 'word-piece':
        text = wordPieceText(text, step.prefix, step.cleanup, false);
        break;
      case 'ctc':
        text = ctcText(text, step);
    }
  }
  return utf8(text);
}

function machineOf(step: DecoderStep, fused: boolean): Machine {
  switch (step.kind) {
    case 'byte-level':
      return byteLevel();
    case 'byte-fallback':
      return fused ? stateless((token) => token) : byteFallback();
    case 'fuse':
      return stateless((token) => token);
    case 'join':
      return byIndex((token, first) => (first ? token : step.between + token));
    case 'metaspace':
      return byIndex((token, first) => token.replaceAll(step.mark, first && step.dropsFirst ? '' : ' '));
    case 'replace':
      return fused
        ? replaceFused(step.pattern, step.content)
        : stateless((token) => replaceIn(token, step.pattern, step.content));
    case 'strip':
      return fused
        ? stripFused(step.content, step.start, step.stop)
        : stateless((token) => stripToken(token, step.content, step.start, step.stop));
    case 'suffix':
      return wordSuffix(step.suffix);
    case 'word-piece':
      return byIndex((token, first) => wordPieceText(token, step.prefix, step.cleanup, first));
    case 'ctc':
      return ctc(step);
  }
}

function stateless(change: (token: string) => string): Machine {
  return { push: (token, out) => out(change(token)), end: () => {} };
}

function byIndex(change: (token: string, first: boolean) => string): Machine {
  let first = true;
  return {
    push(token, out) {
      const text = change(token, first);
      first = false;
      out(text);
    },
    end: () => {},
  };
}

/** Bytes of the alphabet to text; an unfinished character waits for its next token. */
function byteLevel(): Machine {
  const decoder = new TextDecoder('utf-8', { ignoreBOM: true });
  return {
    push(token, out) {
      const text = decoder.decode(alphabetToBytes(token), { stream: true });
      if (text.length > 0) out(text);
    },
    end(out) {
      const text = decoder.decode();
      if (text.length > 0) out(text);
    },
  };
}

/**
 * A run of byte tokens is text if all of it is UTF-8, else one U+FFFD a byte: so the run has to end before it can be
 * given out.
 */
function byteFallback(): Machine {
  let bytes: number[] = [];
  const flush = (out: Out) => {
    if (bytes.length === 0) return;
    const all = Uint8Array.from(bytes);
    const count = bytes.length;
    bytes = [];
    try {
      out(new TextDecoder('utf-8', { ignoreBOM: true, fatal: true }).decode(all));
    } catch {
      for (let i = 0; i < count; i++) out('\ufffd');
    }
  };
  return {
    push(token, out) {
      const byte = byteOfName(token);
      if (byte >= 0) {
        bytes.push(byte);
        return;
      }
      flush(out);
      out(token);
    },
    end: flush,
  };
}

/** Units that replacements may blow a text up to: rules in a row could double it without end. */
const LARGEST_GROWN = 4_000_000;

function replaceIn(text: string, pattern: string | Pattern, content: string): string {
  const parts: string[] = [];
  let length = 0;
  let last = 0;
  const add = (part: string) => {
    length += part.length;
    if (length > LARGEST_GROWN && length > text.length) {
      const hint = 'The replacements of the tokenizer file multiply this text';
      throw new CapacityError('decoded text', length, LARGEST_GROWN, 'UTF-16 units', hint);
    }
    parts.push(part);
  };
  const each = (start: number, end: number) => {
    add(text.slice(last, start));
    add(content);
    last = end;
  };
  if (typeof pattern !== 'string') pattern.matches(text, each);
  else if (pattern.length > 0) {
    for (let at = text.indexOf(pattern); at >= 0; at = text.indexOf(pattern, last)) each(at, at + pattern.length);
  }
  if (last === 0) return text;
  add(text.slice(last));
  return parts.join('');
}

/** Where the last of the matches that do not overlap, counted from the left, ends. */
function endOfLastMatch(text: string, pattern: string): number {
  let last = 0;
  for (let at = text.indexOf(pattern); at >= 0; at = text.indexOf(pattern, last)) last = at + pattern.length;
  return last;
}

/** Replacing in text that arrives in parts: what may be the beginning of a match waits. */
function replaceFused(pattern: string | Pattern, content: string): Machine {
  let waiting = '';
  return {
    push(token, out) {
      waiting += token;
      // Nothing is known of where a match of an expression may end: it waits for the whole text.
      if (typeof pattern !== 'string') return;
      if (pattern.length === 0) {
        out(waiting);
        waiting = '';
        return;
      }
      const last = endOfLastMatch(waiting, pattern);
      let text = replaceIn(waiting.slice(0, last), pattern, content);
      let keep = Math.max(last, waiting.length - pattern.length + 1);
      while (keep < waiting.length && !pattern.startsWith(waiting.slice(keep))) keep++;
      text += waiting.slice(last, keep);
      waiting = waiting.slice(keep);
      if (text.length > 0) out(text);
    },
    end(out) {
      const text = typeof pattern === 'string' ? waiting : replaceIn(waiting, pattern, content);
      waiting = '';
      if (text.length > 0) out(text);
    },
  };
}

function stripToken(token: string, content: string, start: number, stop: number): string {
  const width = content.length;
  let from = 0;
  for (let i = 0; i < start && token.startsWith(content, from); i++) from += width;
  let to = token.length;
  for (
    let i = 0;
    i < stop && to - width >= from && token.endsWith(content) && token.startsWith(content, to - width);
    i++
  ) {
    to -= width;
  }
  return token.slice(from, to);
}

function stripFused(content: string, start: number, stop: number): Machine {
  const width = content.length;
  let left = start;
  let held = 0;
  return {
    push(token, out) {
      let text = token;
      while (left > 0 && text.length > 0) {
        if (!text.startsWith(content)) {
          left = 0;
          break;
        }
        text = text.slice(width);
        left--;
      }
      if (text.length === 0) return;
      if (stop === 0) {
        out(text);
        return;
      }
      text = content.repeat(held) + text;
      held = 0;
      while (held < stop && text.endsWith(content)) {
        text = text.slice(0, text.length - width);
        held++;
      }
      if (text.length > 0) out(text);
    },
    end() {
      held = 0;
    },
  };
}

/** A suffix that ends words: a space, except at the very end. */
function wordSuffix(suffix: string): Machine {
  let last: string | undefined;
  const change = (token: string, space: string) => (suffix.length > 0 ? token.replaceAll(suffix, () => space) : token);
  return {
    push(token, out) {
      if (last !== undefined) out(change(last, ' '));
      // Only a suffix at the end of this token depends on what follows.
      last = token;
      if (suffix.length === 0 || !token.includes(suffix)) {
        out(token);
        last = undefined;
      } else if (token.endsWith(suffix) && token.indexOf(suffix) === token.length - suffix.length) {
        out(token.slice(0, -suffix.length));
        last = suffix;
      }
    },
    end(out) {
      if (last !== undefined) out(change(last, ''));
      last = undefined;
    },
  };
}

function wordPieceText(token: string, prefix: string, cleanup: boolean, first: boolean): string {
  let text = token;
  if (!first) text = token.startsWith(prefix) ? token.slice(prefix.length) : ` ${token}`;
  return cleanup ? cleanUp(text) : text;
}

function cleanUp(text: string): string {
  return text
    .replaceAll(' .', '.')
    .replaceAll(' ?', '?')
    .replaceAll(' !', '!')
    .replaceAll(' ,', ',')
    .replaceAll(" ' ", "'")
    .replaceAll(" n't", "n't")
    .replaceAll(" 'm", "'m")
    .replaceAll(' do not', " don't")
    .replaceAll(" 's", "'s")
    .replaceAll(" 've", "'ve")
    .replaceAll(" 're", "'re");
}

type Ctc = Extract<DecoderStep, { kind: 'ctc' }>;

function ctcText(token: string, step: Ctc): string {
  const text = step.pad.length > 0 ? token.replaceAll(step.pad, '') : token;
  return step.cleanup ? cleanUp(text).replaceAll(step.delimiter, () => ' ') : text;
}

function ctc(step: Ctc): Machine {
  let last: string | undefined;
  return {
    push(token, out) {
      if (token === last) return;
      last = token;
      const text = ctcText(token, step);
      if (text.length > 0) out(text);
    },
    end: () => {},
  };
}
