/** GRPO: the model answers, its answers are rewarded, and what was better than its group becomes more probable. */
import { SettingError } from '../errors.ts';
import { chooseBlockSize, PromptReader } from '../training/examples/index.ts';
import {
  GrpoBatches,
  type GrpoLoss,
  grpoLosses,
  grpoTask,
  type Reward,
  type RewardSpec,
  rewardOf,
  type Sampler,
  toldNames,
} from '../training/grpo/index.ts';
import type { StepBatches } from '../training/loop.ts';
import { AnswerScorer, learningModel, referenceModel } from '../training/preference/index.ts';
import type { TrainingStep } from '../training/step.ts';
import { engineSampler, liveEngine, type SamplerSettings } from './grpo_sampler.ts';
import { type LearningAdapter, learntAdapter } from './tune_adapter.ts';
import { codecOf, type MethodContext, notesOf, type Prepared, readSides } from './tune_context.ts';
import { answerSampler, endsOf } from './tune_sample.ts';

type PolicyBatch = Awaited<ReturnType<GrpoBatches['batch']>>;

export async function rewarded(context: MethodContext): Promise<Prepared<unknown>> {
  const { request, resolved, learner, seed, tokenizer, files, model } = context;
  const { own, training } = resolved;
  const codec = codecOf(context);
  const reader = new PromptReader(codec, { format: request.format as never });
  const sides = await readSides(context, (record) => reader.read(record));
  const rewards = (request.rewards ?? []).map(parseReward);
  if (rewards.length === 0) {
    throw new SettingError('rewards', undefined, 'say what a good answer is: exact, format:EXPRESSION or length:N');
  }
  const num_generations = Number(own.num_generations);
  const max_completion_length = Number(own.max_completion_length);
  const loss_type = (own.loss_type ?? 'grpo') as GrpoLoss;
  if (!grpoLosses.includes(loss_type))
    throw new SettingError('loss_type', loss_type, `must be one of ${grpoLosses.join(', ')}`);
  const limit = model.config.n_positions;
  const longest = [...sides.train, ...sides.validation].reduce((most, { ids }) => Math.max(most, ids.length), 0);
  const block_size = Number(own.block_size ?? chooseBlockSize(longest + max_completion_length, limit));
  const { batch_size, gradient_accumulation_steps } = training;
  const [beta, num_iterations] = [Number(own.beta ?? 0), Number(own.num_iterations)];
  const shape = { rows: batch_size, block_size, answer_size: max_completion_length };
  const temperature = Number(own.temperature);
  const task = grpoTask(learner, {
    ...shape,
    temperature,
    epsilon: Number(own.epsilon),
    beta,
    num_iterations,
    told: toldNames(rewards),
  });
  const settings = {
    batch_size,
    gradient_accumulation_steps,
    num_generations,
    max_completion_length,
    block_size,
    num_iterations,
    loss_type,
    seed,
  };
  // Batches are made by the model as it is: of a step that is there when they are asked for.
  let live: GrpoBatches | null = null;
  const perStep = batch_size * gradient_accumulation_steps;
  const batches: StepBatches<PolicyBatch> = {
    tokensPerStep: perStep * block_size,
    isLive: true,
    batch: (step, micro) => live!.batch(step, micro),
  };
  const prepared: Prepared<PolicyBatch> = {
    task,
    batches,
    evaluation: null,
    steps: (epochs) =>
      Math.max(1, Math.ceil((epochs * sides.train.length * num_generations * num_iterations) / perStep)),
    block_size,
    counts: null,
    tokens: { train: sides.train.reduce((sum, { ids }) => sum + ids.length, 0), validation: 0 },
    files: sides.files,
    lines: [
      ...sides.lines,
      `${num_generations} answers of up to ${max_completion_length} tokens to each`,
      ...notesOf(codec),
    ],
    begin(step, adapter) {
      live = new GrpoBatches(
        {
          prompts: sides.train,
          promptText: ({ ids }) => tokenizer.decode(ids),
          sampler: liveSampler(context, step, adapter, {
            num_generations,
            max_completion_length,
            temperature,
            seed,
            eos_token_id: endsOf(files.generationConfig, tokenizer.special.eos),
            sequences: perStep,
            block_size,
          }),
          rewards,
          ...(num_iterations > 1 ? { scorer: new AnswerScorer(learningModel(step, learner), shape, temperature) } : {}),
          ...(beta > 0 ? { reference: new AnswerScorer(grpoReference(step, context), shape, temperature) } : {}),
        },
        settings,
      );
    },
    sample: (step, adapter) =>
      answerSampler(
        context,
        step,
        adapter,
        [...sides.validation, ...sides.train].slice(0, 16).map(({ ids }) => ids),
      ),
  };
  return prepared;
}

function grpoReference(step: TrainingStep<PolicyBatch>, { learner }: MethodContext) {
  if (learner.frozen.size > 0) return referenceModel(step, learner);
  throw new SettingError(
    'beta',
    'above 0',
    'needs a reference that stands still, which full tuning does not keep: tune an adapter',
  );
}

interface LiveSettings extends SamplerSettings {
  readonly sequences: number;
  readonly block_size: number;
}

/** Answers by the weights as they are when they are asked for; with an adapter, by the adapter as it is then. */
function liveSampler(
  { tokenizer }: MethodContext,
  step: TrainingStep<PolicyBatch>,
  adapter: LearningAdapter | null,
  { sequences, block_size, ...settings }: LiveSettings,
): Sampler {
  const engine = liveEngine(step.model, sequences, block_size);
  const sampler = engineSampler(engine, tokenizer, settings, { adapter: adapter ? 'live' : null });
  return async (prompts, round) => {
    if (adapter) await engine.addAdapter('live', await learntAdapter(step, adapter));
    return sampler(prompts, round);
  };
}

/** `exact`, `exact:FIELD`, `number`, `number:FIELD`, `format:EXPRESSION`, `length:N`, with `*WEIGHT` behind it where it is not 1. */
function parseReward(text: string): Reward {
  const [, body, weight] = /^(.*?)(?:\*(-?\d+(?:\.\d+)?))?$/s.exec(text)!;
  const [, kind, rest] = /^(\w+)(?::(.*))?$/s.exec(body) ?? [];
  const of = (spec: RewardSpec) => rewardOf({ name: kind, ...spec, weight: weight === undefined ? 1 : Number(weight) });
  const field = rest ? { field: rest } : {};
  if (kind === 'exact') return of({ type: 'exact_match', ...field });
  if (kind === 'number')
    return of({ type: 'exact_match', ...field, as_number: true, pattern: '-?\\d[\\d,]*(?:\\.\\d+)?' });
  if (kind === 'format' && rest) return of({ type: 'format', pattern: rest });
  if (kind === 'length' && rest) return of({ type: 'length', max: Number(rest) });
  const known = 'exact, exact:FIELD, number, number:FIELD, format:EXPRESSION or length:N, each with *WEIGHT behind it';
  throw new SettingError('rewards', text, `is no reward: give ${known}`);
}
