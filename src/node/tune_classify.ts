/** GPT-1's second stage: a head on the state at the extract token, learnt with the model, an adapter, or alone. */
import { SettingError } from '../errors.ts';
import { headSpec } from '../models/heads.ts';
import {
  chooseBlockSize,
  type DataRecord,
  type TaskExample,
  type TaskFormat,
  taskExamples,
} from '../training/examples/index.ts';
import { fitTaskExamples, type HeadBatch, HeadBatches, HeadEvaluation, headTask } from '../training/heads/index.ts';
import type { HeadRecord } from '../training/heads/record.ts';
import { specialTaskTokens } from '../training/heads/tokens.ts';
import { initialValues } from '../training/initialize.ts';
import { classifierParts } from './classifier_files.ts';
import { readRecords, recordFileFacts } from './examples.ts';
import type { MethodContext, Prepared } from './tune_context.ts';

export async function classified(context: MethodContext): Promise<Prepared<unknown>> {
  const { request, resolved, learner, seed, tokenizer, files, model, signal } = context;
  const { own, training } = resolved;
  const { config } = model;
  const { data, validation = [], validation_fraction = 0.1 } = request;
  const readAll = async (paths: readonly string[]) => {
    const records: DataRecord[] = [];
    for await (const record of readRecords(paths, { signal })) records.push(record);
    return records;
  };
  const tokens = specialTaskTokens(tokenizer);
  const format = request.format as TaskFormat | undefined;
  const first = taskExamples(await readAll(data), tokenizer, { tokens, format });
  const { kind, labels } = first;
  const own_validation =
    validation.length > 0 ? taskExamples(await readAll(validation), tokenizer, { tokens, format, labels }) : null;
  // Every so many records for validation, where there is none of its own: records are in the order of their file.
  const apart = Math.max(0, Math.round(validation_fraction * first.examples.length));
  const every = apart > 0 ? first.examples.length / apart : Number.POSITIVE_INFINITY;
  const isApart = (i: number) => !own_validation && Math.floor((i + 1) / every) > Math.floor(i / every);
  const trained = first.examples.filter((_, i) => !isApart(i));
  const held = own_validation?.examples ?? first.examples.filter((_, i) => isApart(i));

  const head = { kind, classes: labels.length };
  const longest = Math.max(first.longest, own_validation?.longest ?? 0);
  const block_size = Number(
    own.block_size ?? Math.max(64, chooseBlockSize(longest, Math.min(config.n_positions, 256))),
  );
  if (block_size > config.n_positions) {
    throw new SettingError('block_size', block_size, `is more than the model's ${config.n_positions} positions`);
  }
  const { batch_size, gradient_accumulation_steps } = training;
  const sizes = { head, batch_size, block_size };
  const train = fitTaskExamples(head, trained, sizes);
  const test = held.length > 0 ? fitTaskExamples(head, held, sizes) : null;
  const batches = new HeadBatches(train.examples, { ...sizes, seed, gradient_accumulation_steps });
  const task = headTask(learner, {
    ...sizes,
    lm_coef: Number(own.lm_coef),
    head_dropout: Number(own.head_dropout),
  });
  const spec = headSpec(config, head);
  const facts = [];
  for (const path of [...data, ...validation]) facts.push(await recordFileFacts(path));
  const tokensOf = (examples: readonly TaskExample[]) =>
    examples.reduce((sum, { sequences }) => sum + sequences.reduce((all, { length }) => all + length, 0), 0);
  const prepared: Prepared<HeadBatch> = {
    task,
    batches,
    evaluation: test && new HeadEvaluation(test.examples, sizes),
    steps: (epochs) => batches.steps(epochs),
    block_size,
    counts: null,
    tokens: { train: tokensOf(train.examples), validation: tokensOf(test?.examples ?? []) },
    files: facts,
    lines: [
      `${kind}: ${labels.length} ${kind === 'multiple_choice' ? 'choices' : `classes (${labels.slice(0, 8).join(', ')})`}`,
      `${train.examples.length} records to learn from, ${test?.examples.length ?? 0} set apart`,
      ...(first.cut > 0 ? [`${first.cut} texts were cut to ${block_size} tokens`] : []),
    ],
    initialize(step) {
      const values = initialValues(config, spec, step.specs.length, { seed, initializer_range: 0.02 });
      step.write(spec.name, values);
    },
    snapshot(step, adapter) {
      const record: HeadRecord = {
        kind,
        labels,
        tokens,
        block_size,
        base: adapter ? (adapter.config.base_model_name_or_path ?? request.model) : null,
        learned: adapter ? 'adapter' : 'all',
      };
      return classifierParts({
        record,
        decoder: config,
        read: (name) => step.read(name),
        config: files.config,
        pad_token_id: tokenizer.special.pad,
        ...(adapter ? { adapter } : {}),
      });
    },
  };
  return prepared;
}
