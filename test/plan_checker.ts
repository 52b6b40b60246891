/**
 * What a plan has to keep, checked by brute force and without the passes' own bookkeeping: every byte remembers which tensor was last written
 * over it, and reading a tensor means finding it whole.
 */
import { expect } from 'vitest';
import { dtypes } from '../src/tensor/dtype.ts';
import { rowOf } from '../src/tensor/ops/table.ts';
import { planBarriers } from '../src/tensor/passes/barriers.ts';
import { fuse } from '../src/tensor/passes/fuse.ts';
import { layOut } from '../src/tensor/passes/layout.ts';
import { applyPrecision, type Precision } from '../src/tensor/passes/precision.ts';
import type { NamedTensors } from '../src/tensor/passes/rebuild.ts';
import { share } from '../src/tensor/passes/share.ts';
import type { Plan, PlanTensor } from '../src/tensor/plan.ts';
import { dimMax, type Shape } from '../src/tensor/shape.ts';
import { reachable, type Tensor } from '../src/tensor/tensor.ts';

export interface Traced {
  /** The graph that the plan is of, after all passes that change graphs. */
  readonly graph: NamedTensors;
  readonly plan: Plan;
}

/** `compile`, with the graph that it lays out. */
export function trace(outputs: NamedTensors, { precision = 'exact' as Precision, fused = true } = {}): Traced {
  const shared = share(applyPrecision(share(outputs), precision));
  const graph = fused ? fuse(shared) : shared;
  return { graph, plan: planBarriers({ dims: [], ...layOut(graph) }) };
}

interface Range {
  readonly slot: number;
  readonly from: number;
  readonly to: number;
}

const elements = (shape: Shape): number => shape.reduce<number>((n, dim) => n * dimMax(dim), 1);

function rangeOf({ dtype, shape, slot, offset }: PlanTensor): Range {
  const { block, bytes } = dtypes[dtype];
  return { slot, from: offset, to: offset + (elements(shape) / block) * bytes };
}

const overlap = (a: Range, b: Range): boolean => a.slot === b.slot && a.from < b.to && b.from < a.to;
const same = (a: Range, b: Range): boolean => a.slot === b.slot && a.from === b.from && a.to === b.to;

/** The tensor whose memory a view is, and how many bytes into it the view begins. */
function baseOf(tensor: Tensor): { base: Tensor; delta: number } {
  const { origin } = tensor;
  if (origin.kind !== 'op') return { base: tensor, delta: 0 };
  const viewed =
    origin.op === 'reshape' || (origin.op === 'slice' && origin.attrs.axis === 0) ? origin.inputs[0] : null;
  if (!viewed) return { base: tensor, delta: 0 };
  const { base, delta } = baseOf(viewed);
  const start = origin.op === 'slice' ? origin.attrs.start * elements(viewed.shape.slice(1)) : 0;
  return { base, delta: delta + (start / dtypes[tensor.dtype].block) * dtypes[tensor.dtype].bytes };
}

/** Fails when a tensor does not lie whole in memory where it is read, or when a step writes over what it still has to read. */
export function checkLayout({ graph, plan }: Traced): void {
  const order = reachable(Object.values(graph));
  const indexOf = new Map(order.map((tensor, i) => [tensor, i]));
  const base = order.map((tensor) => indexOf.get(baseOf(tensor).base)!);
  const ranges = plan.tensors.map(rangeOf);
  const slots = [
    plan.arenaBytes,
    ...plan.parameters.map(({ dtype, shape }) => rangeOf({ dtype, shape, slot: 0, offset: 0 }).to),
  ];
  const memory = slots.map((bytes) => new Int32Array(bytes).fill(-1));
  expect(plan.tensors.length).toBe(order.length);

  order.forEach((tensor, i) => {
    const { slot, from, to } = ranges[i];
    expect(from >= 0 && to <= slots[slot], `${tensor} lies in its slot`).toBe(true);
    const origin = ranges[base[i]];
    expect([slot, from], `${tensor} lies where it views`).toEqual([origin.slot, origin.from + baseOf(tensor).delta]);
    if (base[i] === i) expect(from % 64, `${tensor} is aligned`).toBe(0);
  });
  const write = (i: number) => memory[ranges[i].slot].fill(i, ranges[i].from, ranges[i].to);
  const read = (i: number, by: string) => {
    const { slot, from, to } = ranges[i];
    const other = memory[slot].subarray(from, to).find((owner) => owner !== base[i]);
    if (other !== undefined)
      expect.fail(`${by} reads ${order[i]}, over which ${order[other] ?? 'nothing'} was written`);
  };

  order.forEach((tensor, i) => {
    if (tensor.origin.kind !== 'op') write(i);
  });
  for (const [number, { op, inputs, output }] of plan.steps.entries()) {
    const present = inputs.filter((input) => input >= 0);
    for (const input of present) read(input, `step ${number} (${op})`);
    const { mutates, inPlace } = rowOf(op);
    inputs.forEach((input, which) => {
      if (input < 0 || !overlap(ranges[input], ranges[output]) || mutates?.includes(which)) return;
      const what = `step ${number} (${op}) writes over input ${which}`;
      expect(
        inPlace === 'all' || inPlace?.includes(which) || inputs.some((other, i) => i !== which && other === input),
        what,
      ).toBe(true);
      expect(same(ranges[input], ranges[output]), what).toBe(true);
      expect(plan.tensors[input].shape, what).toEqual(plan.tensors[output].shape);
      const others = inputs.filter((other, i) => i !== which && other >= 0 && overlap(ranges[other], ranges[output]));
      if (inPlace !== 'all') expect(others, what).toEqual([]);
    });
    if (mutates) expect(same(ranges[inputs[mutates[0]]], ranges[output])).toBe(true);
    for (const which of mutates ?? []) write(inputs[which]);
    write(output);
  }
  for (const [name, tensor] of Object.entries(graph)) {
    expect(plan.outputs[name]).toBe(indexOf.get(tensor));
    read(plan.outputs[name], `the caller of output ${name}`);
  }
  for (const { tensor } of plan.constants) read(tensor, 'the next run');
}

/** Fails when two steps of which one writes what the other touches have no barrier between them. */
export function checkBarriers(plan: Plan): void {
  const ranges = plan.tensors.map(rangeOf);
  plan.steps.forEach((step, later) => {
    for (let earlier = later - 1; earlier >= 0; earlier--) {
      if (plan.steps.slice(earlier + 1, later + 1).some(({ barrier }) => barrier)) break;
      const before = plan.steps[earlier];
      const touched = step.inputs.filter((input) => input >= 0).map((input) => ranges[input]);
      const [write, writeBefore] = [ranges[step.output], ranges[before.output]];
      const touchedBefore = before.inputs.filter((input) => input >= 0).map((input) => ranges[input]);
      const conflict =
        overlap(write, writeBefore) ||
        touched.some((range) => overlap(range, writeBefore)) ||
        touchedBefore.some((range) => overlap(range, write));
      expect(conflict, `steps ${earlier} (${before.op}) and ${later} (${step.op}) run at the same time`).toBe(false);
    }
  });
}
