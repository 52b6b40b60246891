/**
 * The training step as compiled plans over buffers that live as long as the run: parameters, optimiser state, and, where
 * gradients are accumulated, their sums. Forward, backward, clipping and update are one call into the backend.
 */
import type { Backend, BackendBuffer, LoadedPlan, RunResult } from '../backends/backend.ts';
import {
  type DecoderConfig,
  type Model,
  type ModelParameter,
  type ParameterSpec,
  parameterSpecs,
} from '../models/index.ts';
import { compile, f, gradients, type Plan, type Tensor } from '../tensor/index.ts';
import type { Batch } from './data/index.ts';
import { dropoutKeys } from './dropout.ts';
import type { TrainingTask } from './task.ts';
import { type OptimizerSettings, rateInputs, stateSpecs, updateGraph } from './update.ts';

/** `bfloat16` rounds weights to bfloat16 for every product; parameters, sums, gradients and optimiser state are float32 in both. */
export type TrainingPrecision = 'float32' | 'bfloat16';

export interface StepSettings extends OptimizerSettings {
  readonly gradient_accumulation_steps: number;
  readonly seed: number;
  readonly precision?: TrainingPrecision;
  /** Whether each layer's activations are computed again in the backward pass instead of being kept. */
  readonly recompute?: boolean;
}

/** What a step is told besides its batches. */
export interface StepRatesAt {
  readonly learning_rate: number;
  /** Of Muon's matrices; with SGD the learning rate again. */
  readonly matrix_learning_rate?: number | null;
  /** Norms above it are explosions; infinity unless given. */
  readonly norm_limit?: number;
}

export interface StepResult {
  /** What the task measures, a mean over all that counts: of a likelihood, -log P of the targets in nats. */
  readonly loss: number;
  /** What was made small: with label smoothing and z-loss. */
  readonly objective: number;
  /** What else the task tells, by name. */
  readonly metrics: Readonly<Record<string, number>>;
  /** Of the gradients, before clipping. */
  readonly grad_norm: number;
  /** False where the norm was not finite or above its limit: then nothing changed. */
  readonly applied: boolean;
  /** Things that counted: targets, pairs, examples. */
  readonly count: number;
}

/** Means over what counts in one batch. */
export interface Measured {
  readonly loss: number;
  readonly metrics: Readonly<Record<string, number>>;
  readonly count: number;
}

/** A buffer that belongs to the run. */
interface Held {
  readonly shape: readonly number[];
  readonly buffer: BackendBuffer;
}

/** @typeParam B the batches of its task. */
export class TrainingStep<B = Batch> {
  readonly config: DecoderConfig;
  /** What learns. */
  readonly specs: readonly ParameterSpec[];
  /** Parameters that learn, then the optimiser's state, by name. */
  readonly state: ReadonlyMap<string, Held>;
  private readonly learn: LoadedPlan;
  /** Where gradients are accumulated: the update alone. */
  private readonly update: LoadedPlan | null;
  private measure: LoadedPlan | null = null;

  constructor(
    readonly backend: Backend,
    readonly task: TrainingTask<B>,
    readonly settings: StepSettings,
  ) {
    this.config = task.config;
    this.specs = task.specs;
    const plans = trainingPlans(task, settings);
    const hold = (shape: readonly number[]): Held => ({
      shape,
      buffer: backend.allocate(4 * shape.reduce((a, b) => a * b, 1)),
    });
    const state = new Map<string, Held>();
    for (const { name, shape } of this.specs) state.set(name, hold(shape));
    for (const spec of this.specs)
      for (const { name, shape } of stateSpecs(settings, spec)) state.set(name, hold(shape));
    this.state = state;
    const sums = plans.update ? this.specs.map(({ name, shape }) => [`grad.${name}`, hold(shape)] as const) : [];
    const buffers = Object.fromEntries([...task.frozen, ...state, ...sums].map(([name, { buffer }]) => [name, buffer]));
    this.learn = backend.load(plans.learn, buffers);
    this.update = plans.update && backend.load(plans.update, buffers);
  }

