/**
 * Fine-tuning with a task head: L3 = L2 + λ L1 (Radford et al. 2018, equation 5), the likelihood of the classes and, as an auxiliary
 * objective, that of the sequences' own tokens.
 */
import { SettingError } from '../../errors.ts';
import { decoderHead, decoderNormed, type ParameterLookup } from '../../models/decoder.ts';
import { HEAD_WEIGHT, type HeadShape, headLogits, headSpec, sequencesOf } from '../../models/heads.ts';
import type { DecoderConfig, ModelParameter } from '../../models/index.ts';
import { f, type Tensor } from '../../tensor/index.ts';
import { IGNORED } from '../data/batch.ts';
import { dropoutSites } from '../dropout.ts';
import { type Learner, type Pass, trainingStates } from '../learner.ts';
import type { Objective } from '../objective.ts';
import type { TaskInputs, TrainingTask } from '../task.ts';
import { type HeadBatch, type HeadBatchSettings, headSlots } from './batch.ts';

export interface HeadTaskSettings extends HeadBatchSettings {
  readonly head: HeadShape;
  /** λ, the weight of the tokens' own likelihood: 0.5 in GPT-1. With 0 it is not computed. Default 0.5. */
  readonly lm_coef?: number;
  /** Dropout of the state that the head reads: 0.1 in GPT-1. Default 0. */
  readonly head_dropout?: number;
}

/** Nothing of the model learns: the head alone will. */
export function frozenLearner(config: DecoderConfig, frozen: ReadonlyMap<string, ModelParameter>): Learner {
  return { config, specs: [], frozen, places: 0, pass: () => ({}) };
}

/** What a batch is in the graph. */
interface HeadTensors {
  readonly tokens: Tensor;
  readonly positions: Tensor;
  readonly firstKeys: Tensor;
  /** (E, S): see `HeadBatch`. */
  readonly extracts: Tensor;
  /** (E, S): added to the scores of multiple choice. */
  readonly absent: Tensor | null;
}

/** Stands for a choice that is not there: its probability is 0 and no gradient comes from it. */
const ABSENT = -1e30;

/** The places of tokens as inputs of a graph. */
export function headInputs({ head, batch_size, block_size, packing }: HeadTaskSettings): HeadTensors {
  const [rows, examples] = [
    [batch_size, block_size],
    [headSlots(head, { batch_size, block_size, packing }), sequencesOf(head)],
  ];
  return {
    tokens: f.input('tokens', 'i32', rows),
    positions: f.input('positions', 'i32', rows),
    firstKeys: f.input('first_keys', 'i32', rows),
    extracts: f.input('extracts', 'i32', examples),
    absent: head.kind === 'multiple_choice' ? f.input('absent', 'f32', examples) : null,
  };
}

/** The data of `headInputs`. */
export function headData(head: HeadShape, { tokens, positions, first_keys, extracts, present }: HeadBatch): TaskInputs {
  const absent = () => Float32Array.from(present, (is) => (is ? 0 : ABSENT));
  return { tokens, positions, first_keys, extracts, ...(head.kind === 'multiple_choice' ? { absent: absent() } : {}) };
}

interface HeadStates {
  /** (E, classes). */
  readonly logits: Tensor;
  /** What the vocabulary's head reads: (B, T, C); null where only the states of extract tokens are made. */
  readonly states: Tensor | null;
  readonly boundaries: readonly Tensor[];
}

/** From a batch to the scores of its classes. */
export function headPass(
  config: DecoderConfig,
  parameter: ParameterLookup,
  { head }: Pick<HeadTaskSettings, 'head'>,
  batch: HeadTensors,
  pass: Pass,
  wholeStates: boolean,
  drop: (x: Tensor) => Tensor = (x) => x,
): HeadStates {
  const { hidden, boundaries } = trainingStates(config, parameter, batch, pass); // (B, T, C)
  const C = config.n_embd;
  const [B, T] = hidden.shape as number[];
  const norm = (x: Tensor) => decoderNormed(config, parameter, x);
  const extract = (x: Tensor) => f.gather(f.reshape(x, [B * T, C]), batch.extracts); // (E, S, C)
  const states = wholeStates ? norm(hidden) : null;
  const chosen = states ? extract(states) : norm(extract(hidden));
  const weight = parameter(HEAD_WEIGHT);
  if (!weight) throw new Error(`a task head needs the parameter "${HEAD_WEIGHT}"`);
  return { logits: headLogits(head, weight, drop(chosen), batch.absent), states, boundaries };
}

