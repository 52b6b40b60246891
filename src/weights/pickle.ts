/**
 * A pickle reader that can only make data. Pickle is a stack machine whose programs may call any Python function; here
 * every function name is looked up in a list of the caller's, and one that is not in it ends the reading with an error
 * that names it. Nothing is imported and nothing is executed. Source: Lib/pickletools.py of CPython (protocols 0–5).
 */

import type { Cursor } from './cursor.ts';
import { clip } from './safetensors.ts';

/** A tuple; lists are arrays, dicts are maps, sets are sets. */
export class PyTuple {
  constructor(readonly items: readonly PyValue[]) {}
}

/** A name that the caller's list allows, as a value or as something to call. */
export class PyGlobal {
  constructor(readonly name: string) {}
}

/** Something that only the caller knows: a storage, a tensor, a dtype. */
export abstract class PyOpaque {}

export type PyValue =
  | null
  | boolean
  | number
  | bigint
  | string
  | Uint8Array
  | PyTuple
  | PyGlobal
  | PyOpaque
  | PyValue[]
  | Map<PyValue, PyValue>
  | Set<PyValue>;

/** What a pickle may refer to outside itself. */
export interface PickleHost {
  /** The value of `module.name`, or `undefined` to refuse it. */
  resolve(module: string, name: string): PyValue | undefined;
  /** The result of calling an allowed name, or `undefined` to refuse these arguments. */
  call(callee: PyGlobal, args: readonly PyValue[]): PyValue | undefined;
  /** The object that a persistent id stands for. */
  persistent(id: PyValue): PyValue;
}

/** Limits far above any real checkpoint: a pickle of one-byte instructions must not fill the memory. */
const maxContainers = 1 << 20;
const maxStack = 1 << 22;
const maxLine = 1024;

/** Reads the pickle at `cursor`, which afterwards stands behind it. */
export function readPickle(cursor: Cursor, host: PickleHost): PyValue {
  return new Unpickler(cursor, host).run();
}

class Unpickler {
  private readonly stack: PyValue[] = [];
  private readonly marks: number[] = [];
  private readonly memo = new Map<number, PyValue>();
  private containers = 0;

  constructor(
    private readonly cursor: Cursor,
    private readonly host: PickleHost,
  ) {}

  run(): PyValue {
    for (;;) {
      const code = this.cursor.u8('pickle');
      if (code === 0x2e) return this.pop();
      const step = steps[code];
      if (!step) {
        const shown = code > 32 && code < 127 ? `'${String.fromCharCode(code)}'` : `0x${code.toString(16)}`;
        throw this.error(`instruction ${shown} is not one that weight files use`);
      }
      step(this);
      if (this.stack.length > maxStack) throw this.error(`more than ${maxStack} values are on the stack`);
    }
  }

  error(problem: string): Error {
    return this.cursor.error(`pickle, before offset ${this.cursor.offset}`, problem);
  }

  push(value: PyValue): void {
    this.stack.push(value);
  }

  /** Pushes a new container, and counts it. */
  pushNew(value: PyValue): void {
    if (++this.containers > maxContainers) throw this.error(`more than ${maxContainers} lists, tuples and dicts`);
    this.stack.push(value);
  }

  pop(): PyValue {
    const floor = this.marks.length > 0 ? this.marks[this.marks.length - 1] : 0;
    if (this.stack.length <= floor) throw this.error('the stack is empty');
    return this.stack.pop() as PyValue;
  }

  top(): PyValue {
    const value = this.pop();
    this.stack.push(value);
    return value;
  }

  mark(): void {
    this.marks.push(this.stack.length);
    if (this.marks.length > maxContainers) throw this.error('too many marks');
  }

  popToMark(): PyValue[] {
    const start = this.marks.pop();
    if (start === undefined) throw this.error('there is no mark');
    return this.stack.splice(start);
  }