  /** The decoder as it is now: over the very buffers that are being trained, and those that are frozen. */
  get model(): Model {
    const { config, backend } = this;
    const entries = parameterSpecs(config).map(({ name }) => [name, this.parameters.get(name)!] as const);
    return { config, backend, parameters: new Map(entries) };
  }

  /** All parameters, frozen and learning. */
  get parameters(): ReadonlyMap<string, ModelParameter> {
    const learning = this.specs.map(
      ({ name, shape }) => [name, { dtype: 'f32', shape, buffer: this.state.get(name)!.buffer }] as const,
    );
    return new Map<string, ModelParameter>([...this.task.frozen, ...learning]);
  }

  /** Bytes of activations and temporaries of one step. */
  get arenaBytes(): number {
    return this.learn.plan.arenaBytes + (this.update?.plan.arenaBytes ?? 0);
  }

  /** Seconds that all steps so far have spent in kernels; null where the backend does not say. */
  get kernelSeconds(): number | null {
    const [learn, update] = [this.learn.kernelSeconds, this.update ? this.update.kernelSeconds : 0];
    return learn === undefined || update === undefined ? null : learn + update;
  }

  /** Overwrite a parameter or a buffer of the optimiser. */
  write(name: string, values: Float32Array): void {
    const { buffer } = this.state.get(name)!;
    this.backend.write(buffer, 0, new Uint8Array(values.buffer, values.byteOffset, values.byteLength));
  }

  async read(name: string): Promise<Float32Array> {
    const { buffer } = this.state.get(name)!;
    const bytes = await this.backend.read(buffer, 0, buffer.byteLength);
    return new Float32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4);
  }

  /**
   * One step of the optimiser over `gradient_accumulation_steps` batches. Each thing that counts counts the same, however the batches
   * share them; `micro_weights: 'batch'` makes the mean of the batches' means instead.
   * @param step counted from 0.
   */
  async run(
    step: number,
    batches: readonly B[],
    rates: StepRatesAt,
    micro_weights: 'target' | 'batch' = 'target',
  ): Promise<StepResult> {
    const { task } = this;
    const counts = batches.map((batch) => task.count(batch));
    const all = counts.reduce((a, b) => a + b, 0);
    const stepInputs = this.rateInputs(step, rates);
    const metrics: Record<string, number> = {};
    let [loss, objective, norm] = [0, 0, Number.NaN];
    for (const [micro, batch] of batches.entries()) {
      const weight = micro_weights === 'target' ? 1 / all : 1 / (counts[micro] * batches.length);
      const result = await this.learn.run({
        inputs: {
          ...task.inputs(batch, all > 0 ? weight : 0),
          ...(task.places > 0 ? { keys: dropoutKeys(this.settings.seed, step, micro, task.places) } : {}),
          ...(this.update ? { keep: Float32Array.of(micro > 0 ? 1 : 0) } : stepInputs),
        },
      });
      loss += result.measured[0];
      objective += (result.loss ?? result.measured)[0];
      addMetrics(metrics, result, 1);
      if (!this.update) norm = result.norm[0];
    }
    if (this.update) norm = (await this.update.run({ inputs: stepInputs })).norm[0];
    const applied = Number.isFinite(norm) && norm < (rates.norm_limit ?? Number.POSITIVE_INFINITY);
    return { loss, objective, metrics, grad_norm: norm, applied, count: all };
  }

  /** What the task measures of a batch. Changes nothing. */
  async evaluate(batch: B): Promise<Measured> {
    this.measure ??= this.backend.load(
      evaluationPlan(this.task, this.settings.precision),
      Object.fromEntries([...this.parameters].map(([name, { buffer }]) => [name, buffer])),
    );
    const count = this.task.count(batch);
    if (count === 0) return { loss: 0, metrics: {}, count };
    const result = await this.measure.run({ inputs: this.task.inputs(batch, 1 / count) });
    const metrics: Record<string, number> = {};
    addMetrics(metrics, result, 1);
    return { loss: result.measured[0], metrics, count };
  }

  private rateInputs(step: number, rates: StepRatesAt): Record<string, Float32Array> {
    const { beta1, beta2, optimizer } = this.settings;
    const rate = optimizer === 'muon' ? (rates.matrix_learning_rate ?? rates.learning_rate) : rates.learning_rate;
    const t = step + 1;
    const inputs = {
      rates: Float32Array.of(rates.learning_rate, 1 - beta1 ** t, 1 - beta2 ** t),
      rate: Float32Array.of(rate),
      limit: Float32Array.of(rates.norm_limit ?? Number.POSITIVE_INFINITY),
    };
    const plan = (this.update ?? this.learn).plan;
    return Object.fromEntries(Object.entries(inputs).filter(([name]) => Object.hasOwn(plan.inputs, name)));
  }
}

