/**
 * What is made small, from log-probabilities of answers: all tensors (P), one number for each pair or example. Sums over a batch, with
 * their weights, are the tasks'.
 */
import { f, type Tensor } from '../../tensor/index.ts';

/** -log sigmoid(x) = log(1 + e^-x), without overflow, and with the gradient -1/2 at 0, where training begins. */
export function negLogSigmoid(x: Tensor): Tensor {
  const below = f.relu(f.neg(x));
  // |x| as 2 max(-x, 0) + x: the same side of the corner at 0 in both terms.
  const size = f.add(f.affine(below, 2, 0), x);
  return f.add(below, f.log(f.affine(f.exp(f.neg(size)), 1, 1)));
}

/** The greatest log-probability of which odds are taken: 1 - e^x is 0 in float32 soon after. */
const ALMOST_CERTAIN = -1e-6;

/** log(p / (1 - p)) of log p <= 0. */
export function logOdds(logP: Tensor): Tensor {
  const x = f.clamp(logP, Number.NEGATIVE_INFINITY, ALMOST_CERTAIN);
  // 1 - e^x = -2 t / (1 - t) with t = tanh(x / 2), which loses nothing for small x.
  const t = f.tanh(f.affine(x, 0.5, 0));
  return f.sub(x, f.sub(f.log(f.affine(t, -2, 0)), f.log(f.affine(t, -1, 1))));
}

/** Log-probabilities of both answers under the policy and under the reference: sums over answers, or means where a loss says so. */
export interface PairLogProbs {
  readonly chosen: Tensor;
  readonly rejected: Tensor;
}

/** log π(y|x) - log π_ref(y|x) of the chosen answer less that of the rejected. */
export function logRatioMargin(policy: PairLogProbs, reference: PairLogProbs): Tensor {
  return f.sub(f.sub(policy.chosen, reference.chosen), f.sub(policy.rejected, reference.rejected));
}

/**
 * DPO (Rafailov et al. 2023, equation 7): -log sigmoid(beta * margin). With label smoothing e, the share of pairs that are the wrong way
 * round: (1 - e) of that and e of the loss of the reversed pair (conservative DPO, Mitchell 2023).
 */
export function dpoLoss(margin: Tensor, beta: number, label_smoothing = 0): Tensor {
  const x = f.affine(margin, beta, 0);
  const loss = negLogSigmoid(x);
  if (label_smoothing === 0) return loss;
  return f.add(f.affine(loss, 1 - label_smoothing, 0), f.affine(negLogSigmoid(f.neg(x)), label_smoothing, 0));
}

/** IPO (Azar et al. 2023, equation 17): (margin - 1 / (2 beta))², the margin of means per token, as trl has it. */
export function ipoLoss(margin: Tensor, beta: number): Tensor {
  return f.square(f.affine(margin, 1, -1 / (2 * beta)));
}

/** ORPO's second part (Hong et al. 2024, equation 7): -log sigmoid(log odds of chosen - log odds of rejected), of means per token. */
export function oddsRatioLoss({ chosen, rejected }: PairLogProbs): { readonly loss: Tensor; readonly ratio: Tensor } {
  const ratio = f.sub(logOdds(chosen), logOdds(rejected));
  return { loss: negLogSigmoid(ratio), ratio };
}

/**
 * KTO (Ethayarajh et al. 2024, equation 8, without the constant): 1 - sigmoid(beta (r - z)) of what is desirable, 1 - sigmoid(beta (z - r))
 * of what is not, times its weight.
 * @param ratio r = log π(y|x) - log π_ref(y|x): (P).
 * @param kl z, to which no gradient goes: (1).
 * @param sign 1 of what is desirable, -1 of what is not: (P).
 */
export function ktoLoss(ratio: Tensor, kl: Tensor, sign: Tensor, beta: number): Tensor {
  const gain = f.mul(f.sub(ratio, kl), sign);
  return f.sigmoid(f.affine(gain, -beta, 0));
}
