/** Charts against dot patterns worked out by hand, and what holds for every chart. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { makeAxis, tickLabels, ticks, written } from '../src/cli/charts/axis.ts';
import { BrailleCanvas, barChart, histogram, lineChart, sparkline } from '../src/cli/charts/index.ts';
import { bare } from '../src/cli/screen.ts';
import { columns } from '../src/display.ts';

const finite = fc.double({ noNaN: true, noDefaultInfinity: true, min: -1e9, max: 1e9 });

describe('braille', () => {
  it('numbers its dots as Unicode does', () => {
    // U+2800 + bits: dots 1, 2, 3, 7 stand on the left from the top, 4, 5, 6, 8 on the right.
    const codes = [0x01, 0x08, 0x02, 0x10, 0x04, 0x20, 0x40, 0x80];
    codes.forEach((code, i) => {
      const canvas = new BrailleCanvas(1, 1);
      canvas.dot(i % 2, i >> 1);
      expect(canvas.lines()).toEqual([String.fromCharCode(0x2800 + code)]);
    });
  });

  it('draws lines known by hand', () => {
    const diagonal = new BrailleCanvas(2, 1);
    diagonal.line(0, 3, 3, 0);
    // Columns from the left: dot 7, dot 6; then dot 2, dot 4.
    expect(diagonal.lines()).toEqual(['\u2860\u280a']);
    const level = new BrailleCanvas(3, 1);
    level.line(-100, 0, 100, 0);
    expect(level.lines()).toEqual(['⠉⠉⠉']);
    const upright = new BrailleCanvas(1, 2);
    upright.line(1, -5, 1, 50);
    expect(upright.lines()).toEqual(['⢸', '⢸']);
    const outside = new BrailleCanvas(2, 2);
    outside.line(-1, -5, 9, -1);
    expect(outside.lines()).toEqual(['', '']);
  });

  it('colours runs of characters, none without being asked', () => {
    const canvas = new BrailleCanvas(4, 1);
    canvas.dot(0, 0, 'cyan');
    canvas.dot(2, 0, 'cyan');
    canvas.dot(6, 0, 'red');
    expect(canvas.lines(true)).toEqual(['\x1b[36m⠁⠁ \x1b[0m\x1b[31m⠁\x1b[0m']);
    expect(canvas.lines(false)).toEqual(['⠁⠁ ⠁']);
  });
});

describe('axes', () => {
  it('has ticks at round values', () => {
    const of = (min: number, max: number, most: number, unit: 'number' | 'count' | 'seconds' = 'number') =>
      ticks(makeAxis([min, max], { unit }), most);
    expect(of(0, 10, 6)).toEqual([0, 2, 4, 6, 8, 10]);
    expect(of(0, 0.3, 4)).toEqual([0, 0.1, 0.2, 0.3]);
    expect(of(1.52, 3.3, 4)).toEqual([2, 2.5, 3]);
    expect(of(0, 3, 9, 'count')).toEqual([0, 1, 2, 3]);
    expect(of(0, 3600, 5, 'seconds')).toEqual([0, 900, 1800, 2700, 3600]);
    expect(of(0, 86400 * 10, 6, 'seconds')).toEqual([0, 2, 4, 6, 8, 10].map((days) => days * 86400));
    const log = (min: number, max: number, most: number) => ticks(makeAxis([min, max], { scale: 'log' }), most);
    expect(log(1, 1000, 4)).toEqual([1, 10, 100, 1000]);
    expect(log(1, 100, 8)).toEqual([1, 2, 5, 10, 20, 50, 100]);
    expect(log(2.1, 3.9, 4)).toEqual([2.5, 3, 3.5]);
  });

  it('has no more ticks than asked for, all on the axis, in order', () => {
    const units = fc.constantFrom('number', 'count', 'seconds', 'bytes', 'share');
    fc.assert(
      fc.property(finite, finite, fc.integer({ min: 1, max: 15 }), units, fc.boolean(), (a, b, most, unit, isLog) => {
        const axis = makeAxis([a, b], { unit, scale: isLog ? 'log' : 'linear' });
        const found = ticks(axis, most);
        expect(found.length).toBeLessThanOrEqual(most);
        found.forEach((tick, i) => {
          expect(axis.place(tick)).toBeGreaterThanOrEqual(-1e-9);
          expect(axis.place(tick)).toBeLessThanOrEqual(1 + 1e-9);
          if (i > 0) expect(tick).toBeGreaterThan(found[i - 1]);
        });
        const labels = tickLabels(found, unit);
        expect(labels).toHaveLength(found.length);
      }),
    );
  });

  it('writes numbers in the words of their unit', () => {
    expect(tickLabels([0, 0.5, 1], 'number')).toEqual(['0.0', '0.5', '1.0']);
    expect(tickLabels([1, 10, 100], 'number')).toEqual(['1', '10', '100']);
    expect(tickLabels([1e-4, 2e-4], 'number')).toEqual(['1e-4', '2e-4']);
    expect([0, 950, 1500, 2e6, 1_557_611_200].map((n) => written(n, 'count'))).toEqual([
      '0',
      '950',
      '1.5k',
      '2M',
      '1.56B',
    ]);
    expect([999_900, 1e15, -2500].map((n) => written(n, 'count'))).toEqual(['1M', '1Q', '-2.5k']);
    expect([0, 0.25, 59, 61, 3600, 5400, 90_000].map((n) => written(n, 'seconds'))).toEqual([
      '0s',
      '0.25s',
      '59s',
      '1m 1s',
      '1h',
      '1h 30m',
      '1d 1h',
    ]);
    expect([12, 1500, 412e6, 2e12].map((n) => written(n, 'bytes'))).toEqual(['12 B', '1.5 kB', '412 MB', '2 TB']);
    expect(written(0.4512, 'share')).toBe('45.1%');
    expect([3e-4, 0.53211, 12_345, 3.2e12, Number.NaN, Number.POSITIVE_INFINITY].map((n) => written(n))).toEqual([
      '3e-4',
      '0.5321',
      '12350',
      '3.2T',
      'NaN',
      '∞',
    ]);
  });
});

describe('line charts', () => {
  it('draws a chart known by hand', () => {
    const chart = lineChart(
      [
        {
          name: 'a',
          points: [
            [0, 0],
            [40, 4],
          ],
        },
      ],
      { width: 24, height: 6 },
    );
    // Of 6 lines 2 are the lower axis; 3 columns are the left one.
    expect(chart.map((line) => line.slice(0, 3))).toEqual(['4 ┤', '  │', '  │', '0 ┤', '  └', '   ']);
    expect(chart[4]).toBe('  └┬─────────┬─────────┬');
    // The corners: the first dot at the bottom left, the last at the top right.
    expect(chart[3][3].codePointAt(0)! & 0x40).toBe(0x40);
    expect(chart[0].at(-1)!.codePointAt(0)! & 0x08).toBe(0x08);
    expect(chart[5]).toMatch(/^ {3}0 +20 +40$/);
  });

  const points = fc.array(fc.tuple(finite, finite), { minLength: 1, maxLength: 60 });
  const size = { width: fc.integer({ min: 1, max: 130 }), height: fc.integer({ min: 1, max: 40 }) };

  it('takes the size it is given, whatever is drawn', () => {
    const wild = fc.array(fc.tuple(fc.double(), fc.double()), { maxLength: 20 });
    const series = fc.array(fc.record({ name: fc.string(), points: wild }), { maxLength: 8 });
    const scale = fc.constantFrom('linear', 'log');
    fc.assert(
      fc.property(
        size.width,
        size.height,
        series,
        scale,
        scale,
        fc.boolean(),
        (width, height, all, x, y, isColoured) => {
          const options = { width, height, isColoured, x: { scale: x, label: 'step' }, y: { scale: y } };
          const lines = lineChart(all, options);
          expect(lines).toHaveLength(height);
          for (const line of lines) expect(columns(bare(line))).toBeLessThanOrEqual(width);
          if (!isColoured) for (const line of lines) expect(line).not.toContain('\x1b');
        },
      ),
    );
  });

  /** The dots of a chart without axes. */
  const dotsOf = (lines: readonly string[]): [number, number][] => {
    const bits = [0x01, 0x08, 0x02, 0x10, 0x04, 0x20, 0x40, 0x80];
    return lines.flatMap((line, row) =>
      [...line].flatMap((char, column) =>
        bits.flatMap((bit, i): [number, number][] =>
          char !== ' ' && (char.codePointAt(0)! - 0x2800) & bit ? [[column * 2 + (i % 2), row * 4 + (i >> 1)]] : [],
        ),
      ),
    );
  };

  it('reaches all four edges', () => {
    fc.assert(
      fc.property(points, (all) => {
        const [xs, ys] = [all.map(([x]) => x), all.map(([, y]) => y)];
        fc.pre(new Set(xs).size > 1 && new Set(ys).size > 1);
        const dots = dotsOf(lineChart([{ name: '', points: all }], { width: 10, height: 4 }));
        expect(Math.min(...dots.map(([x]) => x))).toBe(0);
        expect(Math.max(...dots.map(([x]) => x))).toBe(19);
        expect(Math.min(...dots.map(([, y]) => y))).toBe(0);
        expect(Math.max(...dots.map(([, y]) => y))).toBe(15);
      }),
    );
  });

  it('draws a rising line rising, without gaps', () => {
    fc.assert(
      fc.property(points, (all) => {
        const xs = all.map(([x]) => x).sort((a, b) => a - b);
        const ys = all.map(([, y]) => y).sort((a, b) => a - b);
        fc.pre(xs[0] < xs.at(-1)!);
        const dots = dotsOf(lineChart([{ name: '', points: xs.map((x, i) => [x, ys[i]]) }], { width: 12, height: 4 }));
        let above = 16;
        for (let x = 0; x < 24; x++) {
          const column = dots.filter(([at]) => at === x).map(([, y]) => y);
          expect(column.length).toBeGreaterThan(0);
          expect(Math.max(...column)).toBeLessThanOrEqual(above);
          above = Math.min(...column);
        }
      }),
    );
  });

  it('tells lines apart without colours, and shows marks', () => {
    const line = (k: number): [number, number][] => [0, 1, 2, 3, 4, 5].map((x) => [x, x * k]);
    const series = [
      { name: 'one', points: line(1) },
      { name: 'two', points: line(2) },
      { name: 'some', points: [[1, 3] as const], mark: '◆' },
    ];
    const plain = lineChart(series, { width: 60, height: 12 });
    expect(plain[0]).toBe('A one  B two  ◆ some');
    expect(plain.slice(1).join('')).toMatch(/A.*/);
    expect(plain.slice(1, -2).join('').match(/[AB]/g)!.sort().join('')).toMatch(/^A+B+$/);
    expect(plain.slice(1).join('')).toContain('◆');
    const coloured = lineChart(series, { width: 60, height: 12, isColoured: true });
    expect(bare(coloured[0])).toBe('── one  ── two  ◆ some');
    expect(coloured[0]).toContain('\x1b[36m──\x1b[0m one');
  });

  it('leaves out what lies outside, and parts the line where a value is none', () => {
    const y = { min: 0, max: 1 };
    const away = lineChart(
      [
        {
          name: '',
          points: [
            [0, 5],
            [1, 6],
          ],
        },
      ],
      { width: 10, height: 3, y },
    );
    expect(away.join('')).toBe('');
    const parted = lineChart(
      [
        {
          name: '',
          points: [
            [0, 0],
            [1, Number.NaN],
            [2, 0],
          ],
        },
      ],
      { width: 10, height: 3, y },
    );
    expect(dotsOf(parted)).toEqual([
      [0, 11],
      [19, 11],
    ]);
  });
});

