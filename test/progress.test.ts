import { expect, it } from 'vitest';
import { amount, duration, progressReporter } from '../src/node/progress.ts';

function screen(isTTY: boolean, env: Record<string, string> = {}) {
  let text = '';
  let time = 0;
  const write = (more: string): void => {
    text += more;
  };
  const wait = (ms: number): void => {
    time += ms;
  };
  const stream = { isTTY, columns: 72, write };
  const report = progressReporter(stream, env, () => time);
  return { report, wait, text: () => text };
}

it('rewrites one line on a terminal, with rate and time left', () => {
  const { report, wait, text } = screen(true, { NO_COLOR: '1' });
  report({ label: 'model.safetensors', done: 0, total: 100e6 });
  wait(2000);
  report({ label: 'model.safetensors', done: 50e6, total: 100e6 });
  wait(10);
  report({ label: 'model.safetensors', done: 51e6, total: 100e6 });
  wait(1990);
  report({ label: 'model.safetensors', done: 100e6, total: 100e6, finished: true });
  const lines = text().split('\r\x1b[2K').slice(1);
  expect(lines).toHaveLength(3);
  expect(lines[1]).toMatch(/^model\.safetensors {2}█+░+ {2}50% of 100 MB {2}25\.0 MB\/s {2}2s left$/);
  expect(lines[2]).toMatch(/100 MB in 4s\n$/);
  for (const line of lines) expect(line.trimEnd().length).toBeLessThan(72);
});

it('does not count what an earlier run fetched', () => {
  const { report, wait, text } = screen(false);
  report({ label: 'a', done: 90e6, total: 100e6 });
  wait(11_000);
  report({ label: 'a', done: 101e6 - 0.5e5, total: 102e6 });
  expect(text()).toMatch(/\(?98% of 102 MB 995 kB\/s 1s left\n$/);
});

it('writes few plain lines elsewhere', () => {
  const { report, wait, text } = screen(false);
  for (let i = 0; i <= 100; i++) {
    report({ label: 'x', done: i, total: 100, unit: 'tensors', finished: i === 100 });
    wait(200);
  }
  expect(text().split('\n').filter(Boolean)).toEqual([
    'x: 0% of 100 tensors',
    'x: 50% of 100 tensors 5 tensors/s 10s left',
    'x: done (100 tensors in 20s)',
  ]);
});

it('keeps escapes off a stream that is no terminal, and colour off with NO_COLOR', () => {
  for (const [isTTY, env] of [
    [false, {}],
    [true, { TERM: 'dumb' }],
  ] as const) {
    const { report, text } = screen(isTTY, env);
    report({ label: 'x', done: 1, total: 2 });
    expect(text()).not.toContain('\x1b');
  }
  for (const [env, hasColour] of [
    [{ NO_COLOR: '1' }, false],
    [{}, true],
  ] as const) {
    const { report, text } = screen(true, env);
    report({ label: 'x', done: 1, total: 2 });
    expect(text().includes('\x1b[36m')).toBe(hasColour);
  }
});

it('ends its line before other text', () => {
  const { report, text } = screen(true);
  report({ label: 'x', done: 1, total: 2 });
  report.stop();
  report.stop();
  expect(text().match(/\n/g)).toHaveLength(1);
});

it('has words for sizes and times', () => {
  expect([0, 999, 1500, 123_456, 98_362_432, 253_113_024, 1.5e9, 2e13].map((value) => amount(value))).toEqual([
    '0 B',
    '999 B',
    '1.5 kB',
    '123 kB',
    '98.4 MB',
    '253 MB',
    '1.5 GB',
    '20.00 TB',
  ]);
  expect([0.4, 59.4, 61, 3599.7, 7265].map(duration)).toEqual(['0s', '59s', '1m 01s', '1h 00m', '2h 01m']);
});
