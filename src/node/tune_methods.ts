/** The methods of fine-tuning by their names. */
import type { TuneMethod } from '../training/tuning_fields.ts';
import { classified } from './tune_classify.ts';
import type { MethodContext, Prepared } from './tune_context.ts';
import { rewarded } from './tune_grpo.ts';
import { labelled, pairs } from './tune_preferences.ts';
import { supervised } from './tune_supervised.ts';

const methods: Readonly<Record<TuneMethod, (context: MethodContext) => Promise<Prepared<unknown>>>> = {
  sft: supervised,
  dpo: pairs,
  orpo: pairs,
  kto: labelled,
  grpo: rewarded,
  classify: classified,
};

/** @throws as `openTuning`. */
export function prepareMethod(context: MethodContext): Promise<Prepared<unknown>> {
  return methods[context.request.method](context);
}
