/** The meaning of grammars, as plainly as possible: which texts an expression takes, by trying every way. Slow; an oracle for the engine and the compilers. */
import type { Expression, Grammar } from '../src/generation/constraints/grammar.ts';

export class Recogniser {
  private readonly known = new Map<Expression, Map<number, readonly number[]>>();

  private constructor(
    private readonly grammar: Grammar,
    private readonly bytes: Uint8Array,
  ) {}

  /** Whether the text is one of the grammar's. */
  static takes(grammar: Grammar, text: string): boolean {
    const bytes = new TextEncoder().encode(text);
    const recogniser = new Recogniser(grammar, bytes);
    return recogniser.ends(grammar.rules.get(grammar.start)!, 0).includes(bytes.length);
  }

  /** Where a text of the expression that begins at `from` may end. */
  private ends(expression: Expression, from: number): readonly number[] {
    let known = this.known.get(expression);
    if (known === undefined) {
      known = new Map();
      this.known.set(expression, known);
    }
    let result = known.get(from);
    if (result === undefined) {
      result = [...new Set(this.worked(expression, from))];
      known.set(from, result);
    }
    return result;
  }

  private worked(expression: Expression, from: number): number[] {
    const { bytes } = this;
    switch (expression.kind) {
      case 'bytes': {
        for (let i = 0; i < expression.bytes.length; i++) if (bytes[from + i] !== expression.bytes[i]) return [];
        return [from + expression.bytes.length];
      }
      case 'characters': {
        const head = bytes[from];
        if (head === undefined) return [];
        const length = head < 0x80 ? 1 : head < 0xe0 ? 2 : head < 0xf0 ? 3 : 4;
        const text = new TextDecoder().decode(bytes.subarray(from, from + length));
        const code = text.codePointAt(0)!;
        return expression.ranges.some(([low, high]) => code >= low && code <= high) ? [from + length] : [];
      }
      case 'sequence':
        return expression.items.reduce<number[]>(
          (at, item) => [...new Set(at.flatMap((place) => this.ends(item, place)))],
          [from],
        );
      case 'choice':
        return expression.items.flatMap((item) => this.ends(item, from));
      case 'rule': {
        const rule = this.grammar.rules.get(expression.name);
        if (rule === undefined) throw new Error(`no rule ${expression.name}`);
        return [...this.ends(rule, from)];
      }
      case 'automaton': {
        const { next, final } = expression.automaton;
        const found: number[] = [];
        let state = 0;
        for (let at = from; ; at++) {
          if (final[state] === 1) found.push(at);
          if (at >= bytes.length) break;
          state = next[state * 256 + bytes[at]];
          if (state < 0) break;
        }
        return found;
      }
      case 'repeat': {
        const { item, min, max, separator } = expression;
        const found: number[] = [];
        let level = new Set([from]);
        const seen = new Set<number>();
        for (let count = 0; level.size > 0; count++) {
          if (count >= min) for (const at of level) found.push(at);
          if (count >= max || count > bytes.length + min) break;
          const following = new Set<number>();
          for (const at of level) {
            for (const start of count === 0 || separator === undefined ? [at] : this.ends(separator, at)) {
              for (const end of this.ends(item, start)) if (count < min || end > at) following.add(end);
            }
          }
          if (count > min && [...following].every((at) => seen.has(at))) break;
          level = following;
        }
        return found;
      }
      case 'members': {
        const { named, others, separator, min, max } = expression;
        const found: number[] = [];
        const walk = (at: number, seen: ReadonlySet<number>, count: number): void => {
          if (count >= min && named.every((one, i) => !one.required || seen.has(i))) found.push(at);
          if (count >= max) return;
          for (const start of count === 0 ? [at] : this.ends(separator, at)) {
            named.forEach((one, i) => {
              if (seen.has(i)) return;
              for (const middle of this.ends(one.key, start)) {
                for (const end of this.ends(one.value, middle)) walk(end, new Set([...seen, i]), count + 1);
              }
            });
            for (const one of others) {
              for (const middle of this.ends(one.key, start)) {
                for (const end of this.ends(one.value, middle)) walk(end, seen, count + 1);
              }
            }
          }
        };
        walk(from, new Set(), 0);
        return found;
      }
    }
  }
}
