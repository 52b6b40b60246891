/** Adapters in an engine: golden logits, mixtures in one step to the bit, swapping, and the prefix cache that tells them apart. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { scoreIds } from '../src/evaluation/score.ts';
import { Engine } from '../src/generation/engine.ts';
import { generateAll } from '../src/generation/generate.ts';
import {
  type Adapter,
  type AdapterConfig,
  adapterLayout,
  adapterOf,
  adapterParameterSpecs,
  completeAdapterConfig,
  loadModel,
  mergeAdapter,
  readConfig,
} from '../src/models/index.ts';
import { saveAdapter } from '../src/node/adapters.ts';
import { openModel } from '../src/node/open_model.ts';
import {
  goldenAdapter,
  goldenConfig,
  goldenJson,
  goldenModel,
  goldenPath,
  goldenWeights,
  graphLogits,
  kinds,
} from './adapters_setup.ts';
import { compiled, reference } from './backends.ts';
import { uniformAt } from './op_data.ts';

const fastest = compiled[0];

/** An adapter of any shape, with numbers that change the answers. */
function made(config: Parameters<typeof adapterLayout>[0], own: Partial<AdapterConfig>, seed: number): Adapter {
  const full = completeAdapterConfig({ r: 4, lora_alpha: 8, target_modules: 'all-linear', ...own });
  const layout = adapterLayout(config, full);
  const values = new Map(
    adapterParameterSpecs(layout).map(({ name, shape }, p) => {
      const size = shape.reduce((a, b) => a * b, 1);
      const of = (i: number) => 0.4 * (uniformAt(seed + p, i) - 0.5) + (name.includes('magnitude') ? 1 : 0);
      return [name, Float32Array.from({ length: size }, (_, i) => of(i))];
    }),
  );
  return adapterOf(layout, full, values);
}

const ids = [3, 17, 40, 8, 25, 61, 12, 9, 33, 2];

describe.each(kinds)('%s', (kind) => {
  it.each([reference, ...compiled])('has the golden logits of peft on $name', async ({ make }) => {
    const golden = goldenJson(`adapters/${kind}/lora.json`);
    const backend = make();
    const engine = new Engine(goldenModel(kind, backend), { precision: 'exact' });
    await engine.addAdapter('golden', goldenAdapter(kind));
    const [inputs, wanted] = [golden.probe_input_ids as number[][], golden.adapter_logits_last as number[][]];
    for (const [row, input] of inputs.entries()) {
      const [{ logits }] = await engine.step([{ sequence: engine.sequence(input, 'golden'), logits: 'last' }]);
      for (const [i, truth] of wanted[row].entries())
        expect(Math.abs(logits[i] - truth)).toBeLessThanOrEqual(5e-4 + 1e-4 * Math.abs(truth));
      const graph = await graphLogits(goldenModel(kind, reference.make()), [input], goldenAdapter(kind));
      logits.forEach((value, i) => {
        expect(Math.abs(value - graph[graph.length - logits.length + i])).toBeLessThan(5e-4);
      });
    }
    await backend.close();
  });
});