describe('bars', () => {
  it('draws sparklines', () => {
    expect(sparkline([0, 1, 2, 3, 4, 5, 6, 7])).toBe('▁▂▃▄▅▆▇█');
    expect(sparkline([0, 0, 7, 7], 2)).toBe('▁█');
    expect(sparkline([5, 5])).toBe('▄▄');
    expect(sparkline([1, Number.NaN, 2])).toBe('▁ █');
    expect(sparkline([], 10)).toBe('');
  });

  it('draws bars to an eighth of a column', () => {
    const bars = [
      { label: 'a', value: 8 },
      { label: 'b', value: 4.5 },
      { label: '诗', value: 0 },
    ];
    expect(barChart(bars, { width: 15 })).toEqual(['a  ████████   8', 'b  ████▌    4.5', '诗            0']);
  });

  it('draws what is below 0 to the left', () => {
    const bars = [
      { label: 'a', value: 2 },
      { label: 'b', value: -2 },
    ];
    expect(barChart(bars, { width: 13 })).toEqual(['a     ████  2', 'b ████     -2']);
  });

  it('fits every width', () => {
    const bars = fc.array(fc.record({ label: fc.string(), value: fc.double() }), { maxLength: 6 });
    fc.assert(
      fc.property(bars, fc.integer({ min: 1, max: 100 }), (all, width) => {
        for (const line of barChart(all, { width })) expect(columns(line)).toBeLessThanOrEqual(width);
      }),
    );
  });

  it('counts every finite value of a histogram once', () => {
    expect(histogram([0, 1, 2, 3, 4], 2)).toEqual([
      { from: 0, to: 2, count: 2 },
      { from: 2, to: 4, count: 3 },
    ]);
    fc.assert(
      fc.property(fc.array(fc.double()), fc.integer({ min: 1, max: 20 }), (values, bins) => {
        const count = histogram(values, bins).reduce((sum, bin) => sum + bin.count, 0);
        expect(count).toBe(values.filter(Number.isFinite).length);
      }),
    );
  });
});

it('the greatest number alone on a logarithmic axis has ticks, and an end', () => {
  for (const value of [Number.MAX_VALUE, -Number.MAX_VALUE, Number.MIN_VALUE]) {
    for (const isLog of [true, false]) {
      expect(ticks(makeAxis([value], { scale: isLog ? 'log' : 'linear' }), 5).length).toBeLessThanOrEqual(5);
    }
  }
});
