/** Running the command line: from arguments to an exit code, and what becomes of errors on the way. */
import { CommanderError } from 'commander';
import { InkstoneError, InterruptedError } from '../errors.ts';
import { watchInterrupts } from './interrupt.ts';
import { buildProgram, forgiveHyphens } from './program.ts';
import { say } from './terminal.ts';
import { EXIT, Exit, UsageError } from './usage.ts';

/** Run the command line. Answers the exit code; an error becomes one message on stderr. */
export async function main(args: readonly string[]): Promise<number> {
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    // The reader has gone (head, a closed pager): nothing is left to do.
    process.exit(error.code === 'EPIPE' ? EXIT.ok : report(error));
  });
  process.on('uncaughtException', (error) => process.exit(report(error)));
  watchInterrupts();
  const program = buildProgram();
  if (args.length === 0) {
    program.outputHelp();
    return EXIT.ok;
  }
  try {
    await program.parseAsync(forgiveHyphens(program, args), { from: 'user' });
    return EXIT.ok;
  } catch (error) {
    return report(error, args[0]);
  }
}

/** Say what went wrong, and answer the exit code for it. */
function report(error: unknown, verb = ''): number {
  if (error instanceof Exit) return error.code;
  // commander has printed its message by now.
  if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.ok : EXIT.usage;
  if (error instanceof UsageError) {
    say(`error: ${error.message}\nSee: inkstone ${verb} --help`);
    return EXIT.usage;
  }
  if (error instanceof InterruptedError || (error as Error)?.name === 'AbortError') {
    say(error instanceof InterruptedError ? error.message : 'interrupted');
    return EXIT.interrupted;
  }
  if (process.env.INKSTONE_DEBUG) say((error as Error)?.stack ?? String(error));
  else if (error instanceof InkstoneError || isFromSystem(error)) say(`error: ${error.message}`);
  else {
    const text = String((error as Error)?.message ?? error).split('\n')[0];
    say(`error: ${text}\nThis is a defect in Inkstone: set INKSTONE_DEBUG=1 for the stack.`);
  }
  return EXIT.error;
}

/** Whether the operating system refused something: a file that may not be read, a full disk. */
function isFromSystem(error: unknown): error is NodeJS.ErrnoException {
  return error instanceof Error && 'syscall' in error && 'code' in error;
}
