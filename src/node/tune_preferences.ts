/** Preferences: pairs of answers (DPO, IPO, ORPO) and answers that were liked or not (KTO), with the reference's numbers computed once. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import {
  type FittedAnswers,
  fitAnswers,
  type LabelledExample,
  LabelledReader,
  type PreferenceExample,
  PreferenceReader,
  type Truncation,
} from '../training/examples/index.ts';
import {
  type AnswerSizes,
  answerSizes,
  dpoTask,
  emptyLabelledReference,
  emptyPairReference,
  fillLabelledReference,
  fillPairReference,
  ktoTask,
  LabelledBatches,
  labelledAnswers,
  mismatchedAnswers,
  orpoTask,
  PairBatches,
  type PromptAnswer,
  pairAnswers,
  referenceModel,
  type ScoreOptions,
} from '../training/preference/index.ts';
import { readSafetensors, tensorFloat32, tensorToWrite, writeSafetensors } from '../weights/index.ts';
import { FileSource, writeFileAtomically } from './file_source.ts';
import { codecOf, fittedLines, type MethodContext, notesOf, type Prepared, readSides } from './tune_context.ts';
import { answerSampler } from './tune_sample.ts';

/** DPO and ORPO. */
export async function pairs(context: MethodContext): Promise<Prepared<unknown>> {
  const { request, resolved, learner, seed } = context;
  const { own, training } = resolved;
  const codec = codecOf(context);
  const reader = new PreferenceReader(codec, { format: request.format as never });
  const sides = await readSides(context, (record) => reader.read(record));
  const { train, validation, lines } = fitSides<PreferenceExample>(context, sides);
  const all = [...train, ...validation];
  const answers = (examples: readonly PreferenceExample[]) => {
    const { chosen, rejected } = pairAnswers(examples);
    return [...chosen, ...rejected];
  };
  const sizes = answerSizes(answers(all));
  const { batch_size, gradient_accumulation_steps } = training;
  const order = { batch_size, seed, gradient_accumulation_steps };
  const reference = emptyPairReference(all.length);
  const isDpo = request.method === 'dpo';
  const beta = Number(own.beta ?? 0.1);
  const task = isDpo
    ? dpoTask(
        learner,
        {
          ...sizes,
          batch_size,
          beta,
          loss_type: (own.loss_type ?? 'sigmoid') as 'sigmoid' | 'ipo',
          label_smoothing: Number(own.label_smoothing ?? 0),
        },
        reference,
      )
    : orpoTask(learner, { ...sizes, batch_size, lambda: beta });
  const whole = validation.length > 0 ? new PairBatches(validation, sizes, order).whole : null;
  const prepared: Prepared<ReturnType<PairBatches['batch']>> = {
    task,
    batches: new PairBatches(train, sizes, order),
    evaluation: whole && { count: whole.count, batch: (i) => shifted(whole.batch(i), train.length) },
    steps: stepsOf(train.length, batch_size * gradient_accumulation_steps),
    block_size: sizes.block_size,
    counts: null,
    tokens: { train: tokensOf(answers(train)), validation: tokensOf(answers(validation)) },
    files: sides.files,
    lines: [...sides.lines, ...lines, ...notesOf(codec)],
    ...(isDpo
      ? {
          begin: (step) =>
            keptReference(context, reference, () =>
              fillPairReference(reference, referenceModel(step, learner), all, scoring(context, sizes, 2 * batch_size)),
            ),
        }
      : {}),
    sample: (step, adapter) => answerSampler(context, step, adapter, promptsOf(validation, train)),
  };
  return prepared;
}

