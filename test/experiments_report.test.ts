/** The report of a sweep: one page that needs nothing else, in which what a model wrote is text and never markup. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { readAxes } from '../src/cli/sweep_axes.ts';
import { sweepSamples, sweepTable } from '../src/cli/sweep_table.ts';
import { columns } from '../src/display.ts';
import type { SweepCell } from '../src/experiments/cell.ts';
import { measureNames } from '../src/experiments/measures.ts';
import type { SweepReport } from '../src/experiments/sweep.ts';
import { settingTable } from '../src/generation/settings.ts';
import { freeFolder, readReference, writeSweep } from '../src/node/sweep_files.ts';

const folder = mkdtempSync(join(tmpdir(), 'inkstone-sweep-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const HOSTILE = '</script><script>alert(1)</script><!-- <img src=x onerror=alert(2)> & 床前明月光\u2028';
const cell = (index: number): SweepCell => ({
  index,
  settings: { temperature: 0.1 * index, stop_strings: [HOSTILE] },
  answers: [0, 1].map((seed) => ({
    ...{ prompt: 0, seed, text: HOSTILE, ids: [1, 2], finish_reason: 'length', measures: { length: 2 } },
  })),
  measures: Object.fromEntries(
    measureNames.map((name, i) => [name, { value: i / 10, low: i / 11, high: i / 9, count: 2 }]),
  ),
  eliminated: null,
});
const report: SweepReport = {
  search: 'grid',
  seeds: [0, 1],
  level: 0.95,
  objective: null,
  varied: ['temperature'],
  settings: { do_sample: true },
  has_reference: true,
  is_complete: true,
  cells: [cell(0), cell(1)],
};

it('is one file with its data, its library and nothing from elsewhere', () => {
  const files = writeSweep(folder, { model: '<b>m</b>', prompts: [HOSTILE] }, report);
  const html = readFileSync(files.html, 'utf8');
  expect(html).not.toMatch(/\b(?:src|href)\s*=\s*["']?(?:https?:)?\/\//i);
  expect(html).toContain('uPlot');
  expect(html).toContain("default-src 'none'");
  const scripts = [...html.matchAll(/<script\b[^>]*>([\s\S]*?)<\/script>/g)];
  expect(scripts).toHaveLength(3);
  expect(html.match(/<\/script/gi)).toHaveLength(3);
  expect(html).not.toContain('<b>m</b>');
  expect(html).not.toContain('<img src=x');
  const data = JSON.parse(scripts[0][1]) as SweepReport & { prompts: string[] };
  expect(data.prompts).toEqual([HOSTILE]);
  expect(data.cells[0].answers[0].text).toBe(HOSTILE);
  // The scripts parse.
  for (const [, script] of scripts.slice(1)) expect(() => new Function(script)).not.toThrow();
  expect(JSON.parse(readFileSync(files.json, 'utf8'))).toMatchObject({ cells: [{ index: 0 }, { index: 1 }] });
});

it.each([40, 80, 120])('the table keeps to %d columns and leaves no measure out', (width) => {
  const lines = sweepTable(report, width);
  for (const line of lines) expect(columns(line)).toBeLessThanOrEqual(width);
  for (const title of ['temperature', 'dist-1', 'self-BLEU', 'log-lik', 'MAUVE*'])
    expect(lines.join('\n')).toContain(title);
  for (const line of sweepSamples(report, 5, width)) {
    expect(columns(line)).toBeLessThanOrEqual(width);
    expect(line).not.toMatch(/\n/);
  }
});

it('reads lists, ranges, repeated flags and single values', () => {
  const { vary, settings } = readAxes({
    temperature: ['0.3,0.7, 1.2'],
    top_p: ['0.5..0.9'],
    top_k: ['10', '50,0'],
    do_sample: ['true'],
    stop_strings: ['a,b', '["c", "d"]'],
    suppress_tokens: ['1,2'],
    max_length: ['50'],
  });
  expect(vary).toEqual({
    temperature: [0.3, 0.7, 1.2],
    top_p: { min: 0.5, max: 0.9 },
    top_k: [10, 50, 0],
    stop_strings: ['a,b', ['c', 'd']],
  });
  expect(settings).toEqual({ do_sample: true, suppress_tokens: [1, 2], max_length: 50 });
  expect(() => readAxes({ temperature: ['0.3,warm'] })).toThrow(/temperature/);
  expect(() => readAxes({ temperature: ['0.3,,1'] })).toThrow(/temperature/);
  for (const { name } of settingTable) expect(() => readAxes({ [name]: ['null'] })).not.toThrow();
});

it('reads references that are text, and no others', () => {
  const path = join(folder, 'reference.txt');
  writeFileSync(path, '床前明月光');
  expect(readReference(path)).toBe('床前明月光');
  writeFileSync(path, Uint8Array.of(0xff, 0xfe, 0x00));
  expect(() => readReference(path)).toThrow(/UTF-8/);
  expect(() => readReference(folder)).toThrow(/not found/);
  expect(freeFolder('../../etc')).toBe(join('sweeps', '-..-etc'));
});
