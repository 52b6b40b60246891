/** The command line as a user meets it: what it prints, where, and how it ends. Runs the built program. */
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

const program = fileURLToPath(new URL('../dist/cli/run.js', import.meta.url));
const golden = fileURLToPath(new URL('./golden/', import.meta.url));
const llama = join(golden, 'models', 'llama');

interface Result {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

const env = { ...process.env, HF_HUB_OFFLINE: '1' };

/** All that a child prints, and its exit code: null when a signal ended it. */
function collect(child: ChildProcessWithoutNullStreams): Promise<Result> {
  let [out, err] = ['', ''];
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    out += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    err += text;
  });
  return new Promise((resolve) => child.on('close', (code) => resolve({ code, out, err })));
}

function run(args: readonly string[], more: Record<string, string> = {}, input = ''): Promise<Result> {
  const child = spawn(process.execPath, [program, ...args], { env: { ...env, ...more } });
  // A program that ends without reading closes the pipe first.
  child.stdin.on('error', () => {});
  child.stdin.end(input);
  return collect(child);
}

/** The golden LLaMA with a tokenizer: one character for each of its ids. */
function withTokenizer(template?: string): string {
  const folder = mkdtempSync(join(tmpdir(), 'inkstone-'));
  cpSync(llama, folder, { recursive: true });
  const vocab = Object.fromEntries(Array.from({ length: 174 }, (_, i) => [String.fromCodePoint(i + 0x21), i]));
  const model = { type: 'BPE', vocab, merges: [] };
  writeFileSync(join(folder, 'tokenizer.json'), JSON.stringify({ model, added_tokens: [], decoder: { type: 'Fuse' } }));
  if (template !== undefined) writeFileSync(join(folder, 'chat_template.jinja'), template);
  return folder;
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
    ['no prompt', ['generate', '--model', llama], 2, /prompt is missing/],
    ['ids that are none', ['generate', '--ids', '1,x', '--model', llama], 2, /Token ids are whole numbers/],
    [
      'a backend that does not exist',
      ['generate', '--ids', '1', '--model', llama, '--backend', 'x'],
      2,
      /there are native/,
    ],
    ['threads that are no number', ['logits', '--ids', '1', '--model', llama, '--threads', 'two'], 2, /whole number/],
    ['text and ids together', ['logits', '--ids', '1', '--prompt', 'x', '--model', llama], 2, /either/],
    ['a file nearly right', ['inspect', join(llama, 'model.safetensor')], 1, /Did you mean .*model\.safetensors/],
    ['an output that is there', ['convert', llama, golden], 1, /is there already/],
    ['a model without a chat template', ['chat', '--model', llama], 1, /has no chat template/],
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
    const long = ['--do_sample', 'true', '--num_return_sequences', '256', '--max_new_tokens', '120'];
    const args = ['generate', '--model', llama, '--ids', '1', ...long, '--backend', 'reference', '--json'];
    // Before Node itself has started nobody can catch the signal: then it is sent later.
    for (const wait of [500, 1500, 5000, 10_000]) {
      const child = spawn(process.execPath, [program, ...args], { env });
      const result = collect(child);
      const timer = setTimeout(() => child.kill('SIGINT'), wait);
      const { code, out, err } = await result;
      clearTimeout(timer);
      if (code === null) continue;
      expect(code).toBe(130);
      expect(out).toBe('');
      expect(err).not.toMatch(/error|\n\s+at /);
      return;
    }
    expect.fail('the signal always came too early');
  });

  it('ends when its reader has gone', async () => {
    const args = ['logits', '--model', llama, '--ids', Array(120).fill(3).join(), '--json'];
    const child = spawn(process.execPath, [program, ...args], { env });
    child.stdout.once('data', () => child.stdout.destroy());
    const { code, err } = await collect(child);
    expect(code).toBe(0);
    expect(err).toBe('');
  });

  it('ends a conversion on Ctrl-C without leaving anything behind', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'inkstone-'));
    const child = spawn(process.execPath, [program, 'convert', llama, join(folder, 'out.gguf')], { env });
    child.stderr.once('data', () => child.kill('SIGINT'));
    const { code } = await collect(child);
    // The conversion of so small a model may win.
    expect([0, 130]).toContain(code);
    expect(readdirSync(folder)).toEqual(code === 0 ? ['out.gguf'] : []);
  });

  it('prints each of several answers in order, whole', async () => {
    const model = withTokenizer();
    const text = async (...flags: string[]) => (await run(['generate', 'a', 'bc', '--model', model, ...flags])).out;
    const sampled = ['--do_sample', 'true', '--num_return_sequences', '2', '--max_new_tokens', '6', '--seed', '5'];
    const results: { prompt: number; index: number; text: string }[] = JSON.parse(await text(...sampled, '--json'));
    const whole = results
      .map((r) => `--- ${r.prompt + 1}.${r.index + 1}\n${['a', 'bc'][r.prompt]}${r.text}\n`)
      .join('\n');
    expect(await text(...sampled)).toBe(whole);
    const alone = await run(['generate', 'a', '--model', model, '--max_new_tokens', '6', '--no-prompt']);
    const json = await run(['generate', 'a', '--model', model, '--max-new-tokens=6', '--json']);
    expect(alone.out).toBe(`${JSON.parse(json.out).text}\n`);
  });

  it('talks turn by turn from a pipe, and says by its exit code that a turn failed', async () => {
    const model = withTokenizer('{% for m in messages %}{{ m.content }}{% endfor %}');
    const saved = join(model, 'said.json');
    const lines = ['hi', '/set temperature 0.5', '/set', `/save ${saved}`, '/reset', 'a'].join('\n');
    const args = ['chat', '--model', model, '--max_new_tokens', '4', '--seed', '1', '--json'];
    const good = await run(args, {}, lines);
    expect(good.code, good.err).toBe(0);
    const answers = good.out
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(answers).toMatchObject([{ role: 'assistant', tokens: 4 }, { finish_reason: 'length' }]);
    expect(good.err).toContain('"temperature":0.5');
    const messages = JSON.parse(readFileSync(saved, 'utf8'));
    expect(messages).toEqual([
      { role: 'user', content: 'hi' },
      { role: 'assistant', content: answers[0].content },
    ]);
    const bad = await run(args, {}, '/set temperature -1\n/nonsense\nhi\n');
    expect(bad.code).toBe(1);
    expect(bad.err).toMatch(/error: temperature = -1.*\nerror: command = "\/nonsense"/);
    expect(bad.out).not.toBe('');
  });

  it('prints the best tokens of a position', async () => {
    const args = ['logits', '--model', llama, '--ids', '1,2', '--last', '--top', '3'];
    const { ids, positions, top } = JSON.parse((await run([...args, '--json'])).out);
    expect({ ids, positions }).toEqual({ ids: [1, 2], positions: [1] });
    expect(top[0].length).toBe(3);
    expect((await run(args)).out.trim().split('\n').length).toBe(4);
  });

  it('lists models and reports on the machine', async () => {
    const models = JSON.parse((await run(['models', '--json'])).out);
    expect(models.find(({ name }: { name: string }) => name === 'gpt2')).toMatchObject({
      hub: 'openai-community/gpt2',
    });
    expect(JSON.parse((await run(['doctor', '--json'])).out)).toMatchObject({ node: process.version });
  });
});