/** KTO. */
export async function labelled(context: MethodContext): Promise<Prepared<unknown>> {
  const { request, resolved, learner, seed } = context;
  const { own, training } = resolved;
  const codec = codecOf(context);
  const reader = new LabelledReader(codec, { format: request.format as never });
  const sides = await readSides(context, (record) => reader.read(record));
  const { train, validation, lines } = fitSides<LabelledExample>(context, sides);
  const all = [...train, ...validation];
  const both = (examples: readonly LabelledExample[]) => [...labelledAnswers(examples), ...mismatchedAnswers(examples)];
  const sizes = answerSizes([...both(train), ...both(validation)]);
  const { batch_size, gradient_accumulation_steps } = training;
  const order = { batch_size, seed, gradient_accumulation_steps };
  // Answers to other prompts are taken from each side by itself, so each has numbers of its own.
  const reference = emptyLabelledReference(all.length);
  const part = (from: number, to: number) => ({
    answers: reference.answers.subarray(from, to),
    mismatched: reference.mismatched.subarray(from, to),
  });
  const task = ktoTask(
    learner,
    {
      ...sizes,
      batch_size,
      beta: Number(own.beta ?? 0.1),
      desirable_weight: Number(own.desirable_weight),
      undesirable_weight: Number(own.undesirable_weight),
    },
    reference,
  );
  const whole = validation.length > 0 ? new LabelledBatches(validation, sizes, order).whole : null;
  const liked = train.filter(({ label }) => label).length;
  const prepared: Prepared<ReturnType<LabelledBatches['batch']>> = {
    task,
    batches: new LabelledBatches(train, sizes, order),
    evaluation: whole && { count: whole.count, batch: (i) => shifted(whole.batch(i), train.length) },
    steps: stepsOf(train.length, batch_size * gradient_accumulation_steps),
    block_size: sizes.block_size,
    counts: null,
    tokens: { train: tokensOf(both(train)), validation: tokensOf(both(validation)) },
    files: sides.files,
    lines: [...sides.lines, `${liked} of ${train.length} answers were liked`, ...lines, ...notesOf(codec)],
    begin: (step) =>
      keptReference(context, reference, async () => {
        const model = referenceModel(step, learner);
        const options = scoring(context, sizes, batch_size);
        await fillLabelledReference(part(0, train.length), model, train, options);
        if (validation.length > 0)
          await fillLabelledReference(part(train.length, all.length), model, validation, options);
      }),
    sample: (step, adapter) => answerSampler(context, step, adapter, promptsOf(validation, train)),
  };
  return prepared;
}

/** Answers of both sides in rows of one size. */
function fitSides<E extends PreferenceExample | LabelledExample>(
  { model, resolved: { own }, tokenizer }: MethodContext,
  sides: { readonly train: readonly E[]; readonly validation: readonly E[] },
): { readonly train: readonly E[]; readonly validation: readonly E[]; readonly lines: readonly string[] } {
  const options = {
    limit: model.config.n_positions,
    block_size: own.block_size === null ? undefined : Number(own.block_size),
    truncation: own.truncation as Truncation,
    bos: tokenizer.special.bos,
  };
  const fit = (examples: readonly E[]): FittedAnswers<E> | null =>
    examples.length > 0 ? fitAnswers(examples, options) : null;
  const [train, validation] = [fit(sides.train), fit(sides.validation)];
  return {
    train: train?.examples ?? [],
    validation: validation?.examples ?? [],
    lines: train ? fittedLines(train, train.block_size) : [],
  };
}

/** The numbers of the validation side stand behind those of the training side. */
function shifted<B extends { readonly indices: Int32Array }>(batch: B, by: number): B {
  return { ...batch, indices: batch.indices.map((index) => (index < 0 ? index : index + by)) };
}

function stepsOf(examples: number, perStep: number): (epochs: number) => number {
  return (epochs) => Math.max(1, Math.ceil((epochs * examples) / perStep));
}

function tokensOf(answers: readonly PromptAnswer[]): number {
  return answers.reduce((sum, { prompt, answer }) => sum + prompt.length + answer.length - 1, 0);
}

function promptsOf(...sides: (readonly { readonly prompt: Int32Array }[])[]): Int32Array[] {
  return sides.flatMap((examples) => examples.slice(0, 16).map(({ prompt }) => prompt));
}

function scoring({ signal, onProgress }: MethodContext, sizes: AnswerSizes, rows: number): ScoreOptions {
  const onDone = (done: number, total: number) => onProgress?.({ label: 'reference', done, total });
  return { ...sizes, rows, signal, onProgress: onDone };
}

/** The reference is computed once: a resumed run reads what the first start has kept, for by then the weights have moved. */
async function keptReference({ out }: MethodContext, reference: object, compute: () => Promise<void>): Promise<void> {
  const path = join(out, 'reference.safetensors');
  const parts = Object.entries(reference as Readonly<Record<string, Float32Array>>);
  if (existsSync(path)) {
    const source = new FileSource(path);
    try {
      const { tensors } = readSafetensors(source);
      const fits = parts.every(([name, values]) => String(tensors.get(name)?.shape) === String([values.length]));
      if (fits) {
        for (const [name, values] of parts) values.set(tensorFloat32(tensors.get(name)!));
        return;
      }
    } finally {
      source.close();
    }
  }
  await compute();
  const bytes = ({ buffer, byteOffset, byteLength }: Float32Array) => new Uint8Array(buffer, byteOffset, byteLength);
  const written = parts.map(([name, values]) => tensorToWrite(name, 'f32', [values.length], bytes(values)));
  writeFileAtomically(path, (sink) => writeSafetensors(sink, written));
}
