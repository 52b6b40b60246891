/** What a model costs: against published figures, and against the plans that it is made of. */
import { describe, expect, it } from 'vitest';
import { CapacityError } from '../src/errors.ts';
import { parameterCount } from '../src/models/parameters.ts';
import { countParameters, estimateFlops, estimateMemory } from '../src/training/estimate.ts';
import { assertFits } from '../src/training/estimate_fit.ts';
import { wholeModel } from '../src/training/learner.ts';
import { presetNames, resolvePreset } from '../src/training/presets.ts';
import { trainingPlans } from '../src/training/step.ts';
import { nextTokenTask } from '../src/training/task.ts';

const decoderOf = (name: string, overrides = {}) => resolvePreset(name, overrides).decoder;

describe('parameters', () => {
  it.each(presetNames)('of %s: the parts are the whole', (name) => {
    const { total, embeddings, positions, attention, feed_forward, norms, head, non_embedding } = countParameters(
      decoderOf(name),
    );
    expect(total).toBe(parameterCount(decoderOf(name)));
    expect(embeddings + positions + attention + feed_forward + norms + head).toBe(total);
    expect(attention + feed_forward + norms).toBe(non_embedding);
  });

  it('of GPT-2 are where they are', () => {
    // 12 layers of 768: 4 C² + 4 C, 8 C² + 5 C, and two norms of 2 C each, then the last norm.
    expect(countParameters(decoderOf('gpt2-124m'))).toEqual({
      total: 124_439_808,
      embeddings: 50257 * 768,
      positions: 1024 * 768,
      attention: 12 * (4 * 768 ** 2 + 4 * 768),
      feed_forward: 12 * (8 * 768 ** 2 + 5 * 768),
      norms: 25 * 2 * 768,
      head: 0,
      non_embedding: 124_439_808 - 50257 * 768 - 1024 * 768,
      active: 124_439_808,
    });
  });

  it('that are active leave out the experts a token does not pass', () => {
    const decoder = decoderOf('modern', { depth: 2, n_experts: 8, experts_per_token: 2, n_inner: 64 });
    const { total, active } = countParameters(decoder);
    expect(total - active).toBe(2 * 6 * 3 * 128 * 64);
  });

  it('of normalised queries and keys are norms', () => {
    expect(countParameters(decoderOf('modern', { depth: 2 })).norms).toBe(2 * (2 * 128 + 2 * 64) + 128);
  });
});

describe('arithmetic', () => {
  // Brown et al. 2020, Table D.1: FLOPs of training on 300 billion tokens, without attention.
  it.each([
    ['gpt3-125m', 2.25e20],
    ['gpt3-350m', 6.41e20],
    ['gpt3-760m', 1.37e21],
    ['gpt3-1.3b', 2.38e21],
    ['gpt3-2.7b', 4.77e21],
    ['gpt3-6.7b', 1.2e22],
    ['gpt3-13b', 2.31e22],
    ['gpt3-175b', 3.14e23],
  ])('of %s is that of Table D.1', (name, flops) => {
    // Its N counts positions too, which are looked up, not multiplied with.
    expect(Math.abs((estimateFlops(decoderOf(name)).six_n * 300e9) / flops - 1)).toBeLessThan(0.015);
  });

  it("of attention is PaLM's 12 L H D T, and less in bands", () => {
    expect(estimateFlops(decoderOf('gpt2-124m')).attention).toBe(12 * 12 * 768 * 1024);
    expect(estimateFlops(decoderOf('gpt2-124m'), { block_size: 256 }).attention).toBe(12 * 12 * 768 * 256);
    expect(estimateFlops(decoderOf('gpt3-125m')).attention).toBe(12 * 768 * (6 * 2048 + 6 * 256));
  });

  it('counts a head of its own once, and a lookup never', () => {
    const tied = estimateFlops(decoderOf('modern', { depth: 2, tie_word_embeddings: true }));
    expect(estimateFlops(decoderOf('modern', { depth: 2 }))).toEqual(tied);
  });

  it('of recomputation is a forward pass of the layers', () => {
    const { recompute, attention, parameters } = estimateFlops(decoderOf('gpt2-124m'), { recompute: true });
    expect(recompute).toBe(2 * (parameters - 50257 * 768) + attention / 3);
  });
});