  tuple(count: number): void {
    const items: PyValue[] = [];
    for (let i = 0; i < count; i++) items.unshift(this.pop());
    this.pushNew(new PyTuple(items));
  }

  /** A little-endian unsigned number of `size` bytes. */
  uint(size: 1 | 2 | 4 | 8): number {
    if (size === 8) return this.cursor.count64('pickle');
    let value = 0;
    for (let i = 0, unit = 1; i < size; i++, unit *= 256) value += this.cursor.u8('pickle') * unit;
    return value;
  }

  text(length: number): string {
    return this.cursor.text(length, 'pickle');
  }

  bytes(length: number): Uint8Array {
    return this.cursor.bytes(length, 'pickle');
  }

  /** Text up to the end of the line. */
  line(): string {
    let line = '';
    for (;;) {
      const code = this.cursor.u8('pickle');
      if (code === 10) return line;
      if (line.length >= maxLine) throw this.error(`a line is longer than ${maxLine} bytes`);
      line += String.fromCharCode(code);
    }
  }

  /** A two's-complement integer of `length` bytes. */
  long(length: number): void {
    if (length > 16) throw this.error(`an integer of ${length} bytes is not believed`);
    let value = 0n;
    const bytes = this.bytes(length);
    for (let i = length - 1; i >= 0; i--) value = (value << 8n) | BigInt(bytes[i]);
    value = BigInt.asIntN(length * 8, value);
    this.push(Number.isSafeInteger(Number(value)) ? Number(value) : value);
  }

  put(index: number): void {
    if (this.memo.size >= maxStack) throw this.error('too many values are remembered');
    this.memo.set(index, this.top());
  }

  putNext(): void {
    this.put(this.memo.size);
  }

  get(index: number): void {
    const value = this.memo.get(index);
    if (value === undefined) throw this.error(`value ${index} was never remembered`);
    this.push(value);
  }

  append(items: readonly PyValue[]): void {
    const target = this.top();
    if (!Array.isArray(target)) throw this.error('something is appended to what is no list');
    for (const item of items) target.push(item);
  }

  addToSet(items: readonly PyValue[]): void {
    const target = this.top();
    if (!(target instanceof Set)) throw this.error('something is added to what is no set');
    for (const item of items) target.add(item);
  }

  setItems(items: readonly PyValue[]): void {
    const target = this.top();
    if (!(target instanceof Map)) throw this.error('a key is set in what is no dict');
    this.fill(target, items);
  }

  fill(target: Map<PyValue, PyValue>, items: readonly PyValue[]): void {
    if (items.length % 2 !== 0) throw this.error('a key has no value');
    for (let i = 0; i < items.length; i += 2) {
      if (target.has(items[i])) {
        throw this.error(
          `the key ${typeof items[i] === 'string' ? `"${clip(items[i] as string)}"` : ''} occurs twice in a dict`,
        );
      }
      target.set(items[i], items[i + 1]);
    }
  }

  global(module: string, name: string): void {
    const value = this.host.resolve(module, name);
    if (value === undefined) {
      throw this.cursor.error(
        'pickle',
        `it refers to ${clip(`${module}.${name}`)}, which is no part of plain weights`,
        'Loading it could run code; save the state_dict alone, or as safetensors',
      );
    }
    this.push(value);
  }

  globalFromStack(): void {
    const name = this.pop();
    const module = this.pop();
    if (typeof name !== 'string' || typeof module !== 'string') throw this.error('a global without a name');
    this.global(module, name);
  }

  reduce(): void {
    const args = this.pop();
    const callee = this.pop();
    if (!(callee instanceof PyGlobal) || !(args instanceof PyTuple))
      throw this.error('something is called that cannot be');
    const value = this.host.call(callee, args.items);
    if (value === undefined) throw this.error(`${callee.name} is called with arguments that it does not take`);
    this.pushNew(value);
  }

