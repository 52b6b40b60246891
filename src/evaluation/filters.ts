/** Filters: from the answers to a prompt to the text that is compared with the target. */
import { FileFormatError } from '../errors.ts';
import type { FilterSpec, FilterStep } from './types.ts';

/** What a regular expression that finds nothing gives, as in lm-evaluation-harness. */
const NOTHING = '[invalid]';

/** The arguments that each function takes. */
export const filterArguments: Readonly<Record<FilterStep['function'], readonly string[]>> = {
  regex: ['pattern', 'group_select', 'fallback'],
  take_first: [],
  majority_vote: [],
  strip: [],
  lowercase: [],
};

type Step = (answers: readonly string[]) => readonly string[];

/** A chain of steps as a function; of several answers that are left the first counts. @throws FileFormatError. */
export function makeFilter(spec: FilterSpec, where: string): (answers: readonly string[]) => string {
  const steps = spec.steps.map((step) => makeStep(step, `${where}: filters: ${spec.name}`));
  return (answers) => steps.reduce<readonly string[]>((list, step) => step(list), answers)[0] ?? '';
}

function makeStep(step: FilterStep, where: string): Step {
  switch (step.function) {
    case 'regex':
      return regexStep(step, where);
    case 'take_first':
      return (answers) => answers.slice(0, 1);
    case 'majority_vote':
      return (answers) => [mostFrequent(answers)];
    case 'strip':
      return (answers) => answers.map((text) => text.trim());
    case 'lowercase':
      return (answers) => answers.map((text) => text.toLowerCase());
  }
}

/** The match number `group_select` (negative from the end): its first group that took part, or the whole match. */
function regexStep({ pattern, group_select = 0, fallback = NOTHING }: FilterStep, where: string): Step {
  let expression: RegExp;
  try {
    expression = new RegExp(String(pattern), 'gu');
  } catch (error) {
    throw new FileFormatError(where, 'pattern', (error as Error).message);
  }
  return (answers) =>
    answers.map((text) => {
      const match = [...text.matchAll(expression)].at(Number(group_select));
      if (!match) return String(fallback);
      return (match.slice(1).find((group) => group !== undefined && group !== '') ?? match[0]).trim();
    });
}

/** The answer that is there most often; of equals the first. */
function mostFrequent(answers: readonly string[]): string {
  const counts = new Map<string, number>();
  for (const answer of answers) counts.set(answer, (counts.get(answer) ?? 0) + 1);
  let best = answers[0] ?? '';
  for (const [answer, count] of counts) if (count > (counts.get(best) ?? 0)) best = answer;
  return best;
}

/** Options of exact_match. */
export interface MatchOptions {
  readonly ignore_case?: boolean;
  readonly ignore_punctuation?: boolean;
  readonly ignore_numbers?: boolean;
  /** What is taken out of both texts before they are compared. */
  readonly regexes_to_ignore?: readonly string[];
}

export const matchOptions = ['ignore_case', 'ignore_punctuation', 'ignore_numbers', 'regexes_to_ignore'] as const;

/** Whether an answer is the target. @throws FileFormatError for a pattern that is none. */
export function makeMatch(options: MatchOptions, where: string): (answer: string, target: string) => boolean {
  const patterns = (options.regexes_to_ignore ?? []).map((pattern) => {
    try {
      return new RegExp(pattern, 'gsu');
    } catch (error) {
      throw new FileFormatError(where, 'regexes_to_ignore', (error as Error).message);
    }
  });
  const plain = (text: string): string => {
    let rest = patterns.reduce((kept, pattern) => kept.replace(pattern, ''), text);
    if (options.ignore_case) rest = rest.toLowerCase();
    if (options.ignore_punctuation) rest = rest.replace(/[!-/:-@[-`{-~]/g, '');
    if (options.ignore_numbers) rest = rest.replace(/[0-9]/g, '');
    return rest;
  };
  return (answer, target) => plain(answer) === plain(target);
}