describe('memory', () => {
  const decoder = decoderOf('gpt2-124m');
  const N = 124_439_808;

  it('of weights, gradients and optimiser', () => {
    expect(estimateMemory(decoder)).toMatchObject({ weights: 4 * N, gradients: 4 * N, optimizer: 8 * N });
    expect(estimateMemory(decoder, { optimizer: 'sgd' }).optimizer).toBe(4 * N);
    expect(estimateMemory(decoder, { optimizer: 'muon' }).optimizer).toBe(8 * N - 4 * 12 * 12 * 768 ** 2);
  });

  it('of keys and values', () => {
    expect(estimateMemory(decoder).kv_cache).toBe(2 * 2 * 12 * 768 * 1024);
    expect(estimateMemory(decoderOf('modern', { depth: 8 })).kv_cache_per_token).toBe(2 * 2 * 8 * 2 * 64);
  });

  it('of activations is what each layer keeps, and grows with layers and batch', () => {
    const of = (n_layer: number, batch_size: number, more = {}) =>
      estimateMemory(decoderOf('gpt2-124m', { n_layer, vocab_size: 100 }), {
        batch_size,
        block_size: 256,
        gradient_accumulation_steps: 2,
        ...more,
      }).activations;
    // Sixteen vectors of the width for each token: two norms, queries, keys, values, heads, sum, four before and after the activation, sum.
    const perLayer = (of(24, 8) - of(12, 8)) / 12 / (8 * 256 * 768 * 4);
    expect(perLayer).toBeGreaterThan(14);
    expect(perLayer).toBeLessThan(19);
    expect(of(12, 16) / of(12, 8)).toBeCloseTo(2, 1);
    expect(of(12, 8, { recompute: true })).toBeLessThanOrEqual(of(12, 8));
    expect(of(12, 8, { precision: 'bfloat16' })).toBeGreaterThan(of(12, 8));
  });

  it.each([
    ['gpt2-124m', { batch_size: 2, block_size: 256, n_layer: 10 }],
    ['modern', { depth: 8, batch_size: 4, block_size: 256 }],
    ['shakespeare-baby', { batch_size: 8, n_layer: 12 }],
    ['gpt3-125m', { batch_size: 2, n_layer: 9, gradient_accumulation_steps: 4 }],
  ])('of many layers of %s is near that of the whole step', (name, overrides) => {
    const { decoder, training, fields } = resolvePreset(name, overrides);
    const settings = { ...training, block_size: fields.block_size, seed: 1 };
    const { learn, update } = trainingPlans(nextTokenTask(wholeModel(decoder, settings.dropout), settings), settings);
    const arenaBytes = learn.arenaBytes + (update?.arenaBytes ?? 0);
    const exact = estimateMemory(decoder, { ...settings, arenaBytes }).total;
    expect(Math.abs(estimateMemory(decoder, settings).total / exact - 1)).toBeLessThan(0.03);
  });

  it('counts gradients once, wherever they lie', () => {
    const arenaBytes = 4 * N + 5;
    expect(estimateMemory(decoder, { arenaBytes }).total).toBe(16 * N + 5);
    expect(estimateMemory(decoder, { arenaBytes, gradient_accumulation_steps: 2 }).total).toBe(20 * N + 5);
  });
});

describe('whether it fits', () => {
  const decoder = decoderOf('gpt2-124m');

  it('is answered with the estimate, or with both sizes and the way out', () => {
    const options = { batch_size: 8 };
    const memory = estimateMemory(decoder, options);
    expect(assertFits(decoder, options, memory.total)).toEqual(memory);
    expect(() => assertFits(decoder, options, memory.total - 1)).toThrow(CapacityError);
    expect(() => assertFits(decoder, options, 5e9)).toThrow(
      /^memory: 8\.\d+ GB needed, 5 available\..*batch_size 2 with gradient_accumulation_steps 4: \d/,
    );
  });

  it.each([4e9, 5e9, 8e9])('names changes that do fit into %d bytes', (available) => {
    try {
      assertFits(decoder, { batch_size: 8 }, available);
      expect.unreachable();
    } catch (error) {
      const ways = String(error).split('What would fit: ')[1].split('; ');
      expect(ways.length).toBeGreaterThan(0);
      for (const way of ways) {
        const [, batch, passes] = /batch_size (\d+) with gradient_accumulation_steps (\d+)/.exec(way) ?? [
          way,
          '8',
          '1',
        ];
        const options = {
          batch_size: Number(batch),
          gradient_accumulation_steps: Number(passes),
          recompute: way.includes('recompute'),
        };
        expect(options.batch_size * options.gradient_accumulation_steps).toBe(8);
        expect(estimateMemory(decoder, options).total).toBeLessThanOrEqual(available);
      }
    }
  });

  it('is no for 175 billion parameters on a desk', () => {
    expect(() => assertFits(decoderOf('gpt3-175b'), {}, 24e9)).toThrow('take a smaller model or a larger machine');
  });
});
