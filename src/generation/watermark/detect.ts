/** Whether a text carries a green-list watermark (Kirchenbauer et al. 2023), as transformers' `WatermarkDetector` says. */
import { SettingError } from '../../errors.ts';
import { erf } from '../../tensor/ops/elementwise.ts';
import { completeWatermark, type GreenListConfig, isSynthId, problemWithWatermark } from './config.ts';
import { GreenLists } from './green.ts';

export interface WatermarkDetectorOptions {
  /** A text counts each run of tokens once. */
  readonly ignore_repeated_ngrams?: boolean;
  /** Standard deviations above which a text counts as marked; 3 unless given. */
  readonly z_threshold?: number;
  /** A beginning of text that does not count. */
  readonly bos_token_id?: number | null;
}

export interface WatermarkDetection {
  readonly num_tokens_scored: number;
  readonly num_green_tokens: number;
  readonly green_fraction: number;
  readonly z_score: number;
  /** Chance that a text without a mark has as many green tokens. */
  readonly p_value: number;
  readonly prediction: boolean;
  readonly confidence: number;
}

/**
 * Whether a text has green tokens beyond chance: a z-test of their share.
 * @param ids the text without its prompt, which knows nothing of the mark.
 * @param config as `watermarking_config` of the generation: missing parts are the defaults.
 * @param vocabSize the model's.
 * @throws SettingError for a config that is none, ids outside the vocabulary, and a text too short to judge.
 */
export function detectWatermark(
  ids: readonly number[],
  config: Partial<GreenListConfig>,
  vocabSize: number,
  options: WatermarkDetectorOptions = {},
): WatermarkDetection {
  const problem = problemWithWatermark(config);
  if (problem) throw new SettingError('watermarking_config', config, problem);
  const full = completeWatermark(config);
  if (isSynthId(full)) {
    throw new SettingError('watermarking_config', config, 'is of SynthID, whose detector is a model to be trained');
  }
  const { ignore_repeated_ngrams = false, z_threshold = 3, bos_token_id = null } = options;
  const outside = ids.find((id) => !Number.isInteger(id) || id < 0 || id >= vocabSize);
  if (outside !== undefined) throw new SettingError('ids', outside, `has to be token ids from 0 to ${vocabSize - 1}`);
  const text = bos_token_id !== null && ids[0] === bos_token_id ? ids.slice(1) : ids;
  const { context_width: width, greenlist_ratio: ratio, seeding_scheme } = full;
  if (text.length - width < 1) {
    throw new SettingError(
      'ids',
      text.length,
      `has to be at least ${width + 1} tokens, context_width and one to judge`,
    );
  }
  const isSelf = seeding_scheme === 'selfhash';
  const n = width + (isSelf ? 0 : 1);
  const lists = new GreenLists(full, vocabSize);
  const seen = new Map<string, boolean>();
  let scored = 0;
  let greens = 0;
  for (let i = 0; i + n <= text.length; i++) {
    const run = text.slice(i, i + n);
    const key = run.join();
    let isGreen = seen.get(key);
    if (isGreen !== undefined && ignore_repeated_ngrams) continue;
    if (isGreen === undefined) {
      isGreen = lists.isGreen(isSelf ? run : run.slice(0, -1), run[n - 1]);
      seen.set(key, isGreen);
    }
    scored++;
    if (isGreen) greens++;
  }
  const z_score = (greens - ratio * scored) / Math.sqrt(scored * ratio * (1 - ratio));
  const p_value = 0.5 * (1 - erf(z_score * Math.SQRT1_2));
  return {
    num_tokens_scored: scored,
    num_green_tokens: greens,
    green_fraction: greens / scored,
    z_score,
    p_value,
    prediction: z_score > z_threshold,
    confidence: 1 - p_value,
  };
}
