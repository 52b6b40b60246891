/** The command line: verbs, their flags, and what becomes of errors. Each verb is loaded when it is used. */
import { Command, CommanderError, Option } from 'commander';
import { InkstoneError, InterruptedError } from '../errors.ts';
import { settingTable } from '../generation/settings.ts';

export const EXIT = { ok: 0, error: 1, usage: 2, interrupted: 130 } as const;

/** Flags of every verb that opens a model. */
function modelFlags(command: Command): Command {
  return command
    .option('--model <name>', 'a name, a hub id, a directory or a file (default: smollm2-135m-instruct)')
    .addOption(new Option('--backend <name>', 'where to compute').choices(['native', 'reference']))
    .option('--threads <n>', 'threads of the native backend', Number)
    .addOption(
      new Option('--precision <name>', 'exact: float32 activations; fast: 8-bit ones').choices(['exact', 'fast']),
    )
    .option('--context <n>', 'longest context in tokens', Number)
    .option('--offline', 'use only what is on this machine');
}

/** A flag for every setting of generation, under its own name. */
function settingFlags(command: Command): Command {
  for (const { name, en, supported } of settingTable) {
    const option = new Option(`--${name} <value>`, en);
    command.addOption(supported === false ? option.hideHelp() : option);
  }
  return command;
}

/** The whole command line, as the parser, the help and docs/cli.md know it. */
export function buildProgram(): Command {
  const program = new Command('inkstone')
    .description('Inkstone: a GPT workshop. Data goes to stdout, progress to stderr.')
    .version('0.1.0')
    .exitOverride()
    .showSuggestionAfterError()
    .configureHelp({ helpWidth: Math.min(process.stdout.columns ?? 80, 100) });

  settingFlags(modelFlags(program.command('generate')))
    .description('continue a prompt')
    .argument('[prompt...]', 'texts to continue; "-" reads one from stdin')
    .option('--ids <ids>', 'token ids instead of text: 1,2,3')
    .option('--chat', 'put the prompt as a user turn through the chat template')
    .option('--json', 'one JSON object (an array for several answers)')
    .action(async (prompts: string[], flags) => (await import('./generate.ts')).generateCommand(prompts, flags));

  settingFlags(modelFlags(program.command('chat')))
    .description('talk with a model; /help lists commands')
    .option('--system <text>', 'the system message')
    .action(async (flags) => (await import('./chat.ts')).chatCommand(flags));

  modelFlags(program.command('logits'))
    .description('the scores of every next token')
    .option('--prompt <text>', 'a text')
    .option('--ids <ids>', 'token ids: 1,2,3')
    .option('--last', 'of the last position alone')
    .option('--top <n>', 'how many tokens to show', Number, 5)
    .option('--json', 'ids and float32 logits')
    .action(async (flags) => (await import('./logits.ts')).logitsCommand(flags));

  program
    .command('tokenize')
    .description('ids, pieces and offsets of texts; with --json, JSON lines in and out')
    .argument('[text...]', 'texts; without any, lines of stdin')
    .option('--model <name>', 'a model, a directory, a GGUF file or a tokenizer.json')
    .option('--decode', 'the other way: ids to text')
    .option('--special', 'let the text contain special tokens')
    .option('--offline', 'use only what is on this machine')
    .option('--json', 'JSON lines in (strings or {"text"}) and out')
    .action(async (texts: string[], flags) => (await import('./tokenize.ts')).tokenizeCommand(texts, flags));

  program
    .command('inspect')
    .description('what is in a weight file, a tokenizer.json or a config.json')
    .argument('<file>')
    .option('--json', 'all of it as JSON')
    .action(async (file: string, flags) => (await import('./files.ts')).inspectCommand(file, flags));

  program
    .command('convert')
    .description('between safetensors, GGUF, torch and llama2.c files')
    .argument('<input>', 'a file or a model directory')
    .argument('<output>', 'a .gguf file, a .safetensors file or a new directory')
    .addOption(new Option('--type <type>', 'of matrices').choices(['f32', 'f16', 'bf16', 'q8_0', 'q4_0']))
    .action(async (input: string, output: string, flags) =>
      (await import('./files.ts')).convertCommand(input, output, flags),
    );

  program
    .command('pull')
    .description('fetch a model')
    .argument('<name>', 'a name of the catalogue or a hub id')
    .option('--revision <name>', 'branch, tag or commit')
    .option('--json', 'the result as JSON')
    .action(async (name: string, flags) => (await import('./hub.ts')).pullCommand(name, flags));

  program
    .command('models')
    .description('models that are here, and those that can be fetched')
    .option('--json', 'as JSON')
    .action(async (flags) => (await import('./hub.ts')).modelsCommand(flags));

  program
    .command('doctor')
    .description('what this machine can do, and which backend is in use')
    .option('--json', 'as JSON')
    .action(async (flags) => (await import('./doctor.ts')).doctorCommand(flags));

  return program;
}

/** `--max-new-tokens` is `--max_new_tokens`: settings keep their published names, and hyphens are forgiven. */
function forgiveHyphens(args: readonly string[]): string[] {
  const names = new Set(settingTable.map(({ name }) => name));
  return args.map((arg) => {
    const [, flag, rest] = /^--([a-z_-]+)(=.*)?$/.exec(arg) ?? [];
    const name = flag?.replaceAll('-', '_');
    return name && names.has(name) ? `--${name}${rest ?? ''}` : arg;
  });
}

/** Run the command line. Answers the exit code; prints errors as one message on stderr. */
export async function main(args: readonly string[]): Promise<number> {
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    // The reader has gone (head, a closed pager): nothing is left to do.
    if (error.code === 'EPIPE') process.exit(EXIT.ok);
    throw error;
  });
  const program = buildProgram();
  if (args.length === 0) {
    program.outputHelp();
    return EXIT.ok;
  }
  try {
    await program.parseAsync(forgiveHyphens(args), { from: 'user' });
    return EXIT.ok;
  } catch (error) {
    return report(error);
  }
}

function report(error: unknown): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.ok : EXIT.usage;
  if (error instanceof InterruptedError || (error as Error)?.name === 'AbortError') {
    process.stderr.write('\ninterrupted\n');
    return EXIT.interrupted;
  }
  if (error instanceof InkstoneError) {
    process.stderr.write(`error: ${error.message}\n`);
    return EXIT.error;
  }
  const { message, stack, code } = error as NodeJS.ErrnoException;
  if (process.env.INKSTONE_DEBUG) process.stderr.write(`${stack}\n`);
  else if (code && /^E[A-Z]+$/.test(code)) process.stderr.write(`error: ${message}\n`);
  else process.stderr.write(`error: ${message} (a defect in Inkstone: INKSTONE_DEBUG=1 shows where)\n`);
  return EXIT.error;
}
