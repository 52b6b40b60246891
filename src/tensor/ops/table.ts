/**
 * The op table: every op with its shape rule, gradient, reference implementation and kernel. To add an op, give it attributes
 * in attrs.ts, write its row, list a case in test/op_cases.ts, and write its kernel; the types demand the rest.
 */
import { attentionRows } from './attention.ts';
import type { OpAttrs, OpName } from './attrs.ts';
import { elementwiseRows } from './elementwise.ts';
import { lookupRows } from './lookup.ts';
import { lossRows } from './loss.ts';
import { matmulRows } from './matmul.ts';
import { optimizerRows } from './optimizer.ts';
import { reduceRows } from './reduce.ts';
import type { OpRow } from './row.ts';
import { shapeRows } from './shape_ops.ts';

export type OpTable = { readonly [K in OpName]: OpRow<OpAttrs[K]> };

export const opTable: OpTable = {
  ...elementwiseRows,
  ...shapeRows,
  ...reduceRows,
  ...matmulRows,
  ...lookupRows,
  ...lossRows,
  ...attentionRows,
  ...optimizerRows,
};

/** The row of an op whose attributes are not known by type: what passes and backends work with. */
export function rowOf(op: OpName): OpRow<OpAttrs[OpName]> {
  return opTable[op] as OpRow<OpAttrs[OpName]>;
}
