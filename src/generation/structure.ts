/** From `structured_output` to a constraint: whatever the rule is written in becomes a grammar, and that one engine follows. */
import { SettingError } from '../errors.ts';
import type { Tokenizer } from '../tokenizers/index.ts';
import { choicesGrammar } from './constraints/choices.ts';
import { afterMarker } from './constraints/constraint_marker.ts';
import { parseEbnf } from './constraints/ebnf.ts';
import { compileGrammar } from './constraints/engine.ts';
import { parseGbnf } from './constraints/gbnf.ts';
import type { Grammar } from './constraints/grammar.ts';
import { regexGrammar } from './constraints/regular/grammar.ts';
import { jsonGrammar, schemaGrammar } from './constraints/schema/grammar.ts';
import type { Constraint } from './constraints/types.ts';
import { constraintVocabulary } from './constraints/vocabulary.ts';
import type { StructuredOutput } from './types.ts';

/** Constraints that were compiled lately, by tokenizer and rule: a server is asked for the same ones again and again. */
const compiled = new WeakMap<Tokenizer, Map<string, Constraint>>();
const KEPT = 64;

/** @throws SettingError with what cannot be followed, and where. */
export function compileStructure(rule: StructuredOutput, tokenizer: Tokenizer): Constraint {
  const known = compiled.get(tokenizer) ?? new Map<string, Constraint>();
  compiled.set(tokenizer, known);
  const key = keyOf(rule);
  const found = known.get(key);
  if (found) return found;
  const vocabulary = constraintVocabulary(tokenizer);
  const inner = compileGrammar(grammarOf(rule), vocabulary);
  const constraint = rule.after === undefined ? inner : afterMarker(inner, rule.after, vocabulary);
  if (known.size >= KEPT) known.delete(known.keys().next().value!);
  known.set(key, constraint);
  return constraint;
}

function keyOf(rule: StructuredOutput): string {
  try {
    return JSON.stringify(rule);
  } catch (error) {
    throw new SettingError('structured_output', 'a value', `is not JSON (${(error as Error).message})`);
  }
}

function grammarOf({ json, regex, grammar, choice, whitespace }: StructuredOutput): Grammar {
  if (regex !== undefined) return regexGrammar(regex);
  if (choice !== undefined) return choicesGrammar(choice);
  // GBNF writes `::=` and nothing at the end of a rule; rules that end in semicolons, or are written with `=`, are EBNF.
  if (grammar !== undefined) {
    return /^\s*[\w-]+\s*=[^>]|;\s*$/m.test(grammar) ? parseEbnf(grammar) : parseGbnf(grammar);
  }
  return json === true ? jsonGrammar({ whitespace }) : schemaGrammar(json, { whitespace });
}
