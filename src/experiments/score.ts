/** What a model says of a text that is there: how probable it finds its tokens, and how open each choice was under some settings. */
import type { Engine } from '../generation/engine.ts';
import { buildProcessors } from '../generation/processors.ts';
import { exponential, logTotal } from '../generation/rows.ts';
import type { GenerationSettings, Scores } from '../generation/types.ts';

export interface TextScore {
  /** Mean log-probability of the new tokens under the model's own distribution, in nats. */
  readonly log_likelihood: number;
  /** Mean entropy of the distribution after the settings' processors, in nats. */
  readonly entropy: number;
}

/** Tokens whose scores are brought back at once: a row may be a megabyte. */
const CHUNK = 32;

/**
 * @param settings of the answer. Their processors act on the model's scores at each place of the text as it stands; grammars, guidance and
 *   what else changes scores outside the chain of processors is not counted.
 * @param adapter of the engine that computes it.
 */
export async function scoreText(
  engine: Engine,
  promptIds: readonly number[],
  ids: readonly number[],
  settings: GenerationSettings,
  adapter: string | null = null,
): Promise<TextScore> {
  const V = engine.model.config.vocab_size;
  const processors = buildProcessors(settings);
  // Row i speaks of token i + 1: the prompt's last token is the first whose scores count.
  const inputs = [promptIds[promptIds.length - 1], ...ids.slice(0, -1)];
  const tokens = [...promptIds];
  const sequence = engine.sequence(promptIds.slice(0, -1), adapter);
  let [likelihood, entropy] = [0, 0];
  try {
    if (sequence.pending > 0) await engine.step([{ sequence, logits: 'none' }]);
    for (let from = 0; from < inputs.length; from += CHUNK) {
      const part = inputs.slice(from, from + CHUNK);
      sequence.append(part);
      const [{ logits: rows }] = await engine.step([{ sequence, logits: 'all' }]);
      for (let i = 0; i < part.length; i++) {
        const scores = rows.subarray(i * V, (i + 1) * V);
        const token = ids[from + i];
        likelihood += logProbability(scores, token);
        for (const process of processors) process(scores, { tokens, promptLength: promptIds.length });
        entropy += entropyOf(scores);
        tokens.push(token);
      }
    }
  } finally {
    sequence.free();
  }
  return { log_likelihood: likelihood / ids.length, entropy: entropy / ids.length };
}

function greatestOf(scores: Scores): number {
  let greatest = Number.NEGATIVE_INFINITY;
  for (let i = 0; i < scores.length; i++) if (scores[i] > greatest) greatest = scores[i];
  return greatest;
}

function logProbability(scores: Scores, token: number): number {
  const greatest = greatestOf(scores);
  return scores[token] - greatest - logTotal(scores, greatest);
}

/** -Σ p ln p, in nats. */
export function entropyOf(scores: Scores): number {
  const greatest = greatestOf(scores);
  let [total, sum] = [0, 0];
  for (let i = 0; i < scores.length; i++) {
    const below = scores[i] - greatest;
    if (!(below > Number.NEGATIVE_INFINITY)) continue;
    const weight = below === 0 ? 1 : exponential(below);
    total += weight;
    sum += weight * below;
  }
  return total > 0 ? Math.max(0, Math.log(total) - sum / total) : 0;
}