describe.skipIf(fastest.missing)('several adapters in one engine', () => {
  /** Of longer contexts than its file says, so that a beginning fills pages. */
  const open = (threads = 2) => {
    const config = { ...goldenConfig('llama'), max_position_embeddings: 256 };
    return new Engine(loadModel(goldenWeights('llama'), config, fastest.make(threads)), { precision: 'exact' });
  };
  const adapters = (engine: Engine) => {
    const { config } = engine.model;
    return {
      small: made(config, { r: 2, target_modules: ['q_proj', 'v_proj'] }, 1),
      wide: made(config, { r: 12 }, 100),
      dora: made(config, { use_dora: true }, 200),
    };
  };
  const logitsOf = async (engine: Engine, names: readonly (string | null)[], tokens = ids) => {
    const sequences = names.map((name) => engine.sequence(tokens, name));
    const results = await engine.step(sequences.map((sequence) => ({ sequence, logits: 'all' })));
    for (const sequence of sequences) sequence.free();
    return results.map(({ logits }) => logits);
  };

  it('answer in one step as each alone, to the bit, whatever else is loaded', async () => {
    const alone = new Map<string | null, Float32Array>();
    for (const name of ['small', 'wide', 'dora'] as const) {
      const engine = open();
      await engine.addAdapter(name, adapters(engine)[name]);
      const [logits] = await logitsOf(engine, [name]);
      alone.set(name, logits);
    }
    alone.set(null, (await logitsOf(open(), [null]))[0]);
    for (const threads of [1, 3]) {
      const engine = open(threads);
      for (const [name, adapter] of Object.entries(adapters(engine))) await engine.addAdapter(name, adapter);
      const names = ['dora', null, 'small', 'wide', 'small'];
      const found = await logitsOf(engine, names);
      names.forEach((name, i) => {
        expect(found[i], `${name}`).toEqual(alone.get(name));
      });
      expect((await logitsOf(engine, [null]))[0]).toEqual(alone.get(null));
    }
    expect(alone.get('small')).not.toEqual(alone.get(null));
  });

  it('answer in one step as each alone in the fast precision too', async () => {
    const config = { ...goldenConfig('llama'), max_position_embeddings: 256 };
    const engine = new Engine(loadModel(goldenWeights('llama'), config, fastest.make(2)));
    for (const [name, adapter] of Object.entries(adapters(engine))) await engine.addAdapter(name, adapter);
    const names = ['dora', null, 'small', 'wide', 'small'];
    const found = await logitsOf(engine, names);
    for (const [i, name] of names.entries()) expect(found[i], `${name}`).toEqual((await logitsOf(engine, [name]))[0]);
  });

  it.each(['small', 'wide', 'dora'] as const)('%s is nearly what it is when merged', async (name) => {
    const engine = open();
    const adapter = adapters(engine)[name];
    await engine.addAdapter(name, adapter);
    const [apart] = await logitsOf(engine, [name]);
    const model = goldenModel('llama', fastest.make(2));
    const merged = new Engine(await mergeAdapter(model, adapter), { precision: 'exact' });
    const [together] = await logitsOf(merged, [null]);
    apart.forEach((value, i) => {
      expect(Math.abs(value - together[i])).toBeLessThan(1e-3);
    });
  });

  it('are swapped, forgotten, and told apart by the prefix cache', async () => {
    const engine = open();
    const { small, wide } = adapters(engine);
    const long = Array.from({ length: 100 }, (_, i) => (7 * i) % 60);
    const last = async (name: string | null) => {
      const sequence = engine.sequence(long, name);
      const [{ logits }] = await engine.step([{ sequence, logits: 'last' }]);
      sequence.free();
      return logits;
    };
    await engine.addAdapter('a', small);
    const [first, plain] = [await last('a'), await last(null)];
    expect(await last('a')).toEqual(first);
    await engine.addAdapter('a', wide);
    const second = await last('a');
    expect(second).not.toEqual(first);
    expect(second).not.toEqual(plain);
    const fresh = open();
    await fresh.addAdapter('b', wide);
    const sequence = fresh.sequence(long, 'b');
    expect((await fresh.step([{ sequence, logits: 'last' }]))[0].logits).toEqual(second);
    engine.removeAdapter('a');
    expect(engine.adapters).toEqual([]);
    expect(() => engine.sequence(ids, 'a')).toThrow(/"?a"?.*no adapter/s);
  });

  it('leave nothing for others in a sequence whose adapter was replaced', async () => {
    const engine = open();
    const { small, wide } = adapters(engine);
    await engine.addAdapter('a', small);
    const long = Array.from({ length: 40 }, (_, i) => (7 * i) % 60);
    const old = engine.sequence(long.slice(0, 20), 'a');
    await engine.step([{ sequence: old, logits: 'none' }]);
    await engine.addAdapter('a', wide);
    const copy = old.fork();
    for (const sequence of [old, copy]) sequence.append(long.slice(20));
    await engine.step([old, copy].map((sequence) => ({ sequence, logits: 'none' as const })));
    const sequence = engine.sequence(long, 'a');
    const [{ logits }] = await engine.step([{ sequence, logits: 'last' }]);
    const fresh = open();
    await fresh.addAdapter('a', wide);
    expect(logits).toEqual(await fresh.logits(long, { last: true, adapter: 'a' }));
  });

  it('score texts', async () => {
    const engine = open();
    await engine.addAdapter('small', adapters(engine).small);
    const request = { context: ids.slice(0, 6), continuation: ids.slice(6), truncated: 0 };
    const V = engine.model.config.vocab_size;
    const means: number[] = [];
    for (const adapter of ['small', null]) {
      const [{ logprobs }] = await scoreIds(engine, [request], { adapter });
      const logits = await engine.logits(ids, { adapter });
      logprobs.forEach((found, i) => {
        const row = logits.subarray((5 + i) * V, (6 + i) * V);
        const total = Math.log(row.reduce((sum, x) => sum + Math.exp(x), 0));
        expect(found).toBeCloseTo(row[request.continuation[i]] - total, 4);
      });
      means.push(logprobs.reduce((a, b) => a + b, 0));
    }
    expect(means[0]).not.toBeCloseTo(means[1], 3);
  });

  it('are chosen for each prompt of a request, beams too, and told by the fingerprint', async () => {
    const engine = open();
    for (const [name, adapter] of Object.entries(adapters(engine))) await engine.addAdapter(name, adapter);
    const model = { engine, tokenizer: null, chatTemplate: null, generationConfig: {} };
    const settings = { max_new_tokens: 6, num_beams: 2 };
    const each = ['small', null, 'dora'] as const;
    const together = await generateAll(model, [ids, ids, ids], settings, { adapter: each });
    for (const { prompt, ids: answer, fingerprint } of together) {
      const [alone] = await generateAll(model, ids, settings, { adapter: each[prompt] });
      expect([alone.ids, alone.fingerprint]).toEqual([answer, fingerprint]);
    }
    expect(new Set(together.map(({ fingerprint }) => fingerprint)).size).toBe(3);
    await expect(generateAll(model, ids, settings, { adapter: 'none' })).rejects.toThrow(/none.*small, wide, dora/s);
    const own = { ...model, adapter: 'wide' };
    const [usual] = await generateAll(own, ids, settings);
    const [named] = await generateAll(model, ids, settings, { adapter: 'wide' });
    expect(usual.ids).toEqual(named.ids);
  });

  it('refuse what a step of many cannot have', async () => {
    const engine = open();
    const embedding = made(engine.model.config, { target_modules: ['embed_tokens'] }, 5);
    await expect(engine.addAdapter('e', embedding)).rejects.toThrow(/embedding.*merge/s);
  });
});