/**
 * A task that learns a head, and with it what the learner says: a whole model, an adapter, or nothing (`frozenLearner`). What counts are
 * examples; `measured` is the mean -log P of their classes, and `accuracy` is told as a metric (and `lm_loss`, with lm_coef).
 * @throws SettingError for settings that cannot be.
 */
export function headTask(learner: Learner, settings: HeadTaskSettings): TrainingTask<HeadBatch> {
  const { config } = learner;
  const { head, lm_coef = 0.5, head_dropout = 0, batch_size, block_size } = settings;
  if (!(lm_coef >= 0 && lm_coef < Number.POSITIVE_INFINITY))
    throw new SettingError('lm_coef', lm_coef, 'must be a number from 0');
  if (!(head_dropout >= 0 && head_dropout < 1))
    throw new SettingError('head_dropout', head_dropout, 'must be from 0 to below 1');
  if (block_size > config.n_positions)
    throw new SettingError('block_size', block_size, `is more than the model's ${config.n_positions} positions`);
  const E = headSlots(head, settings);
  const places = learner.places + (head_dropout > 0 ? 1 : 0);
  return {
    config,
    specs: [...learner.specs, headSpec(config, head)],
    frozen: learner.frozen,
    places,
    isLikelihood: false,
    objective(parameter, keys): Objective {
      const part = (from: number, to: number) => (keys && to > from ? f.slice(keys, 0, from, to) : null);
      const pass = learner.pass(parameter, part(0, learner.places));
      const headKeys = part(learner.places, places);
      const drop = headKeys ? dropoutSites(head_dropout, headKeys) : undefined;
      const batch = headInputs(settings);
      const { logits, states, boundaries } = headPass(config, parameter, settings, batch, pass, lm_coef > 0, drop);
      const labels = f.input('labels', 'i32', [E]);
      const weights = f.input('weights', 'f32', [E]);
      const total = (x: Tensor) => f.reshape(f.sum(f.mul(x, weights), 0), [1]);
      const measured = total(f.crossEntropy(logits, labels));
      const own = f.takeLast(logits, f.reshape(labels, [E, 1])); // (E, 1)
      const wrong = f.greater(f.max(logits), own); // (E, 1)
      const accuracy = total(f.reshape(f.affine(wrong, -1, 1), [E]));
      if (!states) return { measured, loss: measured, metrics: { accuracy }, boundaries };
      const shape = [batch_size, block_size];
      const words = decoderHead(config, parameter, states, pass.maps); // (B, T, V)
      const losses = f.crossEntropy(words, f.input('targets', 'i32', shape), IGNORED); // (B, T)
      const lm_loss = f.reshape(f.sum(f.mul(losses, f.input('target_weights', 'f32', shape)), 0, 2), [1]);
      return {
        measured,
        loss: f.add(measured, f.affine(lm_loss, lm_coef, 0)),
        metrics: { accuracy, lm_loss },
        boundaries,
      };
    },
    count: ({ count }) => count,
    inputs(batch, weight) {
      const { labels, targets, count, target_count } = batch;
      const weights = new Float32Array(labels.length).fill(weight, 0, count);
      const inputs = { ...headData(head, batch), labels, weights };
      if (lm_coef === 0) return inputs;
      // All tokens of a batch together count as much as all its examples: their mean, as in GPT-1.
      const each = target_count > 0 ? (weight * count) / target_count : 0;
      const target_weights = new Float32Array(targets.length);
      for (let i = 0; i < targets.length; i++) target_weights[i] = targets[i] === IGNORED ? 0 : each;
      return { ...inputs, targets, target_weights };
    },
  };
}
