/** The memory of this machine. */
import { totalmem } from 'node:os';

/** Bytes that this process may use at most: the machine's, or less where a container has a limit. */
export function machineMemory(): number {
  const limit = process.constrainedMemory();
  return limit > 0 ? Math.min(limit, totalmem()) : totalmem();
}
