/** Experiments: comparisons of settings, their measures, and their report. */
export { type BleuOptions, bleu, selfBleu } from './bleu.ts';
export type { SweepAnswer, SweepCell } from './cell.ts';
export { frontierArea } from './divergence.ts';
export { distinct, longestRepeat, pooledDistinct, repetition } from './diversity.ts';
export { type Measured, type MeasureName, type MeasureSpec, measureNames, measureTable } from './measures.ts';
export type { Axes, Axis, CellSettings, Search } from './space.ts';
export { type BootstrapOptions, bootstrap, bootstrapMean, type Interval } from './statistics.ts';
export { type SweepEvent, type SweepOptions, type SweepReport, sweep, sweepAll } from './sweep.ts';
export { unitsOf } from './units.ts';
