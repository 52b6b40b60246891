/**
 * The declaration of the command line: every verb with its arguments, flags and examples. The parser, `--help` and docs/cli.md are made
 * from it. What a verb does is in a file of its own, loaded when it is used.
 */
import { Command, InvalidArgumentError, Option } from 'commander';
import { type SettingSpec, settingTable } from '../generation/settings.ts';
import { corpusFormats } from '../node/corpus_files.ts';
import { packageVersion } from '../node/version.ts';
import { presetFields } from '../training/preset_fields.ts';
import { EVAL_EXAMPLES, evalFlags } from './eval_flags.ts';
import { SWEEP_EXAMPLES, sweepFlags } from './sweep_flags.ts';
import { TUNE_EXAMPLES, tuneFlags } from './tune_flags.ts';

/** Shown below the flags of each verb. */
export const EXAMPLES: Readonly<Record<string, readonly string[]>> = {
  generate: [
    'inkstone generate "Once upon a time" --max_new_tokens 40',
    'inkstone generate "Once" "Twice" --model gpt2 --do_sample true --seed 7',
    'inkstone generate --chat "What is a haiku?" --json',
    'inkstone generate "Once upon" --do_sample true --top_k 20 --max_new_tokens 5 --explain',
    'cat letter.txt | inkstone generate -',
  ],
  chat: ['inkstone chat --system "Answer in one sentence."', 'printf "Hi\\nWho are you?\\n" | inkstone chat --seed 1'],
  sweep: SWEEP_EXAMPLES,
  eval: EVAL_EXAMPLES,
  logits: [
    'inkstone logits --prompt "The capital of France is" --last --top 10',
    'inkstone logits --model ./gpt2 --ids 15496,11 --precision exact --json',
  ],
  tokenize: [
    'inkstone tokenize --model gpt2 "Hello, 世界"',
    'echo \'{"text":"Hello"}\' | inkstone tokenize --json',
    'inkstone tokenize --decode 19556,28',
  ],
  inspect: ['inkstone inspect model.gguf', 'inkstone inspect ./my-model --json'],
  convert: [
    'inkstone convert ./my-model my-model.gguf --type q8_0',
    'inkstone convert model.gguf ./my-model',
    'inkstone convert ./my-model ./merged --merge ./my-adapter',
  ],
  plan: [
    'inkstone plan gpt2-124m --batch_size 4',
    'inkstone plan modern --depth 8 --memory 24GB --flops 180e9 --json',
    'inkstone plan',
  ],
  train: [
    'inkstone train poems.txt --out my-model',
    'inkstone train shakespeare.txt --model shakespeare-cpu --max_steps 500 --seed 3',
    "inkstone train 'books/**/*.txt' more.jsonl.zst --model modern --depth 4 --max-time 8h",
    'inkstone train --resume my-model',
  ],
  tune: TUNE_EXAMPLES,
  classify: [
    'inkstone classify --model my-classifier "a stirring film"',
    'inkstone classify --model my-classifier --file test.tsv',
  ],
  runs: [
    'inkstone runs',
    'inkstone runs show my-model',
    'inkstone runs compare small large --plot --x tokens --y validation',
  ],
  pull: ['inkstone pull gpt2', 'HF_ENDPOINT=https://my.mirror inkstone pull Qwen/Qwen3-0.6B'],
  models: ['inkstone models'],
  doctor: ['inkstone doctor'],
};

