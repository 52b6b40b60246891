/** Evaluation: models scored on tasks. */
export type * from './types.ts';