/** Outputs of a plan that are metrics. */
const METRIC = 'metric.';

function metricOutputs(metrics: Readonly<Record<string, Tensor>> = {}): Record<string, Tensor> {
  return Object.fromEntries(Object.entries(metrics).map(([name, tensor]) => [METRIC + name, tensor]));
}

/** Add the metrics of a run, times a factor. */
function addMetrics(to: Record<string, number>, result: RunResult, factor: number): void {
  for (const [output, values] of Object.entries(result)) {
    if (!output.startsWith(METRIC)) continue;
    const name = output.slice(METRIC.length);
    to[name] = (to[name] ?? 0) + factor * values[0];
  }
}

/** Symbolic parameters, as the decoder asks for them: those that learn, and those that are frozen. */
function lookupOf({ specs, frozen }: Pick<TrainingTask, 'specs' | 'frozen'>, precision: TrainingPrecision = 'float32') {
  const parameters = specs.map(({ name, shape }) => f.parameter(name, 'f32', shape));
  const seen = new Map<string, Tensor>();
  for (const [name, { dtype, shape }] of frozen) seen.set(name, f.parameter(name, dtype, shape));
  specs.forEach(({ name, shape }, i) => {
    const isMatrix = shape.length >= 2 && name.endsWith('.weight');
    seen.set(name, precision === 'bfloat16' && isMatrix ? f.cast(parameters[i], 'bf16') : parameters[i]);
  });
  return { parameters, lookup: (name: string) => seen.get(name) };
}

/**
 * The plans of a step. Without accumulation one plan does it all; with it the first adds the gradients of a batch to their sums
 * and the second updates.
 */
export function trainingPlans<B>(
  task: TrainingTask<B>,
  settings: StepSettings,
): { readonly learn: Plan; readonly update: Plan | null } {
  const { specs } = task;
  const { gradient_accumulation_steps, precision } = settings;
  const { parameters, lookup } = lookupOf(task, precision);
  const keys = task.places > 0 ? f.input('keys', 'i32', [task.places, 4]) : null;
  const { measured, loss, metrics, boundaries } = task.objective(lookup, keys, false);
  const grads = gradients(loss, parameters, { recompute: settings.recompute ? boundaries : [] });
  const reported = { measured, ...(loss === measured ? {} : { loss }), ...metricOutputs(metrics) };
  if (gradient_accumulation_steps === 1) {
    const { norm, changed } = updateGraph(settings, specs, parameters, grads, rateInputs());
    return { learn: compile({ ...reported, norm, ...changed }), update: null };
  }
  const keep = f.input('keep', 'f32', [1]);
  const sum = ({ name, shape }: ParameterSpec) => f.parameter(`grad.${name}`, 'f32', shape);
  const added = specs.map((spec, i) => [`grad.${spec.name}`, f.accumulate(sum(spec), grads[i], keep)] as const);
  const learn = compile({ ...reported, ...Object.fromEntries(added) });
  const alone = lookupOf({ specs, frozen: new Map() }).parameters;
  const { norm, changed } = updateGraph(settings, specs, alone, specs.map(sum), rateInputs());
  return { learn, update: compile({ norm, ...changed }) };
}

/** What a task measures of a batch, and nothing else. */
function evaluationPlan<B>(task: TrainingTask<B>, precision?: TrainingPrecision): Plan {
  const { measured, metrics } = task.objective(lookupOf(task, precision).lookup, null, true);
  return compile({ measured, ...metricOutputs(metrics) });
}
