/** The declaration of `inkstone sweep`. Every setting of generation is a flag that takes several values. */
import { type Command, InvalidArgumentError, Option } from 'commander';
import { measureNames } from '../experiments/measures.ts';
import { settingTable } from '../generation/settings.ts';

export const SWEEP_EXAMPLES: readonly string[] = [
  'inkstone sweep --prompt "Once upon a time" --temperature 0.3,0.7,1.2 --top_k 10,50 --seeds 8',
  'inkstone sweep --model tang --prompt 【七绝】 --temperature 0.2..1.5 --search random --samples 20 --out poems',
  'inkstone sweep --prompt "The" --temperature 0.5,1 --top_p 0.8,0.95 --reference book.txt --search halving',
];

/** @param modelFlags adds the flags of every verb that opens a model. */
export function sweepFlags(command: Command, modelFlags: (command: Command) => Command): Command {
  command
    .addOption(new Option('--prompt <text>', 'a text to continue; may be given several times').argParser(collect))
    .option('--chat', "put each text through the model's chat template, as a user's turn")
    .addOption(new Option('--seeds <n>', 'answers in each cell, the same seeds in all (default: 8)').argParser(count))
    .addOption(
      new Option('--search <how>', 'all cells; cells drawn at random; halves that win (default: grid)').choices([
        'grid',
        'random',
        'halving',
      ]),
    )
    .addOption(
      new Option('--samples <n>', 'cells that are drawn, from lists and ranges (default: 16)').argParser(count),
    )
    .option('--objective <name>', `what cells are judged by, with - for less: ${measureNames.join(', ')}`)
    .option('--reference <file>', 'a text to compare with: adds mauve')
    .option('--out <folder>', 'for sweep.json and report.html (default: sweeps/<model>)')
    .option('--json', 'all of it as one object');
  modelFlags(command);
  command.optionsGroup('Settings of generation: one value, several 0.3,0.7, a range 0.2..1.5, or the flag repeated:');
  for (const { name, supported, en } of settingTable) {
    if (name === 'num_return_sequences') continue;
    const option = new Option(`--${name} <values>`, en).argParser(collect);
    command.addOption(supported === false ? option.hideHelp() : option);
  }
  return command;
}

function collect(text: string, before: readonly string[] = []): readonly string[] {
  return [...before, text];
}

function count(text: string): number {
  const value = Number(text);
  if (Number.isSafeInteger(value) && value >= 1) return value;
  throw new InvalidArgumentError('It has to be a whole number from 1 up.');
}
