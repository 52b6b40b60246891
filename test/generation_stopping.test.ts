/** Stop strings in streamed text, against a search of the whole text. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { StopMatcher } from '../src/generation/stopping.ts';

/** The definition: the first place where a stop string is complete; of those complete there, the longest. */
function cut(text: string, stops: readonly string[]): { text: string; stopped: boolean } {
  for (let end = 1; end <= text.length; end++) {
    const ending = stops.filter((stop) => stop !== '' && text.slice(0, end).endsWith(stop));
    if (ending.length > 0)
      return { text: text.slice(0, end - Math.max(...ending.map((s) => s.length))), stopped: true };
  }
  return { text, stopped: false };
}

/** The longest end of a text that a stop string begins with, not being all of it. */
function beginning(text: string, stops: readonly string[]): number {
  for (let length = text.length; length > 0; length--) {
    const end = text.slice(text.length - length);
    if (stops.some((stop) => stop.length > length && stop.startsWith(end))) return length;
  }
  return 0;
}

const words = fc.string({ unit: fc.constantFrom('a', 'b', 'c'), minLength: 1, maxLength: 5 });

describe('stop strings', () => {
  it('are found wherever the text is cut into pieces, and no text is held back without need', () => {
    const pieces = fc.array(fc.string({ unit: fc.constantFrom('a', 'b', 'c'), maxLength: 4 }), { maxLength: 12 });
    fc.assert(
      fc.property(pieces, fc.array(words, { maxLength: 4 }), (list, stops) => {
        const matcher = new StopMatcher(stops);
        const want = cut(list.join(''), stops);
        let given = '';
        let read = '';
        let hasStopped = false;
        for (const piece of list) {
          const { text, stopped } = matcher.push(piece);
          read += piece;
          given += text;
          expect(stopped).toBe(cut(read, stops).stopped);
          hasStopped = stopped;
          if (stopped) break;
          expect(given).toBe(read.slice(0, read.length - beginning(read, stops)));
        }
        if (!hasStopped) given += matcher.end();
        expect({ text: given, stopped: hasStopped }).toEqual(want);
      }),
      { numRuns: 1000 },
    );
  });

  it('begin inside one token and end in another', () => {
    const matcher = new StopMatcher(['\n\nUser:', '<|end|>']);
    expect(matcher.push('Fine.\n')).toEqual({ text: 'Fine.', stopped: false });
    expect(matcher.push('\nUs')).toEqual({ text: '', stopped: false });
    expect(matcher.push('er: more')).toEqual({ text: '', stopped: true });
    expect(matcher.push('and more')).toEqual({ text: '', stopped: true });
  });

  it('give back what only looked like one', () => {
    const matcher = new StopMatcher(['abcd']);
    expect(matcher.push('xabc').text).toBe('x');
    expect(matcher.push('abc').text).toBe('abc');
    expect(matcher.end()).toBe('abc');
    expect(matcher.end()).toBe('');
  });

  it('that lie in one another stop at the same place in one piece and in three', () => {
    const whole = new StopMatcher(['abc', 'b']);
    expect(whole.push('abc')).toEqual({ text: 'a', stopped: true });
    const parts = new StopMatcher(['abc', 'b']);
    expect(parts.push('a')).toEqual({ text: '', stopped: false });
    expect(parts.push('b')).toEqual({ text: 'a', stopped: true });
  });

  it('cost time that is linear in the text', () => {
    // A search anew at each piece would look at 40,000 held characters 40,000 times.
    const matcher = new StopMatcher([`${'a'.repeat(40_000)}b`]);
    const start = performance.now();
    let length = 0;
    for (let i = 0; i < 40_000; i++) length += matcher.push('a').text.length;
    expect(performance.now() - start).toBeLessThan(5_000);
    expect(length + matcher.end().length).toBe(40_000);
  });
});
