/**
 * Token healing: a prompt that ends inside what the tokenizer would cut as one token ("http:") makes the model write what does not follow
 * ("http: //"). So the prompt's last token is taken back, and the answer has to begin with its bytes, cut however the model likes.
 */
import type { Constraint, ConstraintState, ConstraintVocabulary } from './constraints/types.ts';

/** Everything that begins with `bytes`: no end before they are written. */
export function beginsWith(bytes: Uint8Array, vocabulary: ConstraintVocabulary): Constraint {
  const all = new Uint32Array(Math.ceil(vocabulary.size / 32)).fill(0xffffffff);
  const masks = new Map<number, Uint32Array>();
  const fits = (token: number, at: number): boolean => {
    const own = vocabulary.bytesOf(token);
    if (!own || own.length === 0) return false;
    for (let i = 0; i < own.length && at + i < bytes.length; i++) if (own[i] !== bytes[at + i]) return false;
    return true;
  };
  const maskAt = (at: number): Uint32Array => {
    if (at >= bytes.length) return all;
    let mask = masks.get(at);
    if (!mask) {
      mask = new Uint32Array(all.length);
      for (let token = 0; token < vocabulary.size; token++) if (fits(token, at)) mask[token >> 5] |= 1 << (token & 31);
      masks.set(at, mask);
    }
    return mask;
  };
  const stateAt = (start: number): ConstraintState => {
    let at = start;
    return {
      mask: () => maskAt(at),
      get canEnd() {
        return at >= bytes.length;
      },
      mustEnd: false,
      accept(token) {
        if (at >= bytes.length) return true;
        if (!fits(token, at)) return false;
        at += vocabulary.bytesOf(token)!.length;
        return true;
      },
      acceptBytes(written) {
        for (let i = 0; i < written.length && at + i < bytes.length; i++)
          if (written[i] !== bytes[at + i]) return false;
        at += written.length;
        return true;
      },
      forced: () => bytes.subarray(Math.min(at, bytes.length)),
      fork: () => stateAt(at),
    };
  };
  return { start: () => stateAt(0) };
}
