/**
 * The errors of the whole project: a handful of classes that carry data and build their message from it.
 * Every message says what was wrong, where, and what to do. The command line prints `message` alone.
 */

/** The root of every error that Inkstone raises on purpose. Anything else that escapes is a defect. */
export abstract class InkstoneError extends Error {
  override get name(): string {
    return this.constructor.name;
  }
}

/** A setting, argument or flag that cannot be used as given. */
export class SettingError extends InkstoneError {
  constructor(
    /** The name of the setting, as the user wrote it. */
    readonly setting: string,
    /** What was given. */
    readonly value: unknown,
    /** What is wrong with it, and what would be right: completes "`setting` = value …". */
    readonly problem: string,
  ) {
    super(`${setting} = ${show(value)}: ${problem}`);
  }
}

/** A file whose content is not what its format demands: damaged, truncated, hostile or of an unsupported kind. */
export class FileFormatError extends InkstoneError {
  constructor(
    /** The file as the user knows it. */
    readonly file: string,
    /** Where in it: a field, an offset, a tensor's name. Empty when the whole file is meant. */
    readonly where: string,
    /** What is wrong, with the values found. */
    readonly problem: string,
    /** What to do about it. */
    readonly hint = '',
  ) {
    super(`${file}${where ? `: ${where}` : ''}: ${problem}${hint ? `. ${hint}` : ''}`);
  }
}

/** Something named by the user that is not there: a model, a file, a tensor. */
export class NotFoundError extends InkstoneError {
  constructor(
    /** The kind of thing: "model", "file". */
    readonly kind: string,
    /** The name that was looked for. */
    readonly wanted: string,
    /** Each place that was tried, with what happened there. */
    readonly tried: readonly string[] = [],
    /** Names that the user may have meant, nearest first. */
    readonly nearest: readonly string[] = [],
  ) {
    const places = tried.length > 0 ? `\nTried:\n${tried.map((place) => `  - ${place}`).join('\n')}` : '';
    const meant = nearest.length > 0 ? ` Did you mean ${nearest.join(', ')}?` : '';
    super(`${kind} "${wanted}" was not found.${meant}${places}`);
  }
}

/** Shapes or dtypes that an operation cannot take. Raised while a graph is built, never while it runs. */
export class ShapeError extends InkstoneError {
  constructor(
    /** The operation. */
    readonly operation: string,
    readonly problem: string,
  ) {
    super(`${operation}: ${problem}`);
  }
}

/** A request larger than what there is: context, pages, memory. */
export class CapacityError extends InkstoneError {
  constructor(
    /** What ran out: "context", "KV cache". */
    readonly resource: string,
    readonly needed: number,
    readonly available: number,
    /** The unit of both numbers. */
    readonly unit: string,
    readonly hint = '',
  ) {
    super(`${resource}: ${needed} ${unit} needed, ${available} available${hint ? `. ${hint}` : ''}`);
  }
}

/** The outside failed: network, disk, a native library. */
export class EnvironmentError extends InkstoneError {}

/** Work that the user interrupted. */
export class InterruptedError extends InkstoneError {
  constructor(message = 'interrupted') {
    super(message);
  }
}

const SHOWN = 80;

/** A value for a message: JSON as far as it is short. Deep, circular and huge values cost no more than what is shown of them. */
function show(value: unknown): string {
  const text = write(value, SHOWN + 1, 0);
  if (text.length <= SHOWN) return text;
  const cut = `${text.slice(0, SHOWN - 3)}…`;
  return typeof value === 'string' ? `${cut}"` : cut;
}

function write(value: unknown, room: number, depth: number): string {
  if (typeof value === 'string') return JSON.stringify(value.slice(0, room));
  if (typeof value !== 'object' || value === null) return String(value).slice(0, room);
  const isList = Array.isArray(value);
  if (!isList && ![Object.prototype, null].includes(Object.getPrototypeOf(value))) {
    return Object.prototype.toString.call(value);
  }
  if (depth > SHOWN) return '…';
  let text = isList ? '[' : '{';
  const parts = isList ? value.keys() : Object.keys(value);
  for (const key of parts) {
    if (text.length > room) return text;
    const part = write((value as Record<string | number, unknown>)[key], room - text.length, depth + 1);
    text += `${text.length > 1 ? ',' : ''}${typeof key === 'number' ? '' : `${JSON.stringify(key.slice(0, room))}:`}${part}`;
  }
  return text + (isList ? ']' : '}');
}
