/** Templates over the fields of a document: Jinja, by the project's own interpreter, in a bounded number of steps. */
import { FileFormatError, SettingError } from '../errors.ts';
import { nearestNames } from '../nearest.ts';
import type { Stmt } from '../prompts/jinja/ast.ts';
import { DataReader } from '../prompts/jinja/data.ts';
import { ChatTemplateError, Failure } from '../prompts/jinja/errors.ts';
import { GLOBALS } from '../prompts/jinja/globals.ts';
import { renderTree } from '../prompts/jinja/interpreter.ts';
import { parseTemplate } from '../prompts/jinja/parser.ts';
import type { Value } from '../prompts/jinja/values.ts';
import type { Document } from './types.ts';

/** Steps of one rendering; 16 more are granted for every character of the document. */
const STEPS = 200_000;
const STEPS_PER_CHARACTER = 16;
/** Dates have no part in a score: templates see one moment. */
const NOW = new Date(0);

/** A template, read once and rendered for each document. Fields that a document lacks are refused, not left blank. */
export class TaskTemplate {
  private readonly body: readonly Stmt[];
  private readonly fields: readonly string[];

  /** @param where how messages call it: "sst2: doc_to_text". @throws ChatTemplateError with the line. */
  constructor(
    readonly source: string,
    private readonly where: string,
  ) {
    try {
      this.body = parseTemplate(source, where);
    } catch (error) {
      if (error instanceof RangeError) throw new ChatTemplateError('Limit', 'the template nests too deeply', 0, where);
      throw error;
    }
    this.fields = freeNames(this.body);
  }

  /** @throws ChatTemplateError, and FileFormatError for a field that is not there. */
  render(document: Document): string {
    for (const name of this.fields) {
      if (Object.hasOwn(document, name)) continue;
      const keys = Object.keys(document);
      const [near] = nearestNames(name, keys, 1);
      const hint = near === undefined ? `It has ${keys.slice(0, 12).join(', ')}` : `Did you mean ${near}?`;
      throw new FileFormatError(this.where, '', `the document has no field "${name}"`, hint);
    }
    const reader = new DataReader();
    const variables = new Map<string, Value>();
    try {
      for (const [name, value] of Object.entries(document)) variables.set(name, reader.read(value));
    } catch (error) {
      if (error instanceof Failure) throw new ChatTemplateError(error.errorType, error.message, 0, this.where);
      throw error;
    }
    const steps = STEPS + STEPS_PER_CHARACTER * reader.size;
    return renderTree(this.body, variables, { now: NOW, steps, file: this.where }).text;
  }
}

/** Names that a template reads and does not make itself; what it asks about (`is defined`, `default`) may be missing. */
function freeNames(body: readonly Stmt[]): string[] {
  const read = new Set<string>();
  const bound = new Set<string>(['loop', 'caller', 'varargs', 'kwargs', 'true', 'false', 'none']);
  for (const name of GLOBALS.keys()) bound.add(name);
  const visit = (node: unknown, role: string): void => {
    if (Array.isArray(node)) for (const child of node) visit(child, role);
    if (typeof node !== 'object' || node === null || Array.isArray(node)) return;
    const { kind, name, input } = node as {
      kind?: unknown;
      name?: unknown;
      input?: { kind?: unknown; name?: unknown };
    };
    if (kind === 'name' && typeof name === 'string') (['target', 'bindings'].includes(role) ? bound : read).add(name);
    else if (['parameters', 'macro', 'caller'].includes(role)) bound.add(String(name));
    if ((kind === 'test' || kind === 'filter') && input?.kind === 'name' && isAsking(String(name))) {
      bound.add(String(input.name));
    }
    const inTarget = role === 'target' && (kind === 'tuple' || kind === undefined);
    for (const [key, child] of Object.entries(node)) visit(child, inTarget ? 'target' : key);
  };
  visit(body, 'body');
  return [...read].filter((name) => !bound.has(name));
}

function isAsking(name: string): boolean {
  return ['defined', 'undefined', 'default', 'd'].includes(name);
}

/** A template whose text is a number of a list. @throws SettingError. */
export function placeOf(text: string, choices: readonly string[], where: string): number {
  const trimmed = text.trim();
  const named = choices.indexOf(text);
  if (named >= 0) return named;
  const place = /^\d+$/.test(trimmed) ? Number(trimmed) : choices.indexOf(trimmed);
  if (place >= 0 && place < choices.length) return place;
  throw new SettingError(
    `${where}: doc_to_target`,
    text,
    `is neither a choice nor the place of one of ${choices.length}`,
  );
}
