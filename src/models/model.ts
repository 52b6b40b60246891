/** A model in memory: a configuration and its parameters in a backend's buffers. */
import type { Backend, BackendBuffer } from '../backends/backend.ts';
import { type DType, f, type Tensor } from '../tensor/index.ts';
import type { DecoderConfig } from './config.ts';
import type { ParameterLookup } from './decoder.ts';

export interface ModelParameter {
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly buffer: BackendBuffer;
}

export interface Model {
  readonly config: DecoderConfig;
  readonly backend: Backend;
  readonly parameters: ReadonlyMap<string, ModelParameter>;
}

/** Symbolic tensors for a model's parameters, each made once however often it is asked for. */
export function symbolicParameters(model: Model): ParameterLookup {
  const tensors = new Map<string, Tensor>();
  return (name) => {
    const known = tensors.get(name);
    const parameter = model.parameters.get(name);
    if (known || !parameter) return known;
    const tensor = f.parameter(name, parameter.dtype, parameter.shape);
    tensors.set(name, tensor);
    return tensor;
  };
}

/** The buffers of a model's parameters by name, as `Backend.load` takes them. */
export function parameterBuffers(model: Model): Record<string, BackendBuffer> {
  return Object.fromEntries([...model.parameters].map(([name, { buffer }]) => [name, buffer]));
}
