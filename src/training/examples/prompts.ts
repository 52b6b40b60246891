/** The prompt of a record, whatever kind of record it is, and what is to follow it. */
import type { ChatMessage } from '../../prompts/index.ts';
import type { Continuation, ExampleCodec } from './codec.ts';
import { holdsMessages, messagesIn, refuseMedia, toolsOf } from './conversation.ts';
import { type DataRecord, kindOf } from './record.ts';

export interface ReadingOptions {
  /**
   * Texts as turns of a chat: the prompt is the user's, the completion the assistant's. Default: instructions (Alpaca)
   * where the model has a chat template, prompts and completions not.
   */
  readonly as_chat?: boolean;
}

/** What comes before an answer. */
export type RecordPrompt =
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'chat'; readonly messages: readonly ChatMessage[]; readonly tools: readonly unknown[] | null };

/** The kinds of records of which this file knows the prompt. */
export type PromptKind = 'messages' | 'sharegpt' | 'alpaca' | 'instruction' | 'prompt' | 'question';

/** The prompts of Taori et al. 2023 (Stanford Alpaca), with an input and without. */
const ALPACA = {
  input: (instruction: string, input: string) =>
    `Below is an instruction that describes a task, paired with an input that provides further context. Write a response that appropriately completes the request.\n\n### Instruction:\n${instruction}\n\n### Input:\n${input}\n\n### Response:`,
  plain: (instruction: string) =>
    `Below is an instruction that describes a task. Write a response that appropriately completes the request.\n\n### Instruction:\n${instruction}\n\n### Response:`,
};

/** The messages of a record and its tools. @throws FileFormatError */
export function conversationOf(
  record: DataRecord,
  field: string,
  codec: ExampleCodec,
): { readonly messages: ChatMessage[]; readonly tools: readonly unknown[] | null } {
  refuseMedia(record);
  const messages = messagesIn(record, field, { tool_calls: codec.templateReads('tool_calls') });
  const system = record.optionalText('system');
  if (system !== '' && messages[0].role !== 'system') messages.unshift({ role: 'system', content: system });
  const tools = toolsOf(record);
  if (tools === null || codec.templateReads('tools')) return { messages, tools };
  codec.note('have tools, which the chat template of this model does not print');
  return { messages, tools: null };
}

/** @throws FileFormatError */
export function promptOf(
  record: DataRecord,
  kind: PromptKind,
  codec: ExampleCodec,
  { as_chat }: ReadingOptions,
): RecordPrompt {
  if (kind === 'messages' || kind === 'sharegpt') {
    const field = kind === 'messages' ? 'messages' : 'conversations';
    return { kind: 'chat', ...conversationOf(record, field, codec) };
  }
  refuseMedia(record);
  if (kind === 'alpaca' || kind === 'instruction') return instructionOf(record, as_chat ?? codec.hasTemplate);
  const field = kind;
  if (holdsMessages(record.value(field))) return { kind: 'chat', ...conversationOf(record, field, codec) };
  const [text, system] = [record.filledText(field), record.optionalText('system')];
  if (as_chat) return { kind: 'chat', messages: turns(system, text), tools: null };
  if (system !== '') throw record.error('system', 'needs turns of a chat: let as_chat be true');
  return { kind: 'text', text };
}

function instructionOf(record: DataRecord, as_chat: boolean): RecordPrompt {
  const instruction = record.filledText('instruction');
  const [input, system] = [record.optionalText('input'), record.optionalText('system')];
  const history = historyOf(record);
  if (!as_chat) {
    if (system !== '') throw record.error('system', 'has no place in the text of Alpaca: let as_chat be true');
    if (history.length > 0) throw record.error('history', 'has no place in the text of Alpaca: let as_chat be true');
    return { kind: 'text', text: input === '' ? ALPACA.plain(instruction) : ALPACA.input(instruction, input) };
  }
  const [first, ...rest] = turns(system, input === '' ? instruction : `${instruction}\n\n${input}`);
  const messages = system === '' ? [...history, first] : [first, ...history, ...rest];
  return { kind: 'chat', messages, tools: null };
}

/** Earlier turns: a list of [what the user said, what the assistant answered]. */
function historyOf(record: DataRecord): ChatMessage[] {
  if (!record.has('history')) return [];
  const value = record.value('history');
  if (!Array.isArray(value)) throw record.error('history', `is not a list of pairs but ${kindOf(value)}`);
  return value.flatMap((pair: unknown, i): ChatMessage[] => {
    const [user, assistant]: unknown[] = Array.isArray(pair) && pair.length === 2 ? pair : [];
    if (typeof user !== 'string' || typeof assistant !== 'string') {
      throw record.error('history', `has as its item ${i + 1} no pair of texts`);
    }
    return [
      { role: 'user', content: user },
      { role: 'assistant', content: assistant },
    ];
  });
}

function turns(system: string, user: string): ChatMessage[] {
  const asked = { role: 'user', content: user };
  return system === '' ? [asked] : [{ role: 'system', content: system }, asked];
}

/** The ids of a prompt. */
export function encodePromptOf(prompt: RecordPrompt, record: DataRecord, codec: ExampleCodec): Int32Array {
  return prompt.kind === 'text'
    ? codec.promptText(prompt.text)
    : codec.promptChat(prompt.messages, prompt.tools, record.origin);
}

/**
 * A prompt and the answer in a field: a text, or a message of the assistant.
 * @throws FileFormatError
 */
export function continuationOf(
  prompt: RecordPrompt,
  record: DataRecord,
  field: string,
  codec: ExampleCodec,
): Continuation {
  const value = record.value(field);
  if (prompt.kind === 'text') {
    if (holdsMessages(value))
      throw record.error(field, 'is a message, but the prompt is a text', 'Give both as messages');
    return codec.continuationText(prompt.text, record.filledText(field));
  }
  const answer = holdsMessages(value)
    ? answerIn(record, field, codec)
    : { role: 'assistant', content: record.filledText(field) };
  return codec.continuationChat(prompt.messages, answer, prompt.tools, record.origin);
}

function answerIn(record: DataRecord, field: string, codec: ExampleCodec): ChatMessage {
  const messages = messagesIn(record, field, { tool_calls: codec.templateReads('tool_calls') });
  const [answer] = messages;
  if (messages.length > 1) throw record.error(field, `has ${messages.length} messages; one answers a prompt`);
  if (answer.role !== 'assistant')
    throw record.error(field, `is a message of the role "${answer.role}", not assistant`);
  return answer;
}
