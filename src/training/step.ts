/**
 * The training step as compiled plans over buffers that live as long as the run: parameters, optimiser state, and, where
 * gradients are accumulated, their sums. Forward, backward, clipping and update are one call into the backend.
 */
import type { Backend, BackendBuffer, LoadedPlan } from '../backends/backend.ts';
import { type DecoderConfig, type Model, type ParameterSpec, parameterSpecs } from '../models/index.ts';
import { compile, f, gradients, type Plan, type Tensor } from '../tensor/index.ts';
import { type Batch, IGNORED } from './data/index.ts';
import { dropoutKeys, dropoutPlaces } from './dropout.ts';
import { batchInputs, nextTokenObjective } from './objective.ts';
import { type OptimizerSettings, rateInputs, stateSpecs, updateGraph } from './update.ts';

/** `bfloat16` rounds weights to bfloat16 for every product; parameters, sums, gradients and optimiser state are float32 in both. */
export type TrainingPrecision = 'float32' | 'bfloat16';

export interface StepSettings extends OptimizerSettings {
  readonly batch_size: number;
  readonly block_size: number;
  readonly gradient_accumulation_steps: number;
  readonly dropout: number;
  readonly seed: number;
  /** Whether a token sees all before it in its window, or only those of its own document. Default true. */
  readonly cross_document_attention?: boolean;
  readonly label_smoothing?: number;
  readonly z_loss?: number;
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
  /** Mean -log P of the targets, in nats. */
  readonly loss: number;
  /** With label smoothing and z-loss. */
  readonly objective: number;
  /** Of the gradients, before clipping. */
  readonly grad_norm: number;
  /** False where the norm was not finite or above its limit: then nothing changed. */
  readonly applied: boolean;
  /** Targets that counted. */
  readonly targets: number;
}

/** A buffer that belongs to the run. */
interface Held {
  readonly shape: readonly number[];
  readonly buffer: BackendBuffer;
}

export class TrainingStep {
  readonly specs: readonly ParameterSpec[];
  /** Parameters, then the optimiser's state, by name. */
  readonly state: ReadonlyMap<string, Held>;
  private readonly learn: LoadedPlan;
  /** Where gradients are accumulated: the update alone. */
  private readonly update: LoadedPlan | null;
  private measure: LoadedPlan | null = null;
  private readonly places: number;

  constructor(
    readonly backend: Backend,
    readonly config: DecoderConfig,
    readonly settings: StepSettings,
  ) {
    this.specs = parameterSpecs(config);
    this.places = dropoutPlaces(config.layers.length);
    const plans = trainingPlans(config, settings);
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
    const buffers = Object.fromEntries([...state, ...sums].map(([name, { buffer }]) => [name, buffer]));
    this.learn = backend.load(plans.learn, buffers);
    this.update = plans.update && backend.load(plans.update, buffers);
  }

