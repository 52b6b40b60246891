/** Conversations from records: the messages of OpenAI's and Hugging Face's files, and those of ShareGPT. */
import type { ChatMessage } from '../../prompts/index.ts';
import { type DataRecord, kindOf } from './record.ts';

const ROLES = ['system', 'developer', 'user', 'assistant', 'tool', 'function', 'ipython'];

/** Who speaks in ShareGPT's files. */
const SPEAKERS: Readonly<Record<string, string>> = {
  human: 'user',
  user: 'user',
  gpt: 'assistant',
  chatgpt: 'assistant',
  bing: 'assistant',
  bard: 'assistant',
  model: 'assistant',
  assistant: 'assistant',
  system: 'system',
  function_call: 'call',
  tool_call: 'call',
  observation: 'tool',
  tool: 'tool',
  tool_response: 'tool',
  function_response: 'tool',
};

export interface ConversationOptions {
  /** True where the chat template prints `tool_calls`. Else a call's text is the content of the assistant's message. */
  readonly tool_calls: boolean;
}

/** A message may be at most so many levels deep: more is no conversation. */
const DEEPEST = 64;

/**
 * The messages in a field: a list of messages, that list as JSON text, or one message.
 * @throws FileFormatError for what is none, with the number of the message.
 */
export function messagesIn(record: DataRecord, field: string, options: ConversationOptions): ChatMessage[] {
  const value = record.value(field);
  const list = typeof value === 'string' ? parsed(record, field, value) : value;
  if (isObject(list)) return [messageOf(list, record, field, '', options)];
  if (!Array.isArray(list)) throw record.error(field, `is not a list of messages but ${kindOf(list)}`);
  if (list.length === 0) throw record.error(field, 'has no messages');
  return list.map((message: unknown, i) => messageOf(message, record, field, `message ${i + 1} `, options));
}

/** True for a value that `messagesIn` reads and that is no plain text. */
export function holdsMessages(value: unknown): boolean {
  return Array.isArray(value) || isObject(value);
}

/**
 * The tools of a record, for the chat template: a list, or that list as JSON text. Null without any.
 * @throws FileFormatError
 */
export function toolsOf(record: DataRecord): readonly unknown[] | null {
  if (!record.has('tools')) return null;
  const value = record.value('tools');
  if (value === '') return null;
  const list = typeof value === 'string' ? parsed(record, 'tools', value) : value;
  if (!Array.isArray(list)) throw record.error('tools', `is not a list of tools but ${kindOf(list)}`);
  return list.length === 0 ? null : list;
}

/** Fields of what a text model cannot read. @throws FileFormatError */
export function refuseMedia(record: DataRecord): void {
  for (const field of ['images', 'image', 'videos', 'audios']) {
    const value = record.value(field);
    if (value === undefined || value === null || value === '' || (Array.isArray(value) && value.length === 0)) continue;
    throw record.error(field, 'cannot be learned from: only text is', 'Leave these records out');
  }
}

function messageOf(
  message: unknown,
  record: DataRecord,
  field: string,
  which: string,
  options: ConversationOptions,
): ChatMessage {
  const fail = (problem: string) => record.error(field, `${which}${problem}`);
  if (!isObject(message)) throw fail(`is not an object but ${kindOf(message)}`);
  if (depthOf(message) > DEEPEST) throw fail(`is more than ${DEEPEST} levels deep`);
  if ('from' in message && !('role' in message)) return spokenMessage(message, fail, options);
  const { role } = message;
  if (typeof role !== 'string') throw fail(`has no "role" (a text); it has ${Object.keys(message).join(', ')}`);
  if (!ROLES.includes(role)) throw fail(`has the role ${JSON.stringify(role)}: known are ${ROLES.join(', ')}`);
  const calls = Array.isArray(message.tool_calls) && message.tool_calls.length > 0;
  if (calls && !options.tool_calls)
    throw fail('has "tool_calls", which the chat template of this model does not print');
  const content = contentOf(message.content, calls, fail);
  return { ...message, role, content };
}

/** A message of ShareGPT's kind: `from` and `value`. */
function spokenMessage(
  { from, value }: Readonly<Record<string, unknown>>,
  fail: (problem: string) => Error,
  options: ConversationOptions,
): ChatMessage {
  const role = typeof from === 'string' && Object.hasOwn(SPEAKERS, from) ? SPEAKERS[from] : undefined;
  if (role === undefined) {
    throw fail(`is from ${JSON.stringify(from)?.slice(0, 60)}: known are ${Object.keys(SPEAKERS).join(', ')}`);
  }
  if (typeof value !== 'string') throw fail(`has a "value" that is not a string but ${kindOf(value)}`);
  if (role !== 'call') return { role, content: value };
  if (!options.tool_calls) return { role: 'assistant', content: value };
  return { role: 'assistant', content: '', tool_calls: callsIn(value, fail) };
}

/** `{"name": …, "arguments": …}`, or a list of them. */
function callsIn(text: string, fail: (problem: string) => Error): readonly unknown[] {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw fail(`is a call that is not JSON (${(error as Error).message})`);
  }
  return (Array.isArray(value) ? value : [value]).map((call: unknown) => {
    if (!isObject(call) || typeof call.name !== 'string') throw fail('is a call without a "name"');
    if (depthOf(call) > DEEPEST) throw fail(`is a call of more than ${DEEPEST} levels`);
    return { type: 'function', function: { name: call.name, arguments: call.arguments ?? {} } };
  });
}

/** A text, or a list of parts that are texts. */
function contentOf(content: unknown, calls: boolean, fail: (problem: string) => Error): string {
  if (typeof content === 'string') return content;
  if ((content === null || content === undefined) && calls) return '';
  if (content === undefined) throw fail('has no "content"');
  if (!Array.isArray(content)) throw fail(`has a "content" that is not a text but ${kindOf(content)}`);
  return content
    .map((part: unknown) => {
      if (typeof part === 'string') return part;
      if (isObject(part) && typeof part.text === 'string' && (part.type ?? 'text') === 'text') return part.text;
      const type = isObject(part) ? JSON.stringify(part.type)?.slice(0, 40) : kindOf(part);
      throw fail(`has a part of its content that is no text (${type}); only text can be learned from`);
    })
    .join('');
}

function parsed(record: DataRecord, field: string, text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw record.error(field, `is a text that is not JSON (${(error as Error).message.slice(0, 100)})`);
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Levels of objects and lists, counted up to one more than is allowed. */
function depthOf(value: unknown): number {
  let level: unknown[] = [value];
  for (let depth = 0; ; depth++) {
    level = level.filter((each) => typeof each === 'object' && each !== null);
    if (level.length === 0 || depth > DEEPEST) return depth;
    level = level.flatMap((each) => Object.values(each as object));
  }
}
