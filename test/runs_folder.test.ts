/** Run folders: what resumed, killed and foreign writers leave in them. */
import { spawnSync } from 'node:child_process';
import { appendFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { afterAll, beforeEach, describe, expect, it } from 'vitest';
import { EnvironmentError, FileFormatError, NotFoundError, SettingError } from '../src/errors.ts';
import { parseEvent } from '../src/node/run_events.ts';
import { appendEvents, createRun, listRuns, machineInfo, readRun } from '../src/node/run_folder.ts';
import type { StepEvent, TrainingEvent } from '../src/training/events.ts';

const root = mkdtempSync(join(tmpdir(), 'inkstone-runs-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));
let dir = '';
let count = 0;
beforeEach(() => {
  dir = join(root, 'runs', `run${count++}`);
});

const machine = machineInfo({ name: 'reference', variant: 'typescript', threads: 1 });
const begin = (step: number) => appendEvents(dir, { step, command: ['train'], version: '0.1.0', machine });
const create = (settings: Record<string, unknown> = { n_layer: 2 }, at = dir) =>
  createRun(at, {
    command: ['train', 'poems.txt'],
    preset: 'nano',
    settings,
    request: {},
    data: [{ name: 'poems.txt', hash: 'sha256:00ff' }],
    seed: 3,
    version: '0.1.0',
    machine,
  });

const step = (at: number, loss = 1): StepEvent => ({
  type: 'step',
  step: at,
  loss,
  grad_norm: 1,
  learning_rate: 1e-3,
  tokens: at * 10,
  tokens_per_second: 100,
  mfu: null,
  seconds: at,
  resident: null,
});
const rollback = (from: number, to: number): TrainingEvent => ({
  type: 'rollback',
  step: from,
  to,
  rate_factor: 0.5,
  reason: 'exploded',
});
const write = (at: number, events: readonly TrainingEvent[]): void => {
  const writer = begin(at);
  for (const event of events) writer.append(event);
  writer.close();
};
const log = () => join(dir, 'events.jsonl');

it('keeps what a run was begun with, and each start', () => {
  create();
  write(0, [step(1), step(2)]);
  write(2, [step(3)]);
  const { name, info, events, damaged, isRunning } = readRun(dir);
  expect(name).toBe(dir.split('/').at(-1));
  expect(info).toMatchObject({ preset: 'nano', seed: 3, settings: { n_layer: 2 }, machine, version: '0.1.0' });
  expect(info.data).toEqual([{ name: 'poems.txt', hash: 'sha256:00ff' }]);
  expect(info.starts.map((start) => start.step)).toEqual([0, 2]);
  expect(info.created).toBeLessThanOrEqual(info.starts[0].time);
  expect(events).toEqual([step(1), step(2), step(3)]);
  expect({ damaged, isRunning }).toEqual({ damaged: 0, isRunning: false });
  expect(() => create()).toThrow(SettingError);
});

it('takes back the steps that a checkpoint does not know of', () => {
  create();
  write(0, [step(1), step(2), step(3), step(4)]);
  write(2, [step(3, 9)]);
  expect(readRun(dir).events).toEqual([step(1), step(2), step(3, 9)]);
});

it('keeps both passes over steps that a run went back over', () => {
  create();
  const first = [step(1), step(2), step(3), step(4), rollback(4, 2), step(3, 2), step(4, 2)];
  write(0, [...first, step(5, 2), step(6, 2)]);
  write(4, [step(5, 3)]);
  expect(readRun(dir).events).toEqual([...first, step(5, 3)]);
});

it('does so wherever the file was torn', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 12 }), fc.double({ min: 0, max: 1, noNaN: true }), (at, share) => {
      rmSync(dir, { recursive: true, force: true });
      create();
      const all = Array.from({ length: 12 }, (_, i) => step(i + 1));
      write(0, all);
      const bytes = readFileSync(log());
      const cut = bytes.subarray(0, Math.round(share * bytes.length));
      writeFileSync(log(), cut);
      const whole = cut.toString().split('\n').length - 1;
      expect(readRun(dir)).toMatchObject({ events: all.slice(0, whole), damaged: 0 });
      write(at, [step(at + 1, 5)]);
      expect(readRun(dir)).toMatchObject({
        events: [...all.slice(0, Math.min(at, whole)), step(at + 1, 5)],
        damaged: 0,
      });
    }),
    { numRuns: 40 },
  );
});

it('reads numbers that JSON does not have as what they are not', () => {
  create();
  const skipped = { type: 'skipped', step: 1, loss: Number.NaN, grad_norm: Number.NaN, reason: 'NaN' } as const;
  write(0, [skipped, { ...step(2), mfu: 0.5 }]);
  expect(readRun(dir).events).toEqual([skipped, { ...step(2), mfu: 0.5 }]);
});

it('passes over lines that are no events, however long', () => {
  create();
  write(0, [step(1)]);
  appendFileSync(log(), `{"type":"step"}\n\0\0\0\n[]\n{"type":"constructor","step":1}\n${'x'.repeat(5_000_000)}\n`);
  appendFileSync(log(), `${JSON.stringify(step(2))}\n{"type":"st`);
  const { events, damaged } = readRun(dir);
  expect([events, damaged]).toEqual([[step(1), step(2)], 5]);
  fc.assert(fc.property(fc.json(), (line) => parseEvent(line) === null));
});

