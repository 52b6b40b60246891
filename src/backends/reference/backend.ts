/**
 * The reference backend: plans interpreted step by step in TypeScript by the ops' own definitions. Sums are doubles, every result
 * is rounded to its dtype. It uses the same memory plan as the others, so a fault in placing tensors shows here too.
 */
import { ShapeError } from '../../errors.ts';
import { byteLength, type DType } from '../../tensor/dtype.ts';
import type { Numbers, Value } from '../../tensor/ops/row.ts';
import { rowOf } from '../../tensor/ops/table.ts';
import { ARENA_SLOT, type Plan, type PlanStep, type PlanTensor } from '../../tensor/plan.ts';
import { bindShape, type DimBindings, sizeOf } from '../../tensor/shape.ts';
import { f32ToBf16, f32ToF16, toFloat32 } from '../../weights/quants/index.ts';
import type { Backend, BackendBuffer, HostArray, LoadedPlan, RunArguments, RunResult } from '../backend.ts';
import { bindParameters, checkInputs, outputNames } from '../binding.ts';

class ReferenceBuffer implements BackendBuffer {
  /** Decoded weights, by dtype and place; forgotten when the bytes change. */
  readonly decoded = new Map<string, Float32Array>();

  constructor(readonly bytes: Uint8Array) {}

  get byteLength(): number {
    return this.bytes.byteLength;
  }
}

export function createReferenceBackend(): Backend {
  const own = (buffer: BackendBuffer): ReferenceBuffer => {
    if (!(buffer instanceof ReferenceBuffer))
      throw new ShapeError('reference backend', 'the buffer is of another backend');
    return buffer;
  };
  return {
    info: { name: 'reference', variant: 'typescript', threads: 1 },
    allocate: (bytes) => new ReferenceBuffer(new Uint8Array(bytes)),
    adopt: (bytes) => new ReferenceBuffer(bytes.byteOffset % 4 === 0 ? bytes : new Uint8Array(bytes)),
    write(buffer, offset, bytes) {
      own(buffer).bytes.set(bytes, offset);
      own(buffer).decoded.clear();
    },
    // Not slice(): that of a Node Buffer shares its memory.
    read: async (buffer, offset, length) => new Uint8Array(own(buffer).bytes.subarray(offset, offset + length)),
    copy(buffer, from, to, length) {
      own(buffer).bytes.copyWithin(to, from, from + length);
      own(buffer).decoded.clear();
    },
    load: (plan, parameters) => new ReferencePlan(plan, bindParameters(plan, parameters).map(own)),
    close: async () => {},
  };
}

class ReferencePlan implements LoadedPlan {
  private readonly slots: readonly ReferenceBuffer[];

  constructor(
    readonly plan: Plan,
    parameters: readonly ReferenceBuffer[],
  ) {
    this.slots = [new ReferenceBuffer(new Uint8Array(plan.arenaBytes)), ...parameters];
    for (const { tensor, data } of plan.constants) this.store(plan.tensors[tensor], data);
  }

  async run({ dims = {}, inputs = {}, outputs }: RunArguments): Promise<RunResult> {
    const { plan } = this;
    checkInputs(plan, inputs, dims);
    const names = outputNames(plan, outputs);
    for (const [name, index] of Object.entries(plan.inputs)) this.store(plan.tensors[index], inputs[name]);
    for (const step of plan.steps) this.step(step, dims);
    return Object.fromEntries(
      names.map((name) => {
        const { data } = this.value(plan.tensors[plan.outputs[name]], dims);
        return [name, data instanceof Int32Array ? data.slice() : Float32Array.from(data)];
      }),
    );
  }

  private step({ op, attrs, inputs, output }: PlanStep, dims: DimBindings): void {
    const { tensors } = this.plan;
    const values = inputs.map((input) => (input < 0 ? null : this.value(tensors[input], dims)));
    const shape = bindShape(tensors[output].shape, dims);
    this.store(tensors[output], rowOf(op).reference(values, attrs, shape));
  }

  /** The numbers of a tensor: in place where it is f32 or i32, decoded otherwise. */
  private value({ dtype, shape, slot, offset }: PlanTensor, dims: DimBindings): Value {
    const bound = bindShape(shape, dims);
    const buffer = this.slots[slot];
    return { dtype, shape: bound, data: numbers(buffer, dtype, offset, sizeOf(bound), slot !== ARENA_SLOT) };
  }

  private store({ dtype, slot, offset }: PlanTensor, data: Numbers | HostArray): void {
    const buffer = this.slots[slot];
    const bytes = buffer.bytes.subarray(offset, offset + byteLength(dtype, data.length));
    if (dtype === 'i32') new Int32Array(bytes.buffer, bytes.byteOffset, data.length).set(data);
    else if (dtype === 'f32') new Float32Array(bytes.buffer, bytes.byteOffset, data.length).set(data);
    else if (dtype === 'q8a') buffer.decoded.set(key(dtype, offset), Float32Array.from(data));
    else {
      const encode = dtype === 'f16' ? f32ToF16 : f32ToBf16;
      new Uint16Array(bytes.buffer, bytes.byteOffset, data.length).set(Uint16Array.from(data, encode));
    }
  }
}

function key(dtype: DType, offset: number): string {
  return `${dtype} ${offset}`;
}

function numbers(buffer: ReferenceBuffer, dtype: DType, offset: number, count: number, keep: boolean): Numbers {
  const { bytes, decoded } = buffer;
  const start = bytes.byteOffset + offset;
  if (dtype === 'f32') return new Float32Array(bytes.buffer, start, count);
  if (dtype === 'i32') return new Int32Array(bytes.buffer, start, count);
  const known = decoded.get(key(dtype, offset));
  if (known) return known.subarray(0, count);
  const raw = bytes.subarray(offset, offset + byteLength(dtype, count));
  const values = toFloat32(dtype as Exclude<DType, 'q8a'>, raw, count);
  // 16-bit caches are written by plans; blocks never are.
  if (keep && dtype !== 'f16' && dtype !== 'bf16') decoded.set(key(dtype, offset), values);
  return values;
}
