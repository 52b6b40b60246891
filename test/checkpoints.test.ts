/** Checkpoints: what is saved comes back to the bit, and nothing that goes wrong on the way loses what was saved before. */
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { EnvironmentError, FileFormatError, SettingError } from '../src/errors.ts';
import { loadModel } from '../src/models/index.ts';
import { findCheckpoint, saveCheckpoint } from '../src/node/checkpoints.ts';
import { openWeightsAt } from '../src/node/open_weights.ts';
import { failing, quickFiles, random, type Tiny, tiny } from './checkpoints_setup.ts';

/** `npm run soak` asks for more than there is time for with every change. */
const SOAK = process.env.INKSTONE_SOAK === '1';
const FLIPS = SOAK ? 1000 : 200;

let root: string;
let runs = 0;
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), 'inkstone-checkpoints-'));
});
afterAll(() => rmSync(root, { recursive: true, force: true }));
const newRun = () => join(root, `run-${runs++}`);

/** Save step `at` with the numbers of seed `at`. */
async function save(model: Tiny, run: string, at: number, options: { keep?: number; best?: boolean } = {}) {
  model.fill(at);
  return saveCheckpoint(run, model.step, model.snapshot(at), { keep: 2, best: false, files: quickFiles, ...options });
}

/** Steps for comparison: making one takes longer than all that is done with it. */
const [spare, scratch] = [tiny(), tiny()];

/** The state that `save` wrote for a step. */
async function stateOf(at: number): Promise<string> {
  spare.fill(at);
  return spare.read();
}

/** The newest whole checkpoint, restored: its step, after its numbers were checked. */
async function restored(run: string, options: Parameters<typeof findCheckpoint>[1] = {}): Promise<number | null> {
  const found = await findCheckpoint(run, options);
  if (!found) return null;
  scratch.fill(1e6);
  await found.restore(scratch.step);
  expect(await scratch.read()).toBe(await stateOf(found.step));
  expect(found.trainer).toEqual({ step: found.step, losses: [1 / found.step, found.step] });
  return found.step;
}

const checkpointsOf = (run: string) =>
  readdirSync(join(run, 'checkpoints'))
    .filter((name) => name !== 'best.json')
    .map((name) => Number(name.replace('step-', '')))
    .sort((a, b) => a - b);

/** The step whose weights the run's own folder shows. */
async function shown(run: string, steps: readonly number[]): Promise<number | undefined> {
  const { step } = spare;
  const weights = openWeightsAt(join(run, 'model.safetensors'));
  const loaded = loadModel(weights, JSON.parse(readFileSync(join(run, 'config.json'), 'utf8')), step.backend);
  const name = 'embed.weight';
  const { buffer } = loaded.parameters.get(name)!;
  const values = Buffer.from(await step.backend.read(buffer, 0, buffer.byteLength));
  for (const at of steps) {
    spare.fill(at);
    const { buffer: bytes } = await step.read(name);
    if (Buffer.from(bytes).equals(values)) return at;
  }
  return undefined;
}

function noLeftovers(run: string): void {
  const names = readdirSync(run, { recursive: true, encoding: 'utf8' });
  expect(names.filter((name) => /(^|[/\\])\./.test(name))).toEqual([]);
}

