/** The declaration of `inkstone tune`. Every field of fine-tuning is a flag under its own name. */
import { type Command, Option } from 'commander';
import { presetFields } from '../training/preset_fields.ts';
import { type TuneField, tuneFields, tuneMethods } from '../training/tuning_fields.ts';

export const TUNE_EXAMPLES: readonly string[] = [
  'inkstone tune --model smollm2-135m-instruct --data pairs.jsonl --out my-model',
  'inkstone tune --model smollm2-135m-instruct --data chats.jsonl --r 8 --epochs 2 --plan',
  'inkstone tune --method dpo --model smollm2-135m-instruct --data preferences.json --beta 0.1',
  'inkstone tune --method classify --model smollm2-135m-instruct --data train.tsv --validation dev.tsv',
  'inkstone tune --method grpo --model ./adder --data sums.jsonl --full true --reward exact',
  'inkstone tune --resume my-model',
];

/** Readers of values, shared with other verbs. */
export interface FlagParsers {
  wholeFrom(least: number): (text: string) => number;
  fraction(text: string): number;
  timeSpan(text: string): number;
}

export function tuneFlags(command: Command, { wholeFrom, fraction, timeSpan }: FlagParsers): Command {
  const collect = (text: string, before: readonly string[] = []): readonly string[] => [...before, text];
  const steps = (name: string, what: string) =>
    command.addOption(new Option(`--${name} <n>`, what).argParser(wholeFrom(0)));
  command
    .argument('[data...]', 'files of records, as with --data')
    .option('--model <name>', 'what is tuned: a name, a hub id, a directory or a file')
    .option('--data <path...>', 'records: JSONL, JSON, CSV, TSV or text, also as .gz and .zst')
    .addOption(new Option('--method <name>', 'how it is tuned (default: sft)').choices(tuneMethods))
    .option('--format <name>', 'of the records: messages, sharegpt, alpaca, prompt … (default: told by their fields)')
    .option('--separator <text>', 'what stands between texts of a plain-text file (default: a file is one)')
    .option('--out <folder>', "the run's folder (default: runs/<model>-<method>)")
    .option('--resume <folder>', 'go on with the run of this folder, from its last whole checkpoint')
    .option('--plan', 'say what the run would be, and stop')
    .option('--validation <path...>', 'validation data of its own')
    .addOption(
      new Option('--validation_fraction <n>', 'share of the records set apart (default: 0.1)').argParser(fraction),
    )
    .addOption(
      new Option(
        '--reward <spec>',
        'grpo: exact[:FIELD], number[:FIELD], format:EXPRESSION or length:N, with *WEIGHT; may be given several times',
      ).argParser(collect),
    )
    .addOption(new Option('--seed <n>', 'of the data, first values and dropout (default: 0)').argParser(wholeFrom(0)));
  steps('eval_every', 'steps between evaluations; 0 for the end alone');
  steps('save_every', 'steps between checkpoints; 0 for the end alone');
  steps('sample_every', 'steps between answers that are shown; 0 for none');
  steps('patience', 'stop after so many evaluations without a better one');
  command
    .addOption(new Option('--max-time <time>', 'stop after so long: 90s, 30m, 8h').argParser(timeSpan))
    .addOption(new Option('--keep <n>', 'checkpoints kept besides the best (default: 1)').argParser(wholeFrom(1)))
    .addOption(
      new Option('--precision <name>', 'of products of weights that learn (default: float32)').choices([
        'float32',
        'bfloat16',
      ]),
    )
    .option('--recompute', 'compute layers again for their gradients, to save memory')
    .option('--backend <name>', 'where to compute (default: the fastest here; see doctor)')
    .addOption(new Option('--threads <n>', 'threads to compute with').argParser(wholeFrom(1)))
    .option('--offline', 'use only what is on this machine')
    .option('--plain', 'lines instead of a live view')
    .option('--json', 'the end of the run, or the plan, as one object');
  const groups: readonly [TuneField['group'], string][] = [
    ['run', 'What learns, and for how long:'],
    ['adapter', 'The adapter:'],
    ['data', 'Examples:'],
    ['method', 'The method:'],
  ];
  for (const [group, title] of groups) {
    command.optionsGroup(title);
    for (const field of tuneFields.filter((each) => each.group === group)) command.option(flagOf(field), textOf(field));
  }
  command.optionsGroup('Training:');
  for (const { name, kind, choices, en, group } of presetFields) {
    if (group !== 'training') continue;
    command.option(`--${name} <${placeholderOf(kind)}>`, choices ? `${en}: ${choices.join(', ')}` : en);
  }
  return command;
}

function flagOf({ name, kind }: TuneField): string {
  return `--${name} <${placeholderOf(kind)}>`;
}

function textOf({ en, of, default: value, choices }: TuneField): string {
  const which = of ? `${of.join(', ')}: ` : '';
  const among = choices ? `: ${choices.join(', ')}` : '';
  const usual = value === null || en.includes('default') ? '' : ` (default: ${value})`;
  return `${which}${en}${among}${usual}`;
}

function placeholderOf(kind: string): string {
  return { boolean: 'true|false', choice: 'name', text: 'text' }[kind] ?? 'n';
}
