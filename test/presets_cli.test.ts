/** `inkstone plan` as a user meets it. Runs the built program. */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { presetNames } from '../src/training/presets.ts';

const program = fileURLToPath(new URL('../dist/cli/run.js', import.meta.url));

function plan(...args: string[]): { status: number | null; out: string; err: string } {
  const { status, stdout, stderr } = spawnSync(process.execPath, [program, 'plan', ...args], { encoding: 'utf8' });
  return { status, out: stdout, err: stderr };
}

describe.skipIf(!existsSync(program))('inkstone plan (needs dist/: npm test builds it)', () => {
  it('prints tables of at most 80 columns', () => {
    const wide = ['modern', '--depth', '26', '--n_experts', '64', '--memory', '100TB'];
    for (const args of [[], ['gpt3-175b', '--flops', '180e9', '--memory', '10TB'], wide]) {
      const { status, out } = plan(...args);
      expect(status).toBe(0);
      for (const line of out.split('\n')) expect(line.length, line).toBeLessThanOrEqual(80);
    }
    expect(plan().out.split('\n').filter(Boolean)).toHaveLength(presetNames.length);
  });

  it('says all of it as JSON', () => {
    const { status, out, err } = plan('gpt2-1.5b', '--json', '--flops', '1P', '--tokens', '10B', '--memory', '1TiB');
    expect({ status, err }).toEqual({ status: 0, err: '' });
    const { parameters, memory, flops, training, config } = JSON.parse(out);
    expect(parameters.total).toBe(1_557_611_200);
    expect(memory).toMatchObject({ weights: 4 * 1_557_611_200, available: 2 ** 40, fits: true });
    expect(flops.days).toBeCloseTo((flops.per_token * 10e9) / 1e15 / 86400, 10);
    expect(flops.steps).toBe(Math.ceil(10e9 / (512 * 1024)));
    expect(training.learning_rate).toBe(2e-4);
    expect(config.model_type).toBe('gpt2');
  });

  it('shows what does not fit, and fails: this machine, or the memory that was named', () => {
    // No machine here has 3.5 TB.
    const shown = plan('gpt3-175b', '--json');
    expect(shown.status).toBe(1);
    expect(JSON.parse(shown.out).memory.fits).toBe(false);
    expect(shown.err).toMatch(/^error: memory: \d+ GB needed, [\d.]+ available/);
    expect(plan('gpt3-175b', '--memory', '4TB', '--json').status).toBe(0);
    const refused = plan('gpt3-175b', '--memory', '24GB', '--json');
    expect(refused.status).toBe(1);
    expect(JSON.parse(refused.out).parameters.total).toBe(174_600_720_384);
    expect(refused.err).toMatch(/^error: memory: \d+ GB needed, 24 available/);
  });

  it('takes any field as a flag, and refuses what cannot be by name', () => {
    const { out } = plan('gpt2-124m', '--n-layer', '2', '--n_head=2', '--n_embd', '64', '--bias', 'false', '--json');
    expect(JSON.parse(out).model).toMatchObject({ n_layer: 2, n_head: 2, n_embd: 64, n_inner: 256, bias: false });
    expect(plan('gpt2-124m', '--n_embd', '65')).toMatchObject({
      status: 1,
      err: 'error: n_embd = 65: has to be divisible by n_head = 12\n',
    });
    expect(plan('gpt2-124m', '--n_layer', 'two').err).toContain('n_layer = "two": has to be a whole number');
    expect(plan('gtp2-124m').err).toContain('Did you mean gpt2-124m');
    expect(plan('nano', '--memory', '-1').status).toBe(2);
    expect(plan('--n_layer', '2').status).toBe(2);
  });
});
