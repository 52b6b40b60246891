/** Whether a run fits a machine, said before it starts, with what would make it fit. */
import { CapacityError } from '../errors.ts';
import type { DecoderConfig } from '../models/config.ts';
import { type EstimateOptions, estimateMemory, type MemoryEstimate } from './estimate.ts';

/**
 * Refuse a training run that needs more memory than there is.
 * @param options what `estimateMemory` takes; `activations` when the step is compiled and their bytes are known.
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

/** The changes that make a run fit: recomputation, a smaller batch, both; or that none does. */
function wayOut(decoder: DecoderConfig, given: EstimateOptions, available: number): string {
  const { activations: _, ...options } = given;
  const batch = options.batch_size ?? 1;
  const needs = (batch_size: number, recompute: boolean) =>
    estimateMemory(decoder, { ...options, batch_size, recompute }).total;
  const found: string[] = [];
  const look = (recompute: boolean): void => {
    const also = recompute && !options.recompute ? 'recompute' : '';
    for (let size = batch; size >= 1; size = Math.floor(size / 2)) {
      if (size === batch && recompute === (options.recompute ?? false)) continue;
      const total = needs(size, recompute);
      if (total > available) continue;
      const smaller = size < batch ? `batch_size ${size} (with gradient accumulation)` : '';
      found.push(`${[also, smaller].filter(Boolean).join(' and ')}: ${gigabytes(total)} GB`);
      return;
    }
  };
  if (!options.recompute) look(false);
  look(true);
  if (found.length > 0) return `What would fit: ${found.join('; ')}`;
  const least = gigabytes(needs(1, true));
  return `With batch_size 1 and recompute it still needs ${least} GB: take a smaller model or a larger machine`;
}

/** Bytes in units of 10^9, to three digits. */
function gigabytes(bytes: number): number {
  return Number((bytes / 1e9).toPrecision(3));
}
