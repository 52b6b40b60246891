/** Supervised fine-tuning: answers, turns of conversations, or texts, packed into windows. */
import { SettingError } from '../errors.ts';
import {
  chooseBlockSize,
  EvaluationExamples,
  type Example,
  fitExamples,
  inputLength,
  learnedCounts,
  PackedExamples,
  SupervisedReader,
  type Truncation,
} from '../training/examples/index.ts';
import { nextTokenTask } from '../training/task.ts';
import { codecOf, fittedLines, type MethodContext, notesOf, type Prepared, readSides } from './tune_context.ts';
import { answerSampler } from './tune_sample.ts';

function longestInput(examples: readonly Example[]): number {
  return examples.reduce((longest, example) => Math.max(longest, inputLength(example)), 0);
}

/** Windows are no longer than this unless asked for: attention and activations grow with them. */
const USUAL_WINDOW = 512;

export async function supervised(context: MethodContext): Promise<Prepared<unknown>> {
  const { request, resolved, model, learner, seed, tokenizer } = context;
  const { own, training } = resolved;
  const codec = codecOf(context);
  const reader = new SupervisedReader(codec, { format: request.format as never });
  const sides = await readSides(context, (record) => reader.read(record));
  const limit = model.config.n_positions;
  const longest = Math.max(longestInput(sides.train), longestInput(sides.validation));
  const block_size = Number(own.block_size ?? chooseBlockSize(longest, Math.min(limit, USUAL_WINDOW)));
  if (block_size > limit)
    throw new SettingError('block_size', block_size, `is more than the model's ${limit} positions`);
  const fit = (examples: readonly Example[]) =>
    fitExamples(examples, { block_size, truncation: own.truncation as Truncation, bos: tokenizer.special.bos });
  const train = fit(sides.train);
  const validation = sides.validation.length > 0 ? fit(sides.validation) : null;
  const { batch_size, gradient_accumulation_steps } = training;
  const shape = { batch_size, block_size, packing: own.packing !== false };
  const batches = new PackedExamples(train.examples, { ...shape, seed, gradient_accumulation_steps });
  const evaluation = validation && new EvaluationExamples(validation.examples, shape);
  const task = nextTokenTask(learner, {
    batch_size,
    block_size,
    cross_document_attention: false,
    label_smoothing: Number(own.label_smoothing),
    z_loss: Number(own.z_loss),
  });
  const { statistics } = batches;
  const share = (x: number) => `${(100 * x).toFixed(1)} %`;
  return {
    task,
    batches,
    evaluation,
    steps: (epochs) => batches.steps(epochs),
    block_size,
    counts: validation && learnedCounts(validation.examples, tokenizer),
    tokens: { train: statistics.tokens, validation: evaluation?.statistics.tokens ?? 0 },
    files: sides.files,
    lines: [
      ...sides.lines,
      `${statistics.tokens} tokens, ${statistics.learned_tokens} of them learned, in ${statistics.windows} windows of ${block_size} (${share(statistics.padding)} empty)`,
      ...fittedLines(train, block_size),
      ...notesOf(codec),
    ],
    sample: (step, adapter) => answerSampler(context, step, adapter, promptsOf(validation?.examples ?? train.examples)),
  };
}

/** What stands before the first learned token. */
function promptsOf(examples: readonly Example[]): Int32Array[] {
  return examples.map(({ ids, learn }) => ids.subarray(0, Math.max(1, learn.indexOf(1, 1))));
}
