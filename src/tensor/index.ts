/** Graphs: symbolic tensors, the functions that build them, their gradients, and plans. */
export { type CompileOptions, compile } from './compile.ts';
export { type DType, dtypes } from './dtype.ts';
export * as f from './functions.ts';
export { gradients } from './gradients.ts';
export type { OpAttrs, OpName } from './ops/attrs.ts';
export { opTable } from './ops/table.ts';
export { type Precision, precisions } from './passes/precision.ts';
export type { Plan, PlanParameter, PlanStep, PlanTensor } from './plan.ts';
export { type Dim, type DimBindings, DimVar, type Shape } from './shape.ts';
export { Tensor, type TensorType } from './tensor.ts';
