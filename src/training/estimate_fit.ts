/** Whether a run fits a machine, said before it starts, with what would make it fit. */
import { CapacityError } from '../errors.ts';
import type { DecoderConfig } from '../models/config.ts';
import { type EstimateOptions, estimateMemory, type MemoryEstimate } from './estimate.ts';

/**
 * Refuse a training run that needs more memory than there is.
 * @param options what `estimateMemory` takes; with `arenaBytes` of the compiled step it is exact.
 * @param available bytes.
 * @returns the estimate, when it fits.
 * @throws CapacityError with both sizes, where the memory goes, and what to change.
 */
export function assertFits(decoder: DecoderConfig, options: EstimateOptions, available: number): MemoryEstimate {
  const memory = estimateMemory(decoder, options);
  if (memory.total <= available) return memory;
  const parts = [
    `weights ${gigabytes(memory.weights)}`,
    `gradients ${gigabytes(memory.gradients)}`,
    `optimiser ${gigabytes(memory.optimizer)}`,
    `activations ${gigabytes(memory.activations)} GB`,
  ];
  const hint = `Of it ${parts.join(', ')}. ${wayOut(decoder, options, available)}`;
  throw new CapacityError('memory', gigabytes(memory.total), gigabytes(available), 'GB', hint);
}

/** The changes that make a run fit: a smaller batch with more accumulation, recomputation, both; or that none does. */
function wayOut(decoder: DecoderConfig, given: EstimateOptions, available: number): string {
  const { arenaBytes: _, ...options } = given;
  const { batch_size: batch = 1, gradient_accumulation_steps: passes = 1 } = options;
  const change = (batch_size: number, recompute: boolean) => ({
    ...options,
    batch_size,
    recompute,
    gradient_accumulation_steps: Math.ceil((batch * passes) / batch_size),
  });
  const ways: string[] = [];
  let largest = 0;
  for (const recompute of options.recompute ? [true] : [false, true]) {
    for (let size = batch; size > largest; size = Math.floor(size / 2)) {
      const changed = change(size, recompute);
      const { total } = estimateMemory(decoder, changed);
      if (total > available) continue;
      largest = size;
      const smaller = `batch_size ${size} with gradient_accumulation_steps ${changed.gradient_accumulation_steps}`;
      const parts = [...(recompute && !options.recompute ? ['recompute'] : []), ...(size < batch ? [smaller] : [])];
      ways.push(`${parts.join(' and ')}: ${gigabytes(total)} GB`);
    }
  }
  if (ways.length > 0) return `What would fit: ${ways.join('; ')}`;
  const least = gigabytes(estimateMemory(decoder, change(1, true)).total);
  return `With batch_size 1 and recompute it still needs ${least} GB: take a smaller model or a larger machine`;
}

/** Bytes in units of 10^9, to three digits. */
function gigabytes(bytes: number): number {
  return Number((bytes / 1e9).toPrecision(3));
}