describe('a checkpoint', () => {
  it.each(['adamw', 'sgd', 'muon'])('comes back to the bit with %s', async (optimizer) => {
    const run = newRun();
    const model = tiny({ optimizer });
    model.fill(3);
    const state = await model.read();
    const path = await saveCheckpoint(run, model.step, model.snapshot(20), { keep: 2, best: false });
    expect(path).toBe(join(run, 'checkpoints', 'step-00000020'));
    model.fill(4);
    const found = await findCheckpoint(run);
    expect(found).toMatchObject({
      path,
      step: 20,
      trainer: { step: 20 },
      config: { model_type: model.config.model_type },
    });
    await found!.restore(model.step);
    expect(await model.read()).toBe(state);
  });

  it('is a Hugging Face directory, and so is the run', async () => {
    const run = newRun();
    const path = await save(tiny(), run, 7);
    const model = [
      'config.json',
      'generation_config.json',
      'model.safetensors',
      'tokenizer.json',
      'tokenizer_config.json',
    ];
    expect(readdirSync(path).sort()).toEqual(
      [...model, 'manifest.json', 'optimizer.safetensors', 'trainer.json'].sort(),
    );
    expect(readdirSync(run).sort()).toEqual([...model, 'checkpoints'].sort());
    for (const name of model) expect(readFileSync(join(run, name))).toEqual(readFileSync(join(path, name)));
    expect(await shown(run, [7])).toBe(7);
  });

  it('without a tokenizer has no file of one', async () => {
    const run = newRun();
    const model = tiny();
    const { tokenizerConfig: _, ...snapshot } = model.snapshot(1);
    const path = await saveCheckpoint(run, model.step, { ...snapshot, tokenizer: null }, { keep: 1, best: true });
    expect(existsSync(join(path, 'tokenizer.json'))).toBe(false);
    expect(existsSync(join(path, 'tokenizer_config.json'))).toBe(false);
  });

  it('is copied where the disk has no second names', async () => {
    const run = newRun();
    const model = tiny();
    const link = async () => {
      throw Object.assign(new Error('EPERM: link'), { code: 'EPERM' });
    };
    for (const at of [1, 2]) {
      model.fill(at);
      await saveCheckpoint(run, model.step, model.snapshot(at), {
        keep: 1,
        best: true,
        files: { ...quickFiles, link },
      });
    }
    expect(statSync(join(run, 'model.safetensors')).nlink).toBe(1);
    expect(await shown(run, [1, 2])).toBe(2);
    noLeftovers(run);
  });
});

describe('what is kept', () => {
  it('is the last ones and the best', async () => {
    const run = newRun();
    const model = tiny();
    await save(model, run, 1);
    expect(await shown(run, [1])).toBe(1);
    await save(model, run, 2, { best: true });
    for (const at of [3, 4, 5]) await save(model, run, at);
    expect(checkpointsOf(run)).toEqual([2, 4, 5]);
    expect(JSON.parse(readFileSync(join(run, 'checkpoints', 'best.json'), 'utf8'))).toMatchObject({
      checkpoint: 'step-00000002',
      step: 2,
    });
    expect(await shown(run, [1, 2, 3, 4, 5])).toBe(2);
    expect(await restored(run)).toBe(5);
    await save(model, run, 6, { best: true, keep: 1 });
    expect(checkpointsOf(run)).toEqual([6]);
    expect(await shown(run, [2, 5, 6])).toBe(6);
  });

  it('holds for any history of saves and returns', async () => {
    const actions = fc.array(fc.record({ back: fc.nat(4), best: fc.boolean() }), { minLength: 1, maxLength: 8 });
    const model = tiny();
    await fc.assert(
      fc.asyncProperty(actions, fc.integer({ min: 1, max: 3 }), async (history, keep) => {
        const run = newRun();
        let [at, best]: [number, number | null] = [0, null];
        const all: number[] = [];
        for (const action of history) {
          at = Math.max(1, at + 1 - (action.back > 2 ? action.back : 0)); // Some go back, and over steps that were saved before.
          await save(model, run, at, { keep, best: action.best });
          if (action.best) best = at;
          all.push(at);
          expect(await restored(run)).toBe(at);
          expect(await shown(run, all)).toBe(best ?? at);
          const newest = [...new Set(all.toReversed())].slice(0, keep);
          for (const step of checkpointsOf(run)) expect([...newest, best]).toContain(step);
        }
        noLeftovers(run);
      }),
      { numRuns: SOAK ? 100 : 8 },
    );
  });

  it('goes back before a step', async () => {
    const run = newRun();
    const model = tiny();
    for (const at of [1, 2, 3]) await save(model, run, at, { keep: 3 });
    expect(await restored(run, { before: 3 })).toBe(2);
    expect(await restored(run, { before: 1 })).toBeNull();
    // The run goes on from step 1: what it saves then is the newest, whatever its number.
    await save(model, run, 2, { keep: 3 });
    expect(await restored(run)).toBe(2);
  });

  it('is nothing where nothing was saved', async () => {
    expect(await findCheckpoint(join(root, 'absent'))).toBeNull();
    mkdirSync(join(root, 'empty', 'checkpoints'), { recursive: true });
    expect(await findCheckpoint(join(root, 'empty'))).toBeNull();
  });
});