describe("an adapter's folder", () => {
  const root = mkdtempSync(join(tmpdir(), 'inkstone-adapters-'));
  afterAll(() => rmSync(root, { recursive: true }));
  const options = { backend: 'reference', precision: 'exact' } as const;
  const save = (name: string, base: string | null) => {
    const { config, ...rest } = goldenAdapter('llama');
    const adapter = { ...rest, config: { ...config, base_model_name_or_path: base } };
    saveAdapter(join(root, name), adapter, readConfig(goldenConfig('llama')));
    return join(root, name);
  };

  it('opens as the model that it names, which answers by the adapter', async () => {
    const model = await openModel(save('whole', goldenPath('training/llama/init')), options);
    const plain = new Engine(goldenModel('llama', reference.make()), { precision: 'exact' });
    await plain.addAdapter('golden', goldenAdapter('llama'));
    const other = { engine: plain, tokenizer: null, chatTemplate: null, generationConfig: {} };
    const settings = { max_new_tokens: 5, do_sample: false, eos_token_id: [] };
    const [found] = await generateAll(model, ids, settings);
    const [wanted] = await generateAll(other, ids, settings, { adapter: 'golden' });
    expect([found.ids, found.fingerprint]).toEqual([wanted.ids, wanted.fingerprint]);
    const [bare] = await generateAll(model, ids, settings, { adapter: null });
    expect(bare.fingerprint).not.toBe(found.fingerprint);
    expect(await model.engine.logits(ids, { adapter: model.adapter })).toEqual(
      await plain.logits(ids, { adapter: 'golden' }),
    );
    await model.close();
  });

  it('is refused where it names none', async () => {
    await expect(openModel(save('nameless', null), options)).rejects.toThrow(/which model it is for.*--adapter/s);
  });
});