  /** The model as it is now: over the very buffers that are being trained. */
  get model(): Model {
    const { config, backend, specs, state } = this;
    const entries = specs.map(
      ({ name, shape }) => [name, { dtype: 'f32', shape, buffer: state.get(name)!.buffer }] as const,
    );
    return { config, backend, parameters: new Map(entries) };
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
   * One step of the optimiser over `gradient_accumulation_steps` batches. Each target counts the same, however the batches share
   * them; `micro_weights: 'batch'` makes the mean of the batches' means instead.
   * @param step counted from 0.
   */
  async run(
    step: number,
    batches: readonly Batch[],
    rates: StepRatesAt,
    micro_weights: 'target' | 'batch' = 'target',
  ): Promise<StepResult> {
    const counts = batches.map(({ targets }) => countTargets(targets));
    const all = counts.reduce((a, b) => a + b, 0);
    const stepInputs = this.rateInputs(step, rates);
    let [loss, objective, norm] = [0, 0, Number.NaN];
    for (const [micro, batch] of batches.entries()) {
      const weight = micro_weights === 'target' ? 1 / all : 1 / (counts[micro] * batches.length);
      const result = await this.learn.run({
        inputs: {
          ...batchData(batch, all > 0 ? weight : 0, this.settings),
          ...(this.settings.dropout > 0 ? { keys: dropoutKeys(this.settings.seed, step, micro, this.places) } : {}),
          ...(this.update ? { keep: Float32Array.of(micro > 0 ? 1 : 0) } : stepInputs),
        },
      });
      loss += result.likelihood[0];
      objective += (result.loss ?? result.likelihood)[0];
      if (!this.update) norm = result.norm[0];
    }
    if (this.update) norm = (await this.update.run({ inputs: stepInputs })).norm[0];
    const applied = Number.isFinite(norm) && norm < (rates.norm_limit ?? Number.POSITIVE_INFINITY);
    return { loss, objective, grad_norm: norm, applied, targets: all };
  }

  /** The sum of -log P over the targets of a batch, in nats, and how many there are. Changes nothing. */
  async evaluate(batch: Batch): Promise<{ readonly nats: number; readonly targets: number }> {
    this.measure ??= this.backend.load(
      evaluationPlan(this.config, this.settings),
      Object.fromEntries(this.specs.map(({ name }) => [name, this.state.get(name)!.buffer])),
    );
    const targets = countTargets(batch.targets);
    if (targets === 0) return { nats: 0, targets };
    // Weighted by 1 / targets, so that the float32 sum keeps its digits.
    const { likelihood } = await this.measure.run({ inputs: batchData(batch, 1 / targets, this.settings) });
    return { nats: likelihood[0] * targets, targets };
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

function countTargets(targets: Int32Array): number {
  let count = 0;
  for (const target of targets) if (target !== IGNORED) count++;
  return count;
}

/** A batch as inputs of a plan, with one weight for every target that counts. */
function batchData(
  { tokens, targets, positions, documents, block_size }: Batch,
  weight: number,
  { cross_document_attention = true }: StepSettings,
): Record<string, Int32Array | Float32Array> {
  // Loops: the threads wait for this, and `from` with a function takes ten times as long.
  const weights = new Float32Array(targets.length);
  for (let i = 0; i < weights.length; i++) weights[i] = targets[i] === IGNORED ? 0 : weight;
  return {
    tokens,
    targets,
    weights,
    positions: positions ?? countUp(tokens.length, block_size),
    ...(cross_document_attention ? {} : { first_keys: firstKeys(documents, tokens.length, block_size) }),
  };
}

/** 0 … block_size - 1, again and again. */
function countUp(count: number, block_size: number): Int32Array {
  const positions = new Int32Array(count);
  for (let i = 0; i < count; i++) positions[i] = i % block_size;
  return positions;
}

/** The first position of each one's document in its window. */
function firstKeys(documents: Int32Array | undefined, count: number, block_size: number): Int32Array {
  const first = new Int32Array(count);
  for (let i = 0; i < count; i++) {
    const t = i % block_size;
    if (t > 0 && documents) first[i] = documents[i] === documents[i - 1] ? first[i - 1] : t;
  }
  return first;
}

/** Symbolic parameters, as the decoder asks for them. */
function lookupOf(specs: readonly ParameterSpec[], precision: TrainingPrecision = 'float32') {
  const parameters = specs.map(({ name, shape }) => f.parameter(name, 'f32', shape));
  const seen = specs.map(({ name, shape }, i) => {
    const isMatrix = shape.length >= 2 && name.endsWith('.weight');
    return precision === 'bfloat16' && isMatrix ? f.cast(parameters[i], 'bf16') : parameters[i];
  });
  const byName = new Map<string, Tensor>(specs.map(({ name }, i) => [name, seen[i]]));
  return { parameters, lookup: (name: string) => byName.get(name) };
}

/**
 * The plans of a step. Without accumulation one plan does it all; with it the first adds the gradients of a batch to their sums
 * and the second updates.
 */
export function trainingPlans(
  config: DecoderConfig,
  settings: StepSettings,
): { readonly learn: Plan; readonly update: Plan | null } {
  const specs = parameterSpecs(config);
  const { dropout, label_smoothing, z_loss, gradient_accumulation_steps, precision } = settings;
  const { parameters, lookup } = lookupOf(specs, precision);
  const keys = () => f.input('keys', 'i32', [dropoutPlaces(config.layers.length), 4]);
  const objective = nextTokenObjective(config, lookup, batchInputs(settings), {
    ...(dropout > 0 ? { dropout: { rate: dropout, keys: keys() } } : {}),
    label_smoothing,
    z_loss,
  });
  const { likelihood, loss } = objective;
  const grads = gradients(loss, parameters, { recompute: settings.recompute ? objective.boundaries : [] });
  const reported = { likelihood, ...(loss === likelihood ? {} : { loss }) };
  if (gradient_accumulation_steps === 1) {
    const { norm, changed } = updateGraph(settings, specs, parameters, grads, rateInputs());
    return { learn: compile({ ...reported, norm, ...changed }), update: null };
  }
  const keep = f.input('keep', 'f32', [1]);
  const sum = ({ name, shape }: ParameterSpec) => f.parameter(`grad.${name}`, 'f32', shape);
  const added = specs.map((spec, i) => [`grad.${spec.name}`, f.accumulate(sum(spec), grads[i], keep)] as const);
  const learn = compile({ ...reported, ...Object.fromEntries(added) });
  const { norm, changed } = updateGraph(settings, specs, lookupOf(specs).parameters, specs.map(sum), rateInputs());
  return { learn, update: compile({ norm, ...changed }) };
}

/** The likelihood of a batch and nothing else. */
export function evaluationPlan(config: DecoderConfig, settings: StepSettings): Plan {
  const { lookup } = lookupOf(parameterSpecs(config), settings.precision);
  const { likelihood } = nextTokenObjective(config, lookup, batchInputs(settings));
  return compile({ likelihood });
}