/** The whole command line. */
export function buildProgram(): Command {
  const program = new Command('inkstone')
    .description('Inkstone: a GPT workshop. Data goes to stdout, all else to stderr.')
    .version(packageVersion(), '--version', 'print the version')
    .helpOption('-h, --help', 'print this help')
    .helpCommand('help [verb]', 'print the help of a verb')
    .exitOverride()
    .showSuggestionAfterError()
    .configureHelp({ helpWidth: Math.min(process.stdout.columns ?? 80, 100), minWidthToWrap: 20 });

  const generate = verb(program, 'generate', 'continue a text, as it is or as a turn of a conversation')
    .argument('[prompt...]', 'texts to continue; "-" reads one from stdin')
    .addOption(new Option('--ids <ids>', 'token ids instead of text: 1,2,3').argParser(idList))
    .option('--chat', "put each text through the model's chat template, as a user's turn")
    .option('--system <text>', 'the system message before it (with --chat)')
    .option('--no-prompt', 'print the new text alone, without the prompt before it')
    .option('--assistant <model>', 'a smaller model that drafts: the same text, sooner')
    .option('--explain', 'what happened at each step: candidates before and after, and what each setting cut')
    .addOption(
      new Option('--explain-tokens <ids>', 'with --explain: the probabilities of these ids too').argParser(idList),
    )
    .option('--json', 'one object: text, ids, finish_reason, seed, timings; a list of several')
    .action(async (prompts: string[], flags) => (await import('./generate.ts')).generateCommand(prompts, flags));
  settingFlags(modelFlags(generate));

  const chat = verb(program, 'chat', 'talk with a model; each line of stdin is a turn, /help lists commands')
    .option('--system <text>', 'the system message')
    .option('--json', 'each answer as a line of JSON')
    .action(async (flags) => (await import('./chat.ts')).chatCommand(flags));
  settingFlags(modelFlags(chat));

  const sweep = verb(program, 'sweep', 'compare settings: the same prompts and seeds in every cell, measured');
  sweepFlags(sweep, modelFlags).action(async (flags) => (await import('./sweep.ts')).sweepCommand(flags));

  const evaluation = verb(program, 'eval', 'score a model on tasks: likelihoods, choices, answers, with intervals');
  evalFlags(evaluation, modelFlags).action(async (what: string[], flags) =>
    (await import('./eval.ts')).evalCommand(what, flags),
  );

  const logits = verb(program, 'logits', 'the scores of every possible next token')
    .option('--prompt <text>', 'a text')
    .addOption(new Option('--ids <ids>', 'token ids instead: 1,2,3').argParser(idList))
    .option('--last', 'of the last position alone')
    .addOption(new Option('--top <n>', 'show the n best tokens (default: 5)').argParser(wholeFrom(1)))
    .option('--json', 'ids and the float32 logits of every position; with --top the best alone')
    .action(async (flags) => (await import('./logits.ts')).logitsCommand(flags));
  modelFlags(logits);

  verb(program, 'tokenize', 'texts to token ids, pieces and offsets, and back')
    .argument('[text...]', 'texts (with --decode: ids); without any, each line of stdin is one')
    .option('--model <name>', 'a model, a directory, a GGUF file, a tokenizer.json or a rank file')
    .option('--decode', 'the other way: ids to text')
    .option('--parse-special', 'let the text contain special tokens: <|im_end|> is that token')
    .option('--no-add-special', "leave out the tokens that the tokenizer's template puts around")
    .option('--skip-special', 'with --decode: leave special tokens out')
    .option('--offline', 'use only what is on this machine')
    .option('--json', 'lines of JSON in (a string or {"text"}) and out ({ids, tokens, offsets})')
    .action(async (texts: string[], flags) => (await import('./tokenize.ts')).tokenizeCommand(texts, flags));

  verb(program, 'inspect', 'what is in a weight file, a tokenizer.json or a config.json')
    .argument('<file>', 'a file, or the directory of a model')
    .option('--json', 'all of it as one object')
    .action(async (file: string, flags) => (await import('./inspect.ts')).inspectCommand(file, flags));

  verb(program, 'convert', 'between safetensors, GGUF, torch and llama2.c files')
    .argument('<input>', 'a file, or the directory of a model')
    .argument('<output>', 'a .gguf file, a .safetensors file, or a new directory for a model')
    .addOption(new Option('--type <type>', 'of matrices').choices(['f32', 'f16', 'bf16', 'q8_0', 'q4_0']))
    .option('--merge <adapter>', 'make a LoRA adapter part of the weights')
    .addOption(new Option('--names <how>', 'keep: leave names and rows as they are').choices(['auto', 'keep']))
    .option('--force', 'replace an output that is there')
    .option('--json', 'the report as one object')
    .action(async (input: string, output: string, flags) =>
      (await import('./convert.ts')).convertCommand(input, output, flags),
    );

  const plan = verb(program, 'plan', 'what a model costs before it is trained: parameters, memory, arithmetic, time')
    .argument('[preset]', 'a preset; without one, all of them are listed')
    .addOption(new Option('--precision <name>', 'of training (default: float32)').choices(['float32', 'bfloat16']))
    .option('--recompute', 'compute layers again for their gradients, to save memory')
    .addOption(
      new Option('--memory <size>', 'to fit into, or exit with 1: 24GB (default: what is here)').argParser(quantity),
    )
    .addOption(
      new Option('--flops <rate>', 'FLOPs a second: 180e9 (default: the peak here, measured)').argParser(quantity),
    )
    .addOption(new Option('--tokens <n>', "to train on: 300B (default: the preset's)").argParser(quantity))
    .option('--json', 'all of it as one object')
    .action(async (preset: string | undefined, flags) => (await import('./plan.ts')).planCommand(preset, flags));
  presetFlags(plan);

  const train = verb(
    program,
    'train',
    'learn a model from text: a run folder that is a model, with its curves and checkpoints',
  )
    .argument('[data...]', 'files, folders or globs: text, JSONL, CSV, Parquet, also as .gz and .zst')
    .option('--model <preset>', 'what to train; see `inkstone plan` (default: nano)')
    .option('--out <folder>', "the run's folder (default: runs/<preset>)")
    .option('--resume <folder>', 'go on with the run of this folder, from its last whole checkpoint')
    .addOption(new Option('--format <name>', 'of the data (default: by its name)').choices(corpusFormats))
    .option('--text_field <name>', 'the field or column of the text (default: text)')
    .option('--separator <text>', 'what stands between documents in plain text: "\\n\\n" (default: a file is one)')
    .addOption(new Option('--weights <list>', 'shares of the sources: 3,1').argParser(numberList))
    .option('--validation <path...>', 'validation data of its own')
    .option('--tokenizer <name>', 'characters, bpe or unigram, learned from the data; a tokenizer.json; a model')
    .addOption(new Option('--seed <n>', 'of weights, data and dropout (default: 0)').argParser(wholeFrom(0)))
    .addOption(new Option('--eval_every <n>', 'steps between evaluations; 0 for the end alone').argParser(wholeFrom(0)))
    .addOption(new Option('--save_every <n>', 'steps between checkpoints; 0 for the end alone').argParser(wholeFrom(0)))
    .addOption(new Option('--sample_every <n>', 'steps between samples of text; 0 for none').argParser(wholeFrom(0)))
    .option('--sample_prompt <text>', 'what samples continue')
    .addOption(
      new Option('--eval_windows <n>', 'windows of an evaluation (default: 50 batches)').argParser(wholeFrom(1)),
    )
    .addOption(
      new Option('--patience <n>', 'stop after so many evaluations without a better one').argParser(wholeFrom(0)),
    )
    .addOption(new Option('--max-time <time>', 'stop after so long: 90s, 30m, 8h').argParser(timeSpan))
    .addOption(new Option('--keep <n>', 'checkpoints kept besides the best (default: 2)').argParser(wholeFrom(1)))
    .addOption(new Option('--validation_fraction <n>', 'share set apart (default: 0.1)').argParser(fraction))
    .addOption(
      new Option('--validation_by <how>', 'the last tokens, or whole documents').choices(['tokens', 'documents']),
    )
    .addOption(new Option('--order <how>', 'windows anywhere, or each once an epoch').choices(['random', 'epoch']))
    .addOption(
      new Option(
        '--cross_document_attention <true|false>',
        'a token sees documents before its own (default: true)',
      ).argParser(truth),
    )
    .addOption(new Option('--precision <name>', 'of products (default: float32)').choices(['float32', 'bfloat16']))
    .option('--recompute', 'compute layers again for their gradients, to save memory')
    .addOption(new Option('--label_smoothing <n>', 'weight of all other tokens in the target').argParser(fraction))
    .addOption(new Option('--z_loss <n>', 'weight of log² Z').argParser(fraction))
    .option('--backend <name>', 'where to compute (default: the fastest here; see doctor)')
    .addOption(new Option('--threads <n>', 'threads to compute with').argParser(wholeFrom(1)))
    .option('--plain', 'lines instead of a live view')
    .option('--json', 'the end of the run as one object')
    .action(async (data: string[], flags) => (await import('./train.ts')).trainCommand(data, flags));
  presetFlags(train);

  const tune = verb(program, 'tune', 'make a model do a task: answers, preferences, rewards or classes to learn from');
  tuneFlags(tune, { wholeFrom, fraction, timeSpan }).action(async (data: string[], flags) =>
    (await import('./tune.ts')).tuneCommand(data, flags),
  );

  verb(program, 'classify', 'the classes of texts, by a model with a head; of labelled files, how often it is right')
    .argument('[text...]', 'texts to classify')
    .option('--model <folder>', 'the classifier, as `inkstone tune --method classify` makes it')
    .option('--file <path...>', 'records: TSV, CSV, JSONL or JSON')
    .option('--backend <name>', 'where to compute (default: the fastest here; see doctor)')
    .addOption(new Option('--threads <n>', 'threads to compute with').argParser(wholeFrom(1)))
    .addOption(
      new Option('--precision <name>', 'exact (default): float32 activations; fast: 8-bit ones').choices([
        'exact',
        'fast',
      ]),
    )
    .option('--offline', 'use only what is on this machine')
    .option('--json', 'all of it as one object')
    .action(async (texts: string[], flags) => (await import('./classify.ts')).classifyCommand(texts, flags));

  verb(program, 'runs', 'training runs: a list, one in full, or several beside each other')
    .argument('[what...]', 'folders to look in (default: here), or: show RUN, compare RUN RUN…')
    .option('--plot', 'curves of the runs in one chart')
    .addOption(new Option('--x <name>', 'what curves are drawn over').choices(['step', 'tokens', 'seconds']))
    .addOption(
      new Option('--y <name>', 'the curves (default: loss)').choices([
        'loss',
        'validation',
        'grad_norm',
        'learning_rate',
        'tokens_per_second',
      ]),
    )
    .addOption(new Option('--log <axes>', 'logarithmic axes').choices(['x', 'y', 'xy']))
    .option('--json', 'as one object, or a list of them')
    .action(async (what: string[], flags) => (await import('./runs.ts')).runsCommand(what, flags));

  verb(program, 'pull', 'fetch a model, or bring it up to date')
    .argument('<name>', 'a name of the catalogue, or a hub id: org/name, org/name:file.gguf')
    .option('--revision <name>', 'branch, tag or commit')
    .option('--json', 'the result as one object')
    .action(async (name: string, flags) => (await import('./models.ts')).pullCommand(name, flags));

  verb(program, 'models', 'the models that are here, and those that can be fetched by name')
    .option('--json', 'as a list of objects')
    .action(async (flags) => (await import('./models.ts')).modelsCommand(flags));

  verb(program, 'doctor', 'what this machine can do, which backend is in use, and how to get faster')
    .option('--json', 'as one object')
    .action(async (flags) => (await import('./doctor.ts')).doctorCommand(flags));

  return program;
}

