/**
 * Optimisers as graphs: from gradients to parameters changed in place. All of them share the clipping of the gradients' norm and
 * refuse a step whose norm is not a finite number below a limit.
 */
import type { ParameterSpec } from '../models/parameters.ts';
import { f, type Tensor } from '../tensor/index.ts';
import type { TrainingDefaults } from './presets.ts';

export interface OptimizerSettings
  extends Pick<TrainingDefaults, 'optimizer' | 'beta1' | 'beta2' | 'eps' | 'momentum' | 'weight_decay' | 'grad_clip'> {
  /** What decays: matrices and embeddings (default), or norms and biases too. */
  readonly decay?: 'matrices' | 'all';
}

/** What changes from step to step, as inputs of the plan. */
export interface StepRates {
  /** (3): the learning rate, and 1 - beta^t for both betas of AdamW. */
  readonly rates: Tensor;
  /** (1): the rate of what AdamW does not learn: all with SGD, the matrices of layers with Muon. */
  readonly rate: Tensor;
  /** (1): a norm above it is an explosion, and the step is not made. */
  readonly limit: Tensor;
}

export function rateInputs(): StepRates {
  return {
    rates: f.input('rates', 'f32', [3]),
    rate: f.input('rate', 'f32', [1]),
    limit: f.input('limit', 'f32', [1]),
  };
}

/** A buffer of the optimiser's own, of a parameter's shape. */
export interface StateSpec {
  readonly name: string;
  readonly shape: readonly number[];
}

/** How a parameter is learnt. */
export type Rule = 'adamw' | 'muon' | 'sgd';

/** Muon is for matrices inside layers (Jordan et al. 2024); embeddings, head and vectors stay with AdamW. */
export function ruleOf({ optimizer }: Pick<OptimizerSettings, 'optimizer'>, { name, shape }: ParameterSpec): Rule {
  if (optimizer !== 'muon') return optimizer;
  return /^layers\..*\.weight$/.test(name) && shape.length >= 2 ? 'muon' : 'adamw';
}

/** Decay is for matrices and embeddings, not for norms and biases (of experts too, which have two dimensions), unless it is for all. */
export function decayOf(
  { weight_decay, decay }: Pick<OptimizerSettings, 'weight_decay' | 'decay'>,
  { name, shape }: ParameterSpec,
): number {
  if (decay === 'all') return weight_decay;
  return shape.length >= 2 && name.endsWith('.weight') ? weight_decay : 0;
}

/** The buffers that an optimiser keeps for a parameter. */
export function stateSpecs(settings: OptimizerSettings, spec: ParameterSpec): StateSpec[] {
  const names = { adamw: ['exp_avg', 'exp_avg_sq'], muon: ['momentum_buffer'], sgd: ['momentum_buffer'] };
  return names[ruleOf(settings, spec)].map((name) => ({ name: `${name}.${spec.name}`, shape: spec.shape }));
}

export interface Update {
  /** The norm of all gradients together, before clipping: (1). */
  readonly norm: Tensor;
  /** The changed parameters and buffers. */
  readonly changed: Readonly<Record<string, Tensor>>;
}

/** The update of all parameters. Gradients in the order of `specs`. */
export function updateGraph(
  settings: OptimizerSettings,
  specs: readonly ParameterSpec[],
  parameters: readonly Tensor[],
  grads: readonly Tensor[],
  { rates, rate, limit }: StepRates,
): Update {
  const norm = f.sqrt(f.sumSquares(grads)); // (1)
  const clip = settings.grad_clip > 0 ? settings.grad_clip : Number.POSITIVE_INFINITY;
  // As torch.nn.utils.clip_grad_norm_: min(1, clip / (norm + 1e-6)).
  const clipped =
    clip === Number.POSITIVE_INFINITY
      ? f.constant([1], [1])
      : f.minimum(f.div(f.constant([clip], [1]), f.affine(norm, 1, 1e-6)), f.constant([1], [1]));
  // NaN unless norm <= limit: NaN and infinity are not below any limit.
  const isSound = f.greater(f.affine(limit, 1, 0), norm);
  const scale = f.where(isSound, clipped, f.constant([Number.NaN], [1]));
  const guard = f.where(isSound, f.constant([1], [1]), f.constant([Number.NaN], [1]));

  const changed: Record<string, Tensor> = {};
  specs.forEach((spec, i) => {
    const [p, grad] = [parameters[i], grads[i]];
    const state = stateSpecs(settings, spec).map(({ name, shape }) => f.parameter(name, 'f32', shape));
    const weightDecay = decayOf(settings, spec);
    switch (ruleOf(settings, spec)) {
      case 'adamw': {
        const [m, v] = state;
        const { beta1, beta2, eps } = settings;
        changed[spec.name] = f.adamw({ p, m, v }, grad, scale, rates, { beta1, beta2, eps, weightDecay });
        break;
      }
      case 'sgd': {
        // torch.optim.SGD: the buffer is momentum * buffer + gradient.
        const buffer = f.momentum(state[0], grad, scale, { keep: settings.momentum, take: 1 });
        changed[spec.name] = f.descend(p, buffer, guard, rate, { factor: 1, weightDecay });
        break;
      }
      case 'muon': {
        const keep = settings.momentum;
        const buffer = f.momentum(state[0], grad, scale, { keep, take: 1 - keep });
        // Nesterov: the gradient once more, as if the buffer had already moved on.
        const ahead = f.add(f.affine(f.mul(grad, scale), 1 - keep, 0), f.affine(buffer, keep, 0));
        const [rows, columns] = spec.shape.slice(-2);
        const factor = Math.sqrt(Math.max(1, rows / columns));
        changed[spec.name] = f.descend(p, orthogonalise(ahead), guard, rate, { factor, weightDecay });
      }
    }
  });
  return { norm, changed };
}

/** Coefficients of the quintic iteration that Muon uses (Jordan et al. 2024): fast where singular values are small, within 0.3 of 1 at the end. */
const [A, B, C] = [3.4445, -4.775, 2.0315];
const ITERATIONS = 5;

/** The nearest matrix with singular values near 1, by Newton-Schulz iteration: x (…, R, C), the last two dimensions. */
function orthogonalise(x: Tensor): Tensor {
  const [rows, columns] = x.shape.slice(-2) as number[];
  const wide = rows <= columns;
  const length = f.sqrt(f.sum(f.square(x), x.rank - 2, x.rank)); // (…, 1, 1)
  let y = f.div(x, f.affine(length, 1, 1e-7));
  for (let i = 0; i < ITERATIONS; i++) {
    const gram = wide ? f.matmul(y, y, false, true) : f.matmul(y, y, true, false); // the smaller of y·yᵀ and yᵀ·y
    const powers = f.add(f.affine(gram, B, 0), f.affine(f.matmul(gram, gram), C, 0));
    y = f.add(f.affine(y, A, 0), wide ? f.matmul(powers, y) : f.matmul(y, powers));
  }
  return y;
}
