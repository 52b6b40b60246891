/** What --explain draws, and the steps of a real generation as it sees them. */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { stepLines, summaryLines } from '../src/cli/explain.ts';
import { columns } from '../src/display.ts';
import { type ExplainedStep, explainer, summarizeSteps } from '../src/generation/explain.ts';
import { generateAll } from '../src/generation/generate.ts';
import { openModel } from '../src/node/open_model.ts';

const steps: ExplainedStep[] = [];

it('explains every step of an answer: the ids, the probabilities and the text are those of the generation', async () => {
  const model = await openModel('tang', { offline: true });
  const settings = { max_new_tokens: 12, seed: 4, do_sample: true, top_k: 20, top_p: 0.9, repetition_penalty: 1.3 };
  const explain = explainer({ top: 6, tokens: [5] });
  const more = { ...settings, num_return_sequences: 2, no_repeat_ngram_size: 2, temperature: 0.8 };
  const [first, second] = await generateAll(model, '春江潮水连海平，', more, {
    onStep: (observed) => void steps.push(explain(observed)),
  });
  const [plain] = await generateAll(model, '春江潮水连海平，', more);
  // Looking changes nothing.
  expect(plain.text).toBe(first.text);
  for (const answer of [first, second]) {
    const own = steps.filter(({ index }) => index === answer.index);
    expect(own.map(({ chosen }) => chosen.id)).toEqual(answer.ids);
    expect(own.map(({ step }) => step)).toEqual(answer.ids.map((_, i) => i));
  }
  for (const { effects, processed, chosen } of steps) {
    expect(effects.map(({ name }) => name)).not.toContain('other');
    expect(effects.at(-1)!.entropy_after).toBeCloseTo(processed.entropy, 5);
    expect(chosen.after.probability).toBeGreaterThan(0);
    expect(processed.count).toBeLessThanOrEqual(20);
  }
  await model.close();
}, 60_000);

it.each([80, 40, 20, 120])('fits %i columns, Chinese or not, and has no colours unless asked', (width) => {
  expect(steps.length).toBeGreaterThan(0);
  const names = ['春', '\n', ' the', '\x1b[31m', '👩‍👩‍👧', ''];
  for (const nameOf of [(id: number) => names[id % names.length], (id: number) => `${'长'.repeat(id % 40)}`]) {
    for (const step of steps) {
      for (const line of stepLines(step, { width, nameOf })) {
        expect(columns(line)).toBeLessThanOrEqual(width);
        // biome-ignore lint/suspicious/noControlCharactersInRegex: none may come through
        expect(line).not.toMatch(/[\x00-\x1f\x7f]/);
      }
      expect(stepLines(step, { width, nameOf, isColoured: true }).join('')).toContain('\x1b[');
    }
  }
  for (const line of summaryLines(summarizeSteps(steps), { width })) expect(columns(line)).toBeLessThanOrEqual(width);
});

const run = fileURLToPath(new URL('../dist/cli/run.js', import.meta.url));
const hasFlag =
  existsSync(run) && spawnSync(process.execPath, [run, 'generate', '--help']).stdout.includes('--explain');
it.skipIf(!hasFlag)('the command gives blocks, JSON and refusals (needs a current dist/)', () => {
  const inkstone = (...args: string[]) =>
    spawnSync(process.execPath, [run, 'generate', '春', '--model', 'tang', '--seed', '1', ...args], {
      encoding: 'utf8',
    });
  const drawn = inkstone('--max_new_tokens', '3', '--do_sample', 'true', '--top_k', '5', '--explain');
  expect(drawn.stdout).toMatch(/^ {3}1 /);
  expect(drawn.stdout).toContain('top_k');
  expect(drawn.stdout).toContain('3 steps: mean entropy');
  for (const line of drawn.stdout.split('\n')) expect(columns(line)).toBeLessThanOrEqual(80);
  const json = JSON.parse(inkstone('--max_new_tokens', '3', '--explain', '--json').stdout);
  expect(json.explanation.steps).toHaveLength(3);
  expect(json.explanation.texts[json.ids[0]]).toBe([...json.text.trimStart()][0]);
  const beams = inkstone('--num_beams', '2', '--explain');
  expect(beams.status).toBe(1);
  expect(beams.stderr).toContain('num_beams = 2');
  expect(inkstone('--explain-tokens', '3').status).toBe(2);
  expect(inkstone('--explain', '--explain-tokens', '999999').stderr).toContain('tokens = 999999');
});
