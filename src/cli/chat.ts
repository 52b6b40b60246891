/** `inkstone chat`: a conversation that streams, keeps its history, and takes commands that begin with a slash. */
import { createInterface } from 'node:readline';
import { InkstoneError, InterruptedError, SettingError } from '../errors.ts';
import type { GenerationResult } from '../generation/events.ts';
import { generate } from '../generation/generate.ts';
import { parseSetting, resolveSettings } from '../generation/settings.ts';
import { writeFileAtomically } from '../node/file_source.ts';
import type { OpenModel } from '../node/open_model.ts';
import type { ChatMessage } from '../prompts/index.ts';
import { onInterrupt } from './interrupt.ts';
import { type ModelFlags, openFromFlags, settingsOf } from './session.ts';
import { say, sayAside, shownText, write, writeJson } from './terminal.ts';
import { EXIT, Exit } from './usage.ts';

const HELP = `/help              this list
/reset             forget the conversation
/system TEXT       begin again with another system message
/set NAME VALUE    change a setting of generation (/set alone shows them)
/model NAME        go on with another model
/save FILE         write the conversation as JSON
/quit              end (Ctrl-C stops an answer, twice it ends)`;

/** New tokens of an answer when neither the flags nor the model say. */
const NEW_TOKENS = 1024;

interface ChatFlags extends ModelFlags {
  readonly system?: string;
  readonly json?: boolean;
}

/** One conversation: the model, what was said, and the settings. */
class Conversation {
  private messages: ChatMessage[] = [];

  constructor(
    private model: OpenModel,
    private settings: Record<string, unknown>,
    private readonly flags: ChatFlags,
    private system = flags.system,
  ) {
    this.reset();
  }

  /** Answer a user's turn. An interrupted answer stays in the history as far as it got; a failed turn does not. */
  async answer(text: string, signal: AbortSignal): Promise<void> {
    const { json } = this.flags;
    const messages = [...this.messages, { role: 'user', content: text }];
    let said = '';
    let result: GenerationResult | undefined;
    try {
      for await (const event of generate(this.model, messages, this.settings, {
        signal,
        fallbackNewTokens: NEW_TOKENS,
      })) {
        if (event.type === 'done') result = event;
        else {
          said += event.text;
          if (!json) await write(shownText(event.text));
        }
      }
    } catch (error) {
      if (!(error instanceof InterruptedError)) throw error;
    }
    this.messages = [...messages, { role: 'assistant', content: said }];
    const count = result?.ids.length ?? 0;
    const seconds = result ? (result.timings.total_ms - result.timings.first_token_ms) / 1000 : 0;
    const rate = count > 1 && seconds > 0 ? Math.round(((count - 1) / seconds) * 10) / 10 : null;
    if (json) {
      const { finish_reason = 'aborted', seed } = result ?? {};
      await writeJson({
        role: 'assistant',
        content: said,
        finish_reason,
        seed,
        tokens: count,
        tokens_per_second: rate,
      });
    } else {
      await write('\n');
      sayAside(`${count} tokens${rate === null ? '' : `, ${rate.toFixed(1)} tokens/s`}`);
    }
  }

  /** Carry out a line that begins with a slash. */
  async command(line: string): Promise<void> {
    const [name] = line.split(/\s/, 1);
    const argument = line.slice(name.length).trim();
    const needed = (what: string): string => {
      if (argument !== '') return argument;
      throw new SettingError(name, '', `needs ${what}`);
    };
    switch (name) {
      case '/help':
        return say(HELP);
      case '/reset':
        return this.reset();
      case '/system':
        this.system = argument === '' ? undefined : argument;
        return this.reset();
      case '/save':
        this.save(needed('the name of a file'));
        return say(`written: ${argument}`);
      case '/set':
        return argument === '' ? say(JSON.stringify(this.settings)) : this.set(argument);
      case '/model':
        return this.change(needed('the name of a model'));
      default:
        throw new SettingError('command', name, 'is not known: /help lists them');
    }
  }

  close(): Promise<void> {
    return this.model.close();
  }

  private reset(): void {
    this.messages = this.system === undefined ? [] : [{ role: 'system', content: this.system }];
  }

  private save(file: string): void {
    const text = `${JSON.stringify(this.messages, null, 2)}\n`;
    writeFileAtomically(file, (sink) => sink.write(new TextEncoder().encode(text)));
  }

  /** Change one setting, when the model can work with it. */
  private set(argument: string): void {
    const [name] = argument.split(/[\s=]/, 1);
    const text = argument.slice(name.length).replace(/^[\s=]+/, '');
    if (text === '') throw new SettingError('/set', name, 'needs a value ("none" for the default)');
    const settings = { ...this.settings, [name]: parseSetting(name, text) };
    const { engine, config, generationConfig, tokenizer } = this.model;
    const shape = {
      n_positions: engine.context,
      vocab_size: config.vocab_size,
      eos_token_id: tokenizer?.special.eos,
    };
    resolveSettings(settings, generationConfig, shape, 1, NEW_TOKENS);
    this.settings = settings;
  }

  /** Another model for the same conversation. The one before stays when the new one cannot be opened. */
  private async change(name: string): Promise<void> {
    const next = await openForChat({ ...this.flags, model: name });
    await this.model.close();
    this.model = next;
    say(`model: ${name}`);
  }
}

/** @throws SettingError for a model without a chat template. */
async function openForChat(flags: ChatFlags, signal?: AbortSignal): Promise<OpenModel> {
  const model = await openFromFlags(flags, signal);
  if (model.chatTemplate) return model;
  await model.close();
  throw new SettingError('--model', model.name, 'has no chat template: use generate, or a model made for conversation');
}

export async function chatCommand(flags: ChatFlags): Promise<void> {
  const settings = settingsOf(flags);
  const conversation = new Conversation(await openForChat(flags), { do_sample: true, ...settings }, flags);
  const isTerminal = process.stdin.isTTY === true;
  const lines = createInterface({
    input: process.stdin,
    output: isTerminal ? process.stderr : undefined,
    prompt: '> ',
  });
  let running: AbortController | null = null;
  let presses = 0;
  const interrupt = () => {
    presses++;
    if (running && presses === 1) running.abort();
    else if (presses > 1 || !isTerminal) lines.close();
    else {
      say('\nCtrl-C again ends; so does /quit');
      lines.prompt();
    }
    if (presses > 2) process.exit(EXIT.interrupted);
  };
  lines.on('SIGINT', interrupt);
  onInterrupt(interrupt);
  let failed = false;
  try {
    if (isTerminal) {
      sayAside('/help lists commands');
      lines.prompt();
    }
    for await (const line of lines) {
      if (presses > 1) break;
      presses = 0;
      const text = line.trim();
      if (text === '/quit') break;
      try {
        if (text.startsWith('/')) await conversation.command(text);
        else if (text !== '') {
          running = new AbortController();
          await conversation.answer(text, running.signal);
        }
      } catch (error) {
        if (!(error instanceof InkstoneError)) throw error;
        say(`error: ${error.message}`);
        failed = true;
      } finally {
        running = null;
      }
      if (isTerminal) lines.prompt();
    }
  } finally {
    lines.close();
    await conversation.close();
  }
  if (presses > 0) throw new Exit(EXIT.interrupted);
  // Someone at a terminal has seen the message; a script needs the exit code.
  if (failed && !isTerminal) throw new Exit(EXIT.error);
}
