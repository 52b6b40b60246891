/** Which steps have to wait: those that touch memory which an unfinished step writes, or write what an unfinished step reads. */
import { byteLength } from '../dtype.ts';
import { rowOf } from '../ops/table.ts';
import type { Plan, PlanTensor } from '../plan.ts';
import { sizeMax } from '../shape.ts';

interface Range {
  readonly slot: number;
  readonly start: number;
  readonly end: number;
}

export function planBarriers(plan: Plan): Plan {
  let reads: Range[] = [];
  let writes: Range[] = [];
  const steps = plan.steps.map((step) => {
    const read = step.inputs.filter((input) => input >= 0).map((input) => rangeOf(plan.tensors[input]));
    const changed = (rowOf(step.op).mutates ?? []).map((which) => step.inputs[which]);
    const write = [step.output, ...changed].map((tensor) => rangeOf(plan.tensors[tensor]));
    const barrier = meets(writes, read) || meets(writes, write) || meets(reads, write);
    if (barrier) {
      reads = [];
      writes = [];
    }
    reads.push(...read);
    writes.push(...write);
    return { ...step, barrier };
  });
  return { ...plan, steps };
}

function rangeOf({ dtype, shape, slot, offset }: PlanTensor): Range {
  return { slot, start: offset, end: offset + byteLength(dtype, sizeMax(shape)) };
}

function meets(a: readonly Range[], b: readonly Range[]): boolean {
  return a.some((x) => b.some((y) => x.slot === y.slot && x.start < y.end && y.start < x.end));
}
