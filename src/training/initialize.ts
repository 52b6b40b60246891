/**
 * First weights: normal with deviation `initializer_range`, biases 0, norms 1. What adds to the residual sum starts smaller by
 * sqrt(2 n_layer) (Radford et al. 2019, section 2.3); GPT-1 has no such factor. Sinks start at 0.
 */
import type { DecoderConfig, ParameterSpec } from '../models/index.ts';
import { Purpose, words } from './data/random.ts';
import type { TrainingStep } from './step.ts';

export interface InitialOptions {
  readonly seed: number;
  /** The deviation of matrices, before what is said above. */
  readonly initializer_range: number;
}

/** Give all parameters of a step their first values. */
export function initialize<B>(step: TrainingStep<B>, options: InitialOptions): void {
  for (const [i, spec] of step.specs.entries()) step.write(spec.name, initialValues(step.config, spec, i, options));
}

/** The numbers of a parameter: a function of (seed, index of the parameter) alone. */
export function initialValues(
  config: DecoderConfig,
  { name, shape }: ParameterSpec,
  index: number,
  options: InitialOptions,
): Float32Array {
  const values = new Float32Array(shape.reduce((a, b) => a * b, 1));
  if (!name.endsWith('.weight')) return values;
  if (shape.length === 1) return values.fill(1 - config.norm.weightOffset);
  const addsToSum = /\.(attention\.o|mlp\.down|experts\.down|shared\.down)\.weight$/.test(name);
  const scaled = addsToSum && config.arrangement !== 'post';
  const deviation = options.initializer_range / (scaled ? Math.sqrt(2 * config.layers.length) : 1);
  // Box and Muller 1958: two normal numbers of two uniform ones.
  for (let i = 0; i < values.length; i += 4) {
    const random = words(options.seed, Purpose.weights, index, i / 4);
    for (let pair = 0; pair < 4; pair += 2) {
      const radius = Math.sqrt(-2 * Math.log((random[pair] + 1) / 2 ** 32));
      const angle = (2 * Math.PI * random[pair + 1]) / 2 ** 32;
      if (i + pair < values.length) values[i + pair] = deviation * radius * Math.cos(angle);
      if (i + pair + 1 < values.length) values[i + pair + 1] = deviation * radius * Math.sin(angle);
    }
  }
  return values;
}