function verb(program: Command, name: string, summary: string): Command {
  const command = program.command(name).description(summary).helpOption('-h, --help', 'print this help');
  command.addHelpText('after', `\nExamples:\n${EXAMPLES[name].map((line) => `  ${line}`).join('\n')}`);
  return command;
}

/** Flags of every verb that opens a model. */
function modelFlags(command: Command): Command {
  return command
    .optionsGroup('Model:')
    .option('--model <name>', 'a name, a hub id, a directory or a file (default: smollm2-135m-instruct)')
    .option('--adapter <path>', "a LoRA adapter that answers: peft's folder, or a GGUF file")
    .option('--backend <name>', 'where to compute (default: the fastest here; see doctor)')
    .addOption(new Option('--threads <n>', 'threads to compute with').argParser(wholeFrom(1)))
    .addOption(
      new Option('--precision <name>', 'exact: float32 activations; fast: 8-bit ones (default)').choices([
        'exact',
        'fast',
      ]),
    )
    .addOption(new Option('--context <n>', 'longest context in tokens').argParser(wholeFrom(1)))
    .option('--offline', 'use only what is on this machine');
}

/** A flag for every setting of generation, under its own name. Those that are refused are left out of the help. */
function settingFlags(command: Command): Command {
  command.optionsGroup('Settings of generation (defaults: those of the model):');
  for (const spec of settingTable) {
    const option = new Option(`--${spec.name} <${valueName(spec)}>`, spec.en);
    command.addOption(spec.supported === false ? option.hideHelp() : option);
  }
  return command;
}

