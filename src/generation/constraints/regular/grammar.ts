/** From a regular expression to a grammar of raw text. */
import { SettingError } from '../../../errors.ts';
import type { Expression, Grammar } from '../grammar.ts';
import { byteAutomaton, RAW } from './bytes.ts';
import { type Anchoring, compileNode } from './determinise.ts';
import { isEmpty } from './dfa.ts';
import { nodeExpression } from './expression.ts';
import { PatternProblem } from './problem.ts';
import { parseExpression } from './syntax.ts';

/**
 * The grammar of the texts that are a match of an ECMA-262 expression (with the meaning of its `u` flag), or, when searching, that hold one. Repetitions too
 * many for an automaton are counted.
 * @throws SettingError where the expression is malformed, not regular (look-behind, back-references), matches nothing, or is too large.
 */
export function regexGrammar(source: string, anchoring: Anchoring = 'whole'): Grammar {
  if (typeof source !== 'string')
    throw new SettingError('regex', source, 'is not a regular expression: a string is needed');
  try {
    return { rules: new Map([['text', expressionOf(source, anchoring)]]), start: 'text' };
  } catch (error) {
    if (error instanceof PatternProblem) throw new SettingError('regex', source, error.message);
    throw error;
  }
}

function expressionOf(source: string, anchoring: Anchoring): Expression {
  const node = parseExpression(source);
  try {
    const language = compileNode(node, anchoring);
    if (isEmpty(language)) throw new PatternProblem('matches no text at all');
    return { kind: 'automaton', automaton: byteAutomaton(language, RAW) };
  } catch (error) {
    if (!(error instanceof PatternProblem && error.large)) throw error;
    return nodeExpression(node, anchoring, RAW);
  }
}
