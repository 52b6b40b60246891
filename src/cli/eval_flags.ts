/** The declaration of `inkstone eval`. */
import { type Command, InvalidArgumentError, Option } from 'commander';

export const EVAL_EXAMPLES: readonly string[] = [
  'inkstone eval --tasks lambada --limit 500 --data ./eval-data',
  'inkstone eval --model ./my-model --tasks blimp,arithmetic --out results',
  'inkstone eval --tasks sst2 --shots 0,1,4,16 --limit 400 --data ./eval-data',
  'inkstone eval --tasks my-task.json --min my-task.acc=0.8',
  'inkstone eval --base-url http://localhost:8000/v1 --api-model my-model --tasks gsm8k --limit 50 --data ./eval-data',
  'inkstone eval compare small.json large.json --out small-large.html',
  'inkstone eval contamination corpus/*.txt --tasks lambada,gsm8k --data ./eval-data',
  'inkstone eval --tasks perplexity --dataset perplexity=book.txt',
];

/** @param modelFlags adds the flags of every verb that opens a model. */
export function evalFlags(command: Command, modelFlags: (command: Command) => Command): Command {
  command
    .argument('[what...]', 'nothing, to evaluate; or: compare A.json B.json; or: contamination FILE…')
    .option('--tasks <list>', 'names or .json files with commas between them; `--tasks list` prints the names')
    .option('--data <folder>', 'where the files of tasks are (default: $INKSTONE_DATA)')
    .addOption(new Option('--dataset <task=file>', 'a file or glob for a task; may be repeated').argParser(collect))
    .addOption(new Option('--shots <list>', 'exemplars before each question: 0,1,4,16').argParser(counts))
    .addOption(new Option('--limit <n>', 'documents of each task at most').argParser(whole))
    .addOption(new Option('--seed <n>', 'of exemplars, rule-made tasks, bootstrap (default: 1234)').argParser(whole))
    .option('--chat', "put prompts that are answered through the model's chat template")
    .option('--base-url <url>', 'ask a model behind an OpenAI-compatible address: http://localhost:8000/v1')
    .option('--api-model <name>', "the model's name there")
    .option('--api-key-env <name>', 'the variable that holds its key (default: OPENAI_API_KEY)')
    .option(
      '--api-prefix <text>',
      'what stands before a text that has nothing before it, where the server adds nothing',
    )
    .addOption(new Option('--concurrency <n>', 'requests to it at once (default: 4)').argParser(positive))
    .option('--samples', 'keep prompts and answers in the files of --out')
    .addOption(new Option('--min <task.metric=value>', 'exit with 100 below it; may be repeated').argParser(collect))
    .option('--out <path>', 'a .json file or a folder for the result and its page; an interrupted run goes on there')
    .option('--json', 'the result as one object');
  return modelFlags(command);
}

function collect(text: string, before: readonly string[] = []): readonly string[] {
  return [...before, text];
}

function whole(text: string): number {
  const value = Number(text);
  if (text.trim() !== '' && Number.isSafeInteger(value) && value >= 0) return value;
  throw new InvalidArgumentError('It has to be a whole number from 0 up.');
}

function positive(text: string): number {
  const value = whole(text);
  if (value > 0 && value <= 1000) return value;
  throw new InvalidArgumentError('It has to be a whole number from 1 to 1000.');
}

function counts(text: string): number[] {
  const values = text.split(',').map((part) => (part.trim() === '' ? Number.NaN : Number(part)));
  if (values.every((value) => Number.isSafeInteger(value) && value >= 0 && value <= 1000)) return values;
  throw new InvalidArgumentError('It has to be whole numbers from 0 to 1000 with commas between them: 0,1,4,16');
}
