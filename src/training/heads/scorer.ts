/** Scores of classes by a model with a head: packed rows through one plan, without a cache. */
import type { Backend, LoadedPlan } from '../../backends/backend.ts';
import { type HeadShape, sequencesOf } from '../../models/heads.ts';
import type { ModelParameter } from '../../models/index.ts';
import { compile, f, type Precision, type Tensor } from '../../tensor/index.ts';
import type { TaskExample } from '../examples/example.ts';
import type { Learner } from '../learner.ts';
import { fitTaskExamples, type HeadBatchSettings } from './batch.ts';
import { HeadEvaluation } from './batches.ts';
import { headData, headInputs, headPass } from './task.ts';

export interface HeadScorerOptions extends HeadBatchSettings {
  readonly head: HeadShape;
  /** `fast` quantises activations before products with quantised weights. Default `exact`. */
  readonly precision?: Precision;
}

export class HeadScorer {
  private readonly plans = new Map<number, LoadedPlan>();

  /**
   * @param learner what learnt the model, which says how rows pass it: of a whole model, an adapter, or a head alone.
   * @param parameters all of them: the model's, an adapter's, and `score.weight`. They stay as long as this is used.
   */
  constructor(
    private readonly backend: Backend,
    private readonly learner: Pick<Learner, 'config' | 'pass'>,
    private readonly parameters: ReadonlyMap<string, ModelParameter>,
    private readonly options: HeadScorerOptions,
  ) {}

  /**
   * The scores of each example, before the softmax: (classes), or one for each choice. An example's scores do not depend on what is
   * scored beside it.
   * @throws as `fitTaskExamples`; labels have to be classes but are not used.
   */
  async scores(
    examples: readonly TaskExample[],
    progress?: (done: number, total: number) => void,
  ): Promise<Float32Array[]> {
    if (examples.length === 0) return [];
    const { head } = this.options;
    const { examples: fitted } = fitTaskExamples(head, examples, this.options);
    const settings = this.sizesFor(fitted);
    const set = new HeadEvaluation(fitted, { ...settings, head });
    const plan = this.planOf(settings.batch_size);
    const scores: Float32Array[] = [];
    for (let i = 0; i < set.count; i++) {
      const batch = set.batch(i);
      const { logits } = await plan.run({ inputs: headData(head, batch) });
      for (let e = 0; e < batch.count; e++) {
        const choices = fitted[scores.length].sequences.length;
        const width = head.kind === 'multiple_choice' ? choices : head.classes;
        scores.push((logits as Float32Array).slice(e * head.classes, e * head.classes + width));
      }
      progress?.(scores.length, fitted.length);
    }
    return scores;
  }

  /** Few examples take a batch of few rows. */
  private sizesFor(examples: readonly TaskExample[]): HeadBatchSettings {
    const { batch_size, block_size, packing } = this.options;
    const sequences = examples.reduce((sum, example) => sum + example.sequences.length, 0);
    const least = sequencesOf(this.options.head);
    return { block_size, packing, batch_size: sequences <= least ? Math.min(batch_size, least) : batch_size };
  }

  private planOf(batch_size: number): LoadedPlan {
    let plan = this.plans.get(batch_size);
    if (plan) return plan;
    const { head, block_size, packing, precision } = this.options;
    const sizes = { head, batch_size, block_size, packing };
    const tensors = new Map<string, Tensor>();
    for (const [name, { dtype, shape }] of this.parameters) tensors.set(name, f.parameter(name, dtype, shape));
    const lookup = (name: string) => tensors.get(name);
    const pass = this.learner.pass(lookup, null);
    const { logits } = headPass(this.learner.config, lookup, sizes, headInputs(sizes), pass, false);
    const buffers = Object.fromEntries([...this.parameters].map(([name, { buffer }]) => [name, buffer]));
    plan = this.backend.load(compile({ logits }, { precision }), buffers);
    this.plans.set(batch_size, plan);
    return plan;
  }
}

/** Probabilities of scores. */
export function probabilities(scores: Float32Array): number[] {
  const most = scores.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
  const powers = Array.from(scores, (score) => Math.exp(score - most));
  const total = powers.reduce((a, b) => a + b, 0);
  return powers.map((power) => power / total);
}
