/** Answers of a model that is being tuned, to prompts that are not in its training data where there are such. */
import { generateAll } from '../generation/generate.ts';
import type { LoopHost } from '../training/loop.ts';
import type { TrainingStep } from '../training/step.ts';
import { liveEngine } from './grpo_sampler.ts';
import { type LearningAdapter, learntAdapter } from './tune_adapter.ts';
import type { MethodContext } from './tune_context.ts';

const TOKENS = 80;
const LONGEST_PROMPT = 512;

/** @param prompts one of them is answered each time, in turn. */
export function answerSampler<B>(
  { model: base, tokenizer, files, request }: MethodContext,
  step: TrainingStep<B>,
  adapter: LearningAdapter | null,
  prompts: readonly Int32Array[],
): LoopHost['sample'] {
  const context = Math.min(base.config.n_positions, LONGEST_PROMPT + TOKENS);
  const fitting = prompts.filter(({ length }) => length > 0 && length + 1 <= context);
  if (fitting.length === 0 || request.sample_every === 0) return undefined;
  let engine: ReturnType<typeof liveEngine> | null = null;
  let turn = 0;
  return async () => {
    engine ??= liveEngine(step.model, 1, context);
    const prompt = fitting[turn++ % fitting.length];
    if (adapter) await engine.addAdapter('live', await learntAdapter(step, adapter));
    const model = { engine, tokenizer, chatTemplate: null, generationConfig: {} };
    const settings = {
      max_new_tokens: Math.min(TOKENS, context - prompt.length),
      do_sample: false,
      eos_token_id: endsOf(files.generationConfig, tokenizer.special.eos),
    };
    const [answer] = await generateAll(model, Array.from(prompt), settings, { adapter: adapter ? 'live' : null });
    return { prompt: tokenizer.decode(prompt), text: answer.text };
  };
}

/** The ids that end an answer. */
export function endsOf({ eos_token_id }: Readonly<Record<string, unknown>>, eos: number | undefined): number[] {
  const given = Array.isArray(eos_token_id) ? eos_token_id : [eos_token_id];
  const ids = [...given, eos].filter((id) => typeof id === 'number');
  return [...new Set(ids)];
}
