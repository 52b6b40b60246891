/** The command line as a user meets it: what it prints, where, and how it ends. Runs the built program. */
import { execFile, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

const program = fileURLToPath(new URL('../dist/cli/run.js', import.meta.url));
const golden = fileURLToPath(new URL('./golden/', import.meta.url));
const llama = join(golden, 'models', 'llama');

interface Result {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

function run(args: readonly string[], env: Record<string, string> = {}, input?: string): Promise<Result> {
  return new Promise((resolve) => {
    const child = execFile(
      process.execPath,
      [program, ...args],
      { env: { ...process.env, HF_HUB_OFFLINE: '1', ...env } },
      (error, out, err) => {
        resolve({ code: error ? Number(error.code ?? 1) : 0, out, err });
      },
    );
    child.stdin?.end(input ?? '');
  });
}

describe.skipIf(!existsSync(program))('inkstone (needs dist/: npm test builds it)', () => {
  it('generates from ids, as JSON, the same for one seed', async () => {
    const args = [
      'generate',
      '--model',
      llama,
      '--ids',
      '1,2,3',
      '--max_new_tokens',
      '5',
      '--do_sample',
      'true',
      '--seed',
      '7',
      '--json',
    ];
    const [a, b] = [await run(args), await run([...args, '--threads', '1'])];
    expect(a.code).toBe(0);
    const result = JSON.parse(a.out);
    expect(result).toMatchObject({ prompt_ids: [1, 2, 3], seed: 7, finish_reason: 'length' });
    expect(result.ids.length).toBe(5);
    expect(result.timings.first_token_ms).toBeGreaterThan(0);
    expect(JSON.parse(b.out).ids).toEqual(result.ids);
  });

  it('prints logits that round-trip to float32, as transformers has them', async () => {
    const expected = JSON.parse(readFileSync(join(llama, 'expected.json'), 'utf8'));
    const ids: number[] = expected.long.input_ids[0];
    for (const backend of ['reference', 'native']) {
      const { code, out, err } = await run([
        'logits',
        '--model',
        llama,
        '--ids',
        ids.join(','),
        '--json',
        '--backend',
        backend,
        '--precision',
        'exact',
      ]);
      if (backend === 'native' && /native library is not there/.test(err)) continue;
      expect(code).toBe(0);
      const { logits } = JSON.parse(out);
      expect(logits.length).toBe(ids.length);
      const at = expected.long.logits_positions[1];
      expected.long.logits[1].forEach((wanted: number, j: number) => {
        expect(Math.abs(logits[at][j] - wanted)).toBeLessThan(5e-4);
      });
    }
  });

  it('tokenizes both ways in JSON lines', async () => {
    const tokenizer = join(golden, 'tokenizers', 'bpe_bytelevel_gpt2', 'tokenizer.json');
    const { out } = await run(['tokenize', '--model', tokenizer, '--json'], {}, '"Hello"\n{"text":"你好"}\n');
    const lines = out
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(lines.length).toBe(2);
    const back = await run(['tokenize', '--model', tokenizer, '--decode', '--json'], {}, `${lines[1].ids.join(' ')}\n`);
    expect(JSON.parse(back.out)).toEqual({ text: '你好' });
  });

  it('inspects and converts', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'inkstone-'));
    const { code, out } = await run(['inspect', join(llama, 'model.safetensors'), '--json']);
    expect(code).toBe(0);
    expect(JSON.parse(out).parameters).toBe(44840);
    const converted = await run(['convert', llama, join(folder, 'copy'), '--type', 'f16']);
    expect(converted.code, converted.err).toBe(0);
    const again = await run(['logits', '--model', join(folder, 'copy'), '--ids', '1,2', '--last', '--json']);
    expect(again.code, again.err).toBe(0);
  });

  it.each([
    [
      'a missing file',
      ['generate', 'x', '--model', './nowhere/model.gguf'],
      1,
      /model "\.\/nowhere\/model\.gguf" was not found/,
    ],
    ['a name nearly right', ['generate', 'x', '--model', 'gpt3-medium'], 1, /Did you mean .*gpt2-medium/],
    [
      'a setting that cannot be',
      ['generate', '--ids', '1', '--model', llama, '--temperature', '-1'],
      1,
      /temperature = -1/,
    ],
    ['a setting that does not exist', ['generate', 'x', '--temprature', '1'], 2, /unknown option '--temprature'/],
    ['a verb that does not exist', ['genrate'], 2, /unknown command/],
    ['text for a model without a tokenizer', ['generate', 'x', '--model', llama], 1, /needs a tokenizer/],
    [
      'too long a prompt',
      ['logits', '--ids', Array(129).fill(1).join(), '--model', llama],
      1,
      /context: 129 tokens needed, 128 available/,
    ],
    ['an id out of range', ['logits', '--ids', '1,99999', '--model', llama], 1, /99999: is not a token id/],
    ['no prompt', ['generate', '--model', llama], 1, /is missing/],
  ] as const)('ends with one clear message for %s', async (_, args, code, message) => {
    const result = await run(args);
    expect(result.err).toMatch(message);
    expect(result.code).toBe(code);
    expect(result.err).not.toMatch(/\n\s+at /);
    expect(result.out).toBe('');
  });

  it('refuses a damaged file by name', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'inkstone-'));
    const file = join(folder, 'broken.gguf');
    writeFileSync(file, Buffer.concat([Buffer.from('GGUF'), Buffer.alloc(40, 0xff)]));
    const { code, err } = await run(['generate', 'x', '--model', file]);
    expect(code).toBe(1);
    expect(err).toMatch(/^error: .*broken\.gguf/);
  });

  it('ends with 130 on Ctrl-C, quietly', async () => {
    const args = ['generate', '--model', llama, '--ids', '1', '--max_new_tokens', '100', '--backend', 'reference'];
    const child = spawn(process.execPath, [program, ...args], { env: { ...process.env, HF_HUB_OFFLINE: '1' } });
    let err = '';
    child.stderr.on('data', (data) => {
      err += data;
    });
    const code = new Promise<number | null>((resolve) => child.on('close', resolve));
    setTimeout(() => child.kill('SIGINT'), 450);
    const ended = await code;
    // A fast machine may be done before the signal comes.
    expect([130, 0]).toContain(ended);
    if (ended === 130) expect(err).toMatch(/interrupted/);
  });

  it('lists models and reports on the machine', async () => {
    const models = JSON.parse((await run(['models', '--json'])).out);
    expect(models.find(({ name }: { name: string }) => name === 'gpt2')).toMatchObject({
      hub: 'openai-community/gpt2',
    });
    expect(JSON.parse((await run(['doctor', '--json'])).out)).toMatchObject({ node: process.version });
  });
});
