/** What is done alike in Node and in the browser: 20 steps of a nano model, then a few tokens of it. */
import type { Backend } from '../../src/backends/backend.ts';
import { startTraining } from '../../src/browser/train.ts';
import { generateAll } from '../../src/generation/index.ts';

const texts = Array.from(
  { length: 40 },
  (_, i) =>
    `${'春江潮水连海平，海上明月共潮生。\n滟滟随波千万里，何处春江无月明！\n'.slice(i % 7)}The ${i}th tide of ${40 - i} comes in.\n`,
);

export interface Learned {
  readonly backend: string;
  readonly losses: readonly number[];
  readonly norms: readonly number[];
  readonly evaluations: readonly number[];
  readonly ids: readonly number[];
  readonly text: string;
  /** Of model.safetensors. */
  readonly sha256: string;
}

/** How the model continues what, as it is trained and as it is opened later. */
export const prompt = '春江';
export const generation = { max_new_tokens: 24, min_new_tokens: 24, do_sample: true, temperature: 0.9, seed: 5 };

export type Files = ReadonlyMap<string, Uint8Array<ArrayBuffer>>;

export async function learn(backend: Backend, keep?: (files: Files) => void): Promise<Learned> {
  const { name, variant, threads } = backend.info;
  const run = await startTraining({
    texts,
    backend,
    fields: { max_steps: 20, batch_size: 4, warmup_steps: 2, learning_rate: 3e-3, dropout: 0.1 },
    seed: 3,
    eval_every: 10,
  });
  const [losses, norms, evaluations]: number[][] = [[], [], []];
  for await (const event of run.events()) {
    if (event.type === 'evaluation') evaluations.push(event.loss);
    if (event.type !== 'step') continue;
    losses.push(event.loss);
    norms.push(event.grad_norm);
  }
  const [{ ids, text }] = await generateAll(run.model, prompt, generation);
  const files = await run.files();
  const digest = await crypto.subtle.digest('SHA-256', files.get('model.safetensors')!);
  const sha256 = Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, '0')).join('');
  keep?.(files);
  await backend.close();
  return { backend: `${name} ${variant} ${threads}`, losses, norms, evaluations, ids, text, sha256 };
}