/** A flag for every field of a preset, under its own name. */
function presetFlags(command: Command): Command {
  command.optionsGroup('Fields over the preset:');
  for (const { name, kind, choices, en } of presetFields) {
    const value = kind === 'boolean' ? 'true|false' : kind === 'choice' ? 'name' : 'n';
    command.option(`--${name} <${value}>`, choices ? `${en}: ${choices.join(', ')}` : en);
  }
  return command;
}

function valueName({ kind }: SettingSpec): string {
  switch (kind) {
    case 'number':
    case 'integer':
      return 'n';
    case 'boolean':
      return 'true|false';
    case 'ids':
      return 'ids';
    case 'strings':
      return 'text';
    default:
      return 'json';
  }
}

/** "1,2,3" as ids. */
function idList(text: string): number[] {
  const ids = text
    .split(/[\s,]+/)
    .filter(Boolean)
    .map(Number);
  if (ids.length > 0 && ids.every((id) => Number.isSafeInteger(id) && id >= 0)) return ids;
  throw new InvalidArgumentError('Token ids are whole numbers with commas between them: 1,2,3');
}

function wholeFrom(least: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (Number.isSafeInteger(value) && value >= least) return value;
    throw new InvalidArgumentError(`It has to be a whole number from ${least} up.`);
  };
}

