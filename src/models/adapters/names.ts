/** Which names of modules are meant: lists and expressions as peft matches them, on a machine that a hostile expression cannot hang. */
import { CapacityError, SettingError } from '../../errors.ts';
import { Pattern } from '../../tokenizers/pattern.ts';
import { PatternProblem } from '../../tokenizers/pattern-syntax.ts';

const LONGEST = 2000;

/** Whether an expression of Python's `re` matches the whole of a text. @throws SettingError for one that cannot be read or takes too long. */
export function fullMatcher(setting: string, expression: string): (text: string) => boolean {
  const refuse = (problem: string) => new SettingError(setting, expression, problem);
  if (expression.length > LONGEST) throw refuse(`is an expression of more than ${LONGEST} characters`);
  let pattern: Pattern;
  try {
    pattern = new Pattern(`\\A(?:${expression.replaceAll(/\(\?P<\w+>/g, '(?:')})\\z`);
  } catch (error) {
    if (error instanceof PatternProblem) throw refuse(`cannot be read as an expression: ${error.message}`);
    throw error;
  }
  return (text) => {
    let found = false;
    try {
      pattern.matches(text, (start, end) => {
        found ||= start === 0 && end === text.length;
      });
    } catch (error) {
      if (error instanceof CapacityError) throw refuse(`takes too long to match "${text}"`);
      throw error;
    }
    return found;
  };
}

/** Whether a module is named by a list: as a whole, or by its end after a dot. */
export function isNamed(module: string, name: string): boolean {
  return module === name || module.endsWith(`.${name}`);
}

/** The value of the first expression of a table that matches a module's name or the end of it. */
export function patternValue(
  setting: string,
  table: Readonly<Record<string, number>>,
): (module: string) => number | undefined {
  const rows = Object.entries(table).map(([expression, value]) => ({
    value,
    matches: fullMatcher(setting, `(?:.*\\.)?(?:${expression})`),
  }));
  return (module) => rows.find(({ matches }) => matches(module))?.value;
}