describe('damage', () => {
  it(`${FLIPS} flipped bits are all seen`, async () => {
    const run = newRun();
    const model = tiny();
    await save(model, run, 1);
    const path = await save(model, run, 2);
    const names = readdirSync(path);
    const next = random(17);
    for (let flip = 0; flip < FLIPS; flip++) {
      // Each file in turn, so that the small ones are not passed over.
      const file = join(path, names[flip % names.length]);
      const content = readFileSync(file);
      const bit = Math.floor(next() * content.length * 8);
      content[bit >> 3] ^= 1 << (bit & 7);
      writeFileSync(file, content);
      const reports: string[] = [];
      const found = await findCheckpoint(run, { onDamaged: (where, why) => reports.push(`${where}: ${why}`) });
      expect(found?.step, `bit ${bit} of ${file}`).toBe(1);
      expect(reports).toEqual([expect.stringContaining(path)]);
      if (flip < names.length) expect(await shown(run, [1, 2])).toBe(1);
      content[bit >> 3] ^= 1 << (bit & 7);
      writeFileSync(file, content);
      if (flip < names.length) expect(await restored(run)).toBe(2);
    }
  });

  it('a truncated, a longer and a missing file are seen', async () => {
    const run = newRun();
    const model = tiny();
    await save(model, run, 1);
    const path = await save(model, run, 2);
    for (const name of readdirSync(path)) {
      const file = join(path, name);
      const content = readFileSync(file);
      for (const other of [content.subarray(0, -1), Buffer.concat([content, Buffer.from('\n')]), Buffer.alloc(0)]) {
        writeFileSync(file, other);
        expect((await findCheckpoint(run))?.step, `${name} with ${other.length} bytes`).toBe(1);
      }
      rmSync(file);
      expect((await findCheckpoint(run))?.step, name).toBe(1);
      writeFileSync(file, content);
    }
    expect(await restored(run)).toBe(2);
  });

  it('of the best one brings another forward', async () => {
    const run = newRun();
    const model = tiny();
    await save(model, run, 1, { best: true });
    const path = await save(model, run, 2, { best: true });
    await save(model, run, 3);
    const weights = readFileSync(join(path, 'model.safetensors'));
    weights[weights.length - 9] ^= 4;
    writeFileSync(join(path, 'model.safetensors'), weights); // The shown file is the same file.
    expect(await restored(run)).toBe(3);
    expect(await shown(run, [1, 2, 3])).toBe(3);
    await save(model, run, 4);
    expect(await shown(run, [1, 2, 3, 4])).toBe(4);
  });

  it('of best.json is mended from the weights that are shown', async () => {
    const run = newRun();
    const model = tiny();
    await save(model, run, 1, { best: true });
    for (const at of [2, 3]) await save(model, run, at);
    writeFileSync(join(run, 'checkpoints', 'best.json'), '{"checkpoint":');
    await save(model, run, 4); // nothing is removed while it is not known which is the best
    expect(await restored(run)).toBe(4);
    expect(await shown(run, [1, 2, 3, 4])).toBe(1);
    await save(model, run, 5);
    expect(checkpointsOf(run)).toEqual([1, 4, 5]);
    expect(await shown(run, [1, 2, 3, 4, 5])).toBe(1);
  });

  it('of a manifest that is not ours is refused, not followed', async () => {
    const run = newRun();
    const path = await save(tiny(), run, 1);
    for (const text of ['', '[]', 'null', '{"sha256":1}', '{"format":1,"files":{"../../x":{}}}']) {
      writeFileSync(join(path, 'manifest.json'), text);
      expect(await findCheckpoint(run)).toBeNull();
    }
  });
});