/** "3,1" as numbers above 0. */
function numberList(text: string): number[] {
  const values = text.split(',').map(Number);
  if (values.every((value) => value > 0 && Number.isFinite(value))) return values;
  throw new InvalidArgumentError('It has to be numbers above 0 with commas between them: 3,1');
}

/** A number from 0 to below 1. */
function fraction(text: string): number {
  const value = Number(text);
  if (text.trim() !== '' && value >= 0 && value < 1) return value;
  throw new InvalidArgumentError('It has to be a number from 0 to below 1.');
}

function truth(text: string): boolean {
  if (/^(true|false)$/.test(text)) return text === 'true';
  throw new InvalidArgumentError('It has to be true or false.');
}

/** "90s", "30m", "8h", "1h30m", or a number of seconds. */
function timeSpan(text: string): number {
  const match = /^(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s?)?$/.exec(text.trim());
  const [hours = 0, minutes = 0, seconds = 0] = (match ?? []).slice(1).map((part) => Number(part ?? 0));
  const value = 3600 * hours + 60 * minutes + seconds;
  if (match && value > 0) return value;
  throw new InvalidArgumentError('It has to be a time above 0, as 90s, 30m or 8h.');
}

/** "24GB", "180e9", "300B": a number above 0 with a suffix of thousands, or GiB and its like. */
function quantity(text: string): number {
  const match = /^(\d+\.?\d*(?:e\+?\d+)?)\s*([kmgtpb]?)(i?)(b|flops)?$/i.exec(text.trim());
  const [, number, letter, binary] = match ?? [];
  // A single B is billions; bytes are written out as GB.
  const power = letter ? { k: 1, m: 2, g: 3, b: 3, t: 4, p: 5 }[letter.toLowerCase()]! : 0;
  const value = Number(number) * (binary ? 1024 : 1000) ** power;
  if (match && value > 0 && Number.isFinite(value)) return value;
  throw new InvalidArgumentError('It has to be a number above 0, as 24GB, 180e9 or 300B.');
}

/**
 * `--max-new-tokens` is `--max_new_tokens`: settings keep their published names, and hyphens are forgiven, as are underscores for
 * hyphens. What the verb declares stays as it is: `max_time` is a setting of generate, `--max-time` a flag of train.
 */
export function forgiveHyphens(program: Command, args: readonly string[]): string[] {
  const verb = program.commands.find((command) => command.name() === args[0]);
  const declared = new Set(verb?.options.map(({ long }) => long));
  const end = args.indexOf('--');
  return args.map((arg, i) => {
    if (end >= 0 && i > end) return arg;
    const [, flag, rest = ''] = /^(--[a-z_-]+)(=.*)?$/s.exec(arg) ?? [];
    if (!flag || declared.has(flag)) return arg;
    const name = flag.slice(2);
    const other = [name.replaceAll('-', '_'), name.replaceAll('_', '-')].find((each) => declared.has(`--${each}`));
    return other ? `--${other}${rest}` : arg;
  });
}