it('lets one process write at a time', () => {
  create();
  const writer = begin(0);
  expect(readRun(dir).isRunning).toBe(true);
  expect(() => begin(0)).toThrow(EnvironmentError);
  writer.close();
  expect(readRun(dir).isRunning).toBe(false);
  const lock = join(dir, 'events.lock');
  expect(existsSync(lock)).toBe(false);
  // A process that is gone, one whose number another one has by now, and one that was killed while it took the run.
  const gone = spawnSync(process.execPath, ['-e', '']).pid;
  const host = hostname();
  const left = [{ pid: gone, host, born: 'x' }, ...(process.platform === 'linux' ? [{ pid: 1, host, born: 'x' }] : [])];
  for (const text of [...left.map((owner) => JSON.stringify(owner)), '']) {
    writeFileSync(lock, text);
    expect(readRun(dir).isRunning).toBe(false);
    begin(0).close();
  }
  // On another machine nobody can be asked: what was written of late is in use.
  writeFileSync(lock, JSON.stringify({ pid: 1, host: `${host}.other`, born: null }));
  expect(() => begin(0)).toThrow(/process 1 on .*other/);
});

it('says what is wrong with a run', () => {
  expect(() => readRun(dir)).toThrow(NotFoundError);
  mkdirSync(dir, { recursive: true });
  for (const text of ['', '[]', '{"a":', 'null']) {
    writeFileSync(join(dir, 'run.json'), text);
    expect(() => readRun(dir)).toThrow(FileFormatError);
  }
  writeFileSync(join(dir, 'run.json'), '{"starts":[1,{}],"settings":3,"data":[null],"machine":[]}');
  expect(readRun(dir).info).toMatchObject({ starts: [], settings: {}, data: [], preset: null, machine: {} });
});

it('finds runs two levels down, and none inside another', () => {
  const here = join(root, 'search');
  const places = ['a', 'b/c', 'b/d', 'a/checkpoints', 'e/f/g', '.hidden', 'node_modules/h'];
  for (const place of places) {
    mkdirSync(join(here, place), { recursive: true });
    writeFileSync(join(here, place, 'run.json'), '{}');
  }
  expect(listRuns(here)).toEqual(['a', 'b/c', 'b/d'].map((place) => join(here, place)));
  expect(listRuns(join(here, 'a'))).toEqual([join(here, 'a')]);
  expect(listRuns(join(here, 'nowhere'))).toEqual([]);
});

const program = fileURLToPath(new URL('../dist/cli/run.js', import.meta.url));
describe.skipIf(!existsSync(program))('inkstone runs (needs dist/: npm test builds it)', () => {
  const here = join(root, 'shown');
  const runs = (...args: string[]) => {
    const { status, stdout, stderr } = spawnSync(process.execPath, [program, 'runs', ...args], {
      cwd: here,
      encoding: 'utf8',
    });
    return { status, out: stdout, err: stderr };
  };

  it('lists, shows and compares', () => {
    for (const [i, name] of ['small', '唐诗'].entries()) {
      dir = join(here, 'runs', name);
      create({ n_layer: 2 + i, n_head: 2 });
      write(
        0,
        Array.from({ length: 50 }, (_, at) => step(at + 1, (3 + i) / Math.sqrt(at + 1))),
      );
    }
    writeFileSync(join(here, 'other.txt'), '');
    mkdirSync(join(here, 'broken'));
    writeFileSync(join(here, 'broken', 'run.json'), '{');
    const list = JSON.parse(runs('--json').out);
    expect(list).toHaveLength(2);
    expect(list.find((run: { name: string }) => run.name === 'small')).toMatchObject({
      dir: join('runs', 'small'),
      preset: 'nano',
      step: 50,
      tokens_per_second: 100,
      state: 'interrupted',
      validation: null,
    });
    expect(runs().err).toContain('passed over: ');
    expect(runs().out).toMatch(/^run +model +params +step +loss +validation +tokens\/s +state +started\n/);
    expect(runs('show', 'small').out).toMatch(/n_head +2\n/);
    const { out } = runs('compare', 'small', '唐诗', '--plot', '--x', 'tokens');
    expect(out).toMatch(/^settings that differ +small +唐诗\nn_layer +2 +3\n\n/);
    expect(out).toMatch(/loss: {2}A small {2}B 唐诗\n/);
    expect(out).toMatch(/[⠁-⣿]{10}/);
    expect(JSON.parse(runs('compare', 'small', '唐诗', '--json').out).differences).toEqual({ n_layer: [2, 3] });
  });

  it('refuses what is not there by name', () => {
    expect(runs('show', 'smal')).toMatchObject({
      status: 1,
      err: 'error: run "smal" was not found. Did you mean small?\n',
    });
    expect(runs('nowhere')).toMatchObject({ status: 1, err: 'error: folder "nowhere" was not found.\n' });
    expect(runs('show').status).toBe(2);
    expect(runs('--x', 'weeks').status).toBe(2);
  });
});
