/**
 * Fusion: fewer, larger steps. A sum that follows a product moves into the product's last write; chains of element-wise ops become
 * one program that reads and writes memory once. Results are the same to the bit.
 */
import { apply } from '../functions.ts';
import { binaryOps, type ElementwiseInstruction, unaryOps } from '../ops/attrs.ts';
import { opTable } from '../ops/table.ts';
import { sameShape } from '../shape.ts';
import { reachable, type Tensor } from '../tensor.ts';
import { countUses, isOp, type NamedTensors, type OpTensor, rebuild } from './rebuild.ts';

const elementwise: ReadonlySet<string> = new Set([...unaryOps, ...binaryOps, 'affine', 'clamp', 'where']);
const MAX_INPUTS = opTable.fused.arity[1];
const MAX_INSTRUCTIONS = 24;

export function fuse(outputs: NamedTensors): NamedTensors {
  return fuseElementwise(fuseSums(outputs));
}

/** matmul + bias and matmul + residual. */
function fuseSums(outputs: NamedTensors): NamedTensors {
  const uses = countUses(outputs);
  return rebuild(outputs, (old, inputs) => {
    if (old.origin.op !== 'add') return null;
    for (const [i, j] of [
      [0, 1],
      [1, 0],
    ] as const) {
      const [product, other] = [inputs[i]!, inputs[j]!];
      if (!isOp(product) || product.origin.op !== 'matmul' || uses.get(old.origin.inputs[i]!) !== 1) continue;
      const [a, b, bias = null, residual = null] = product.origin.inputs;
      const { attrs } = product.origin;
      const isBias = !bias && !residual && other.rank === 1 && other.shape[0] === product.shape.at(-1);
      if (isBias && sameShape(old.shape, product.shape)) return apply('matmul', [a, b, other, null], attrs);
      if (!residual && sameShape(other.shape, product.shape)) return apply('matmul', [a, b, bias, other], attrs);
    }
    return null;
  });
}

/** Chains of element-wise ops over one shape. */
function fuseElementwise(outputs: NamedTensors): NamedTensors {
  const uses = countUses(outputs);
  const groups = new Map<Tensor, OpTensor[]>();
  const inside = new Set<Tensor>();
  for (const root of reachable(Object.values(outputs)).reverse()) {
    if (!isElementwise(root) || inside.has(root)) continue;
    const group = growGroup(root, uses);
    for (const member of group) inside.add(member);
    if (group.length > 1) groups.set(root, group);
  }
  const now = new Map<Tensor, Tensor>();
  return rebuild(outputs, (old, inputs) => {
    old.origin.inputs.forEach((input, i) => {
      if (input) now.set(input, inputs[i]!);
    });
    const group = groups.get(old);
    if (!group) return null;
    const { leaves, program } = programOf(group);
    return apply(
      'fused',
      leaves.map((leaf) => now.get(leaf)!),
      { program },
    );
  });
}

function isElementwise(tensor: Tensor): tensor is OpTensor {
  return isOp(tensor) && elementwise.has(tensor.origin.op);
}

/** The ops that can run as one program ending in `root`, inputs before users: those used by the group alone, of its shape. */
function growGroup(root: OpTensor, uses: ReadonlyMap<Tensor, number>): OpTensor[] {
  const group = new Set<OpTensor>([root]);
  for (let grew = true; grew; ) {
    grew = false;
    for (const member of [...group]) {
      for (const input of member.inputs) {
        if (!isElementwise(input) || group.has(input) || !sameShape(input.shape, root.shape)) continue;
        const usedInside = [...group].reduce((n, user) => n + user.inputs.filter((x) => x === input).length, 0);
        if (usedInside !== uses.get(input)) continue;
        const larger = new Set(group).add(input);
        if (larger.size > MAX_INSTRUCTIONS || leavesOf(larger).length > MAX_INPUTS) continue;
        group.add(input);
        grew = true;
      }
    }
  }
  return [...group].sort((a, b) => a.id - b.id);
}

function leavesOf(group: ReadonlySet<Tensor>): Tensor[] {
  const leaves = new Set<Tensor>();
  for (const member of group) for (const input of member.inputs) if (!group.has(input)) leaves.add(input);
  return [...leaves];
}

function programOf(group: readonly OpTensor[]): { leaves: Tensor[]; program: ElementwiseInstruction[] } {
  const leaves = leavesOf(new Set<Tensor>(group));
  const index = new Map<Tensor, number>([...leaves, ...group].map((tensor, i) => [tensor, i]));
  const program = group.map(({ origin, inputs }): ElementwiseInstruction => {
    const operands = inputs.map((input) => index.get(input)!);
    if (origin.op === 'affine') return { op: 'affine', operands, scalars: [origin.attrs.scale, origin.attrs.shift] };
    if (origin.op === 'clamp') return { op: 'clamp', operands, scalars: [origin.attrs.min, origin.attrs.max] };
    return { op: origin.op as ElementwiseInstruction['op'], operands };
  });
  return { leaves, program };
}