  /** Gives an object its attributes: those of an OrderedDict (torch keeps version notes there) are of no use here. */
  build(): void {
    this.pop();
    if (!(this.top() instanceof Map)) throw this.error('attributes are given to what is no dict');
  }

  persistent(): void {
    this.push(this.host.persistent(this.pop()));
  }

  discard(count: number): void {
    this.bytes(count);
  }

  popOrMark(): void {
    if (this.marks.length > 0 && this.marks[this.marks.length - 1] === this.stack.length) this.marks.pop();
    else this.pop();
  }
}

/** What each instruction does. Those of protocol 0 that spell values as text, and extension codes, are left out. */
const steps: Readonly<Record<number, (machine: Unpickler) => void>> = {
  128: (m) => {
    const protocol = m.uint(1);
    if (protocol > 5) throw m.error(`protocol ${protocol} does not exist`);
  },
  149: (m) => void m.uint(8),
  40: (m) => m.mark(),
  48: (m) => m.popOrMark(),
  49: (m) => void m.popToMark(),
  50: (m) => m.push(m.top()),
  78: (m) => m.push(null),
  136: (m) => m.push(true),
  137: (m) => m.push(false),
  73: (m) => {
    const line = m.line();
    if (line === '00' || line === '01') m.push(line === '01');
    else if (/^-?\d{1,15}$/.test(line)) m.push(Number(line));
    else throw m.error('an integer is spelled wrongly');
  },
  74: (m) => m.push(m.uint(4) | 0),
  75: (m) => m.push(m.uint(1)),
  77: (m) => m.push(m.uint(2)),
  138: (m) => m.long(m.uint(1)),
  139: (m) => m.long(m.uint(4)),
  71: (m) => {
    const bytes = m.bytes(8);
    m.push(new DataView(bytes.buffer, bytes.byteOffset, 8).getFloat64(0, false));
  },
  84: (m) => m.push(m.text(m.uint(4))),
  85: (m) => m.push(m.text(m.uint(1))),
  88: (m) => m.push(m.text(m.uint(4))),
  140: (m) => m.push(m.text(m.uint(1))),
  141: (m) => m.push(m.text(m.uint(8))),
  66: (m) => m.push(m.bytes(m.uint(4))),
  67: (m) => m.push(m.bytes(m.uint(1))),
  142: (m) => m.push(m.bytes(m.uint(8))),
  150: (m) => m.push(m.bytes(m.uint(8))),
  93: (m) => m.pushNew([]),
  97: (m) => m.append([m.pop()]),
  101: (m) => m.append(m.popToMark()),
  108: (m) => m.pushNew(m.popToMark()),
  41: (m) => m.pushNew(new PyTuple([])),
  116: (m) => m.pushNew(new PyTuple(m.popToMark())),
  133: (m) => m.tuple(1),
  134: (m) => m.tuple(2),
  135: (m) => m.tuple(3),
  125: (m) => m.pushNew(new Map()),
  100: (m) => {
    const dict = new Map<PyValue, PyValue>();
    m.fill(dict, m.popToMark());
    m.pushNew(dict);
  },
  115: (m) => {
    const value = m.pop();
    m.setItems([m.pop(), value]);
  },
  117: (m) => m.setItems(m.popToMark()),
  143: (m) => m.pushNew(new Set()),
  144: (m) => m.addToSet(m.popToMark()),
  145: (m) => m.pushNew(new Set(m.popToMark())),
  103: (m) => m.get(Number(m.line())),
  104: (m) => m.get(m.uint(1)),
  106: (m) => m.get(m.uint(4)),
  112: (m) => m.put(Number(m.line())),
  113: (m) => m.put(m.uint(1)),
  114: (m) => m.put(m.uint(4)),
  148: (m) => m.putNext(),
  99: (m) => {
    const module = m.line();
    m.global(module, m.line());
  },
  147: (m) => m.globalFromStack(),
  82: (m) => m.reduce(),
  98: (m) => m.build(),
  81: (m) => m.persistent(),
};