describe('a disk that fails', () => {
  /** A run that was going well: steps 1 (best), 2 and 3, and the next save writes over a step, shows it, and removes an old one. */
  async function before(): Promise<string> {
    const run = newRun();
    const model = tiny();
    await save(model, run, 1, { best: true });
    for (const at of [2, 3]) await save(model, run, at);
    return run;
  }

  const modes = [
    { mode: 'once', forever: false, code: 'EIO' },
    { mode: 'from then on, as when a process is killed', forever: true, code: 'ENOSPC' },
  ];
  const scenes = [
    { scene: 'a new step', at: 4, best: true },
    { scene: 'a step for the second time', at: 3, best: true },
    { scene: 'a step that is not the best', at: 4, best: false },
  ].flatMap((scene, i) => modes.filter((_, j) => SOAK || j === i % 2).map((mode) => ({ ...scene, ...mode })));

  it.each(scenes)(
    '$scene: every operation failing $mode',
    async ({ at, best, forever, code }) => {
      const template = await before();
      const old = await stateOf(3);
      const model = tiny();
      for (let k = 1; ; k++) {
        const run = newRun();
        cpSync(template, run, { recursive: true });
        model.fill(at === 3 ? 30 : at);
        const files = failing(k, code, forever);
        const attempt = saveCheckpoint(run, model.step, model.snapshot(at), { keep: 2, best, files });
        const error: unknown = await attempt.then(
          () => null,
          (thrown) => thrown,
        );
        if (files.count < k) {
          expect(error).toBeNull();
          expect(k).toBeGreaterThan(30);
          break;
        }
        if (error !== null) {
          expect(error).toBeInstanceOf(EnvironmentError);
          expect((error as Error).message).toMatch(/no space is left|the disk reports an error/);
          expect((error as Error).message).toContain(run);
        }
        // At once, without any repair, the run's own folder is a model.
        const steps = at === 3 ? [1, 2, 3, 30] : [1, 2, 3, 4];
        expect([1, at === 3 ? 30 : at]).toContain(await shown(run, steps));
        // Whatever is found is whole, and no older than what was there.
        const found = await findCheckpoint(run);
        await found!.restore(scratch.step);
        expect([old, await model.read()]).toContain(await scratch.read());
        expect(found!.step).toBeGreaterThanOrEqual(3);
        noLeftovers(run);
        const { step: kept } = JSON.parse(readFileSync(join(run, 'checkpoints', 'best.json'), 'utf8'));
        expect(checkpointsOf(run)).toContain(kept);
        // And the run goes on.
        if (SOAK || k % 4 === 0) {
          await save(model, run, 5, { best: true });
          expect(await restored(run)).toBe(5);
          expect(await shown(run, [...steps, 5])).toBe(5);
          expect(checkpointsOf(run)).toHaveLength(2);
        }
        rmSync(run, { recursive: true });
      }
    },
    300_000,
  );

  it('a folder that cannot be made is one clear error', async () => {
    const run = newRun();
    writeFileSync(run, 'a file');
    await expect(save(tiny(), run, 1)).rejects.toThrow(EnvironmentError);
    expect(await findCheckpoint(run)).toBeNull();
  });

  it('a read-only disk can still be read', async () => {
    const run = await before();
    expect(await restored(run, { files: failing(1, 'EROFS', true) })).toBe(3);
  });
});

describe('contradictions', () => {
  it('another model or optimiser is refused before anything is written', async () => {
    const run = newRun();
    await save(tiny(), run, 1);
    const found = (await findCheckpoint(run))!;
    const others = [
      tiny({ n_embd: 16 }),
      tiny({ n_layer: 2 }),
      tiny({ optimizer: 'sgd' }),
      tiny({ optimizer: 'muon' }),
    ];
    for (const other of others) {
      other.fill(9);
      const state = await other.read();
      await expect(found.restore(other.step)).rejects.toThrow(FileFormatError);
      expect(await other.read()).toBe(state);
    }
  });

  it('a config.json of another model is not saved', async () => {
    const model = tiny();
    const snapshot = { ...model.snapshot(1), config: tiny({ n_embd: 16 }).config };
    await expect(saveCheckpoint(newRun(), model.step, snapshot, { keep: 1, best: false })).rejects.toThrow(
      SettingError,
    );
  });
});
