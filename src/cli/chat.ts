/** `inkstone chat`: a conversation that streams, keeps its history, and takes commands that begin with a slash. */
import { writeFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { InkstoneError, InterruptedError, SettingError } from '../errors.ts';
import { generate } from '../generation/generate.ts';
import { parseSetting, settingTable } from '../generation/settings.ts';
import type { OpenModel } from '../node/open_model.ts';
import type { ChatMessage } from '../prompts/index.ts';
import { type ModelFlags, openFromFlags, settingsOf, write } from './session.ts';

const HELP = `/help              this list
/reset             forget the conversation
/system TEXT       begin again with another system message
/set NAME VALUE    change a setting of generation (/set alone shows them)
/save FILE         write the conversation as JSON
/quit              end
`;

interface ChatFlags extends ModelFlags {
  readonly system?: string;
}

/** The state of one conversation. */
class Conversation {
  messages: ChatMessage[] = [];

  constructor(
    readonly model: OpenModel,
    readonly settings: Record<string, unknown>,
    private system: string | undefined,
  ) {
    this.reset();
  }

  reset(system = this.system): void {
    this.system = system;
    this.messages = system ? [{ role: 'system', content: system }] : [];
  }

  /** Answer a user's turn. An interrupted answer stays in the history as far as it got. */
  async answer(text: string, signal: AbortSignal): Promise<void> {
    const messages = [...this.messages, { role: 'user', content: text }];
    let said = '';
    let count = 0;
    let first = 0;
    try {
      for await (const event of generate(this.model, messages, this.settings, { signal, fallbackNewTokens: 1024 })) {
        if (event.type === 'done') continue;
        if (event.type === 'token' && count++ === 0) first = performance.now();
        said += event.text;
        await write(event.text);
      }
    } catch (error) {
      if (!(error instanceof InterruptedError)) throw error;
    }
    await write('\n');
    const rate = count > 1 ? (count - 1) / ((performance.now() - first) / 1000) : 0;
    process.stderr.write(`${count} tokens${rate > 0 ? `, ${rate.toFixed(1)} tokens/s` : ''}\n`);
    this.messages = [...messages, { role: 'assistant', content: said }];
  }
}

export async function chatCommand(flags: ChatFlags): Promise<void> {
  const settings = settingsOf(flags);
  const model = await openFromFlags(flags);
  if (!model.chatTemplate) {
    await model.close();
    throw new SettingError(
      '--model',
      model.name,
      'has no chat template: use generate, or a model made for conversation',
    );
  }
  const conversation = new Conversation(model, { do_sample: true, ...settings }, flags.system);
  const isTerminal = process.stdin.isTTY === true;
  const lines = createInterface({
    input: process.stdin,
    output: isTerminal ? process.stderr : undefined,
    prompt: '> ',
  });
  let running: AbortController | null = null;
  const interrupt = () => {
    if (running) running.abort();
    else lines.close();
  };
  lines.on('SIGINT', interrupt);
  process.on('SIGINT', interrupt);
  try {
    if (isTerminal) process.stderr.write(`${model.name}: /help lists commands\n`);
    if (isTerminal) lines.prompt();
    for await (const line of lines) {
      const text = line.trim();
      if (text === '/quit') break;
      try {
        if (text.startsWith('/')) await command(conversation, text);
        else if (text !== '') {
          running = new AbortController();
          await conversation.answer(text, running.signal);
        }
      } catch (error) {
        if (!(error instanceof InkstoneError)) throw error;
        process.stderr.write(`error: ${error.message}\n`);
      } finally {
        running = null;
      }
      if (isTerminal) lines.prompt();
    }
  } finally {
    process.off('SIGINT', interrupt);
    lines.close();
    await model.close();
  }
}

async function command(conversation: Conversation, text: string): Promise<void> {
  const [name, ...rest] = text.split(/\s+/);
  const argument = text.slice(name.length).trim();
  switch (name) {
    case '/help':
      process.stderr.write(HELP);
      return;
    case '/reset':
      conversation.reset();
      return;
    case '/system':
      conversation.reset(argument);
      return;
    case '/save':
      if (argument === '') throw new SettingError('/save', '', 'needs a file name');
      writeFileSync(argument, `${JSON.stringify(conversation.messages, null, 2)}\n`);
      process.stderr.write(`written: ${argument}\n`);
      return;
    case '/set': {
      if (rest.length === 0) {
        process.stderr.write(`${JSON.stringify(conversation.settings)}\n`);
        return;
      }
      if (!settingTable.some((spec) => spec.name === rest[0]))
        throw new SettingError('/set', rest[0], 'is not a setting of generation');
      conversation.settings[rest[0]] = parseSetting(rest[0], argument.slice(rest[0].length).trim());
      return;
    }
    default:
      throw new SettingError('command', name, 'is not known: /help lists them');
  }
}
