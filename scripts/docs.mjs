/** Writes docs/cli.md from the declaration of the command line, so that the two cannot differ. Run `npm run build` first. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const root = join(fileURLToPath(import.meta.url), '..', '..');

/** The page, from what src/cli/program.ts exports. */
export function renderCommandLine({ buildProgram, EXAMPLES }) {
  const lines = [
    '# The command line',
    '',
    'Made by `node scripts/docs.mjs` from `src/cli/program.ts`; do not edit.',
    '',
    'Data goes to stdout, progress and remarks to stderr. Exit codes: 0 done, 1 error, 2 a command line that cannot be understood,',
    '100 a metric below what `eval --min` asks, 130 interrupted. Settings of generation are flags under their own names; hyphens are accepted for underscores.',
    'From a checkout, `npm start --` stands for `inkstone`.',
  ];
  for (const command of buildProgram().commands) {
    const places = command.registeredArguments.map((argument) => {
      const name = `${argument.name()}${argument.variadic ? '...' : ''}`;
      return argument.required ? `<${name}>` : `[${name}]`;
    });
    lines.push('', `## ${command.name()}`, '', sentence(command.description()), '');
    lines.push('```sh', ['inkstone', command.name(), '[flags]', ...places].join(' '), '```', '', '| | |', '|---|---|');
    for (const argument of command.registeredArguments) lines.push(row(argument.name(), argument.description));
    for (const option of command.options) if (!option.hidden) lines.push(row(option.flags, describe(option)));
    lines.push('', '```sh', ...EXAMPLES[command.name()], '```');
  }
  return `${lines.join('\n')}\n`;
}

const row = (name, text) =>
  `| \`${name.replaceAll('|', '\\|')}\` | ${text.replaceAll('|', '\\|').replaceAll('<', '&lt;')} |`;
const sentence = (text) => `${text[0].toUpperCase()}${text.slice(1)}.`;
const describe = ({ description, argChoices }) =>
  argChoices ? `${description} (${argChoices.join(', ')})` : description;

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const program = await import(pathToFileURL(join(root, 'dist', 'cli', 'program.js')));
  writeFileSync(join(root, 'docs', 'cli.md'), renderCommandLine(program));
}
