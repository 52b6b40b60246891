/** From what a user asks to the ids a model reads. */
import { SettingError } from '../errors.ts';
import { type ChatMessage, type ChatTemplate, type RenderOptions, splitSpecialTokens } from '../prompts/index.ts';
import type { Tokenizer } from '../tokenizers/index.ts';

/** Text to continue, token ids as they are, or a conversation to answer. */
export type Prompt = string | readonly number[] | readonly ChatMessage[];

export interface PromptModel {
  readonly tokenizer: Tokenizer | null;
  readonly chatTemplate: ChatTemplate | null;
  /** Texts of the special tokens by role (`bos_token` …), for the chat template. */
  readonly specialTokens?: Readonly<Record<string, string>>;
}

/**
 * The ids of a prompt. Special tokens in a text, or in the content of a message, stay text.
 * @throws SettingError when the model has no tokenizer or chat template and the prompt needs one, or when the prompt is empty.
 */
export function encodePrompt(model: PromptModel, prompt: Prompt, options: RenderOptions = {}): number[] {
  const ids =
    typeof prompt === 'string'
      ? encodeText(model, prompt)
      : isIds(prompt)
        ? [...prompt]
        : encodeChat(model, prompt, options);
  if (ids.length === 0) throw new SettingError('prompt', prompt, 'is empty: give at least one character or token');
  return ids;
}

function isIds(prompt: readonly number[] | readonly ChatMessage[]): prompt is readonly number[] {
  return prompt.length === 0 || typeof prompt[0] === 'number';
}

function tokenizerOf({ tokenizer }: PromptModel): Tokenizer {
  if (tokenizer) return tokenizer;
  throw new SettingError('prompt', 'text', 'needs a tokenizer, and this model has none: give token ids');
}

function encodeText(model: PromptModel, text: string): number[] {
  return Array.from(tokenizerOf(model).encodeIds(text));
}

function encodeChat(model: PromptModel, messages: readonly ChatMessage[], options: RenderOptions): number[] {
  const tokenizer = tokenizerOf(model);
  if (!model.chatTemplate)
    throw new SettingError('prompt', 'messages', 'needs a chat template, and this model has none: give text');
  const segments = model.chatTemplate.renderSegments(messages, {
    add_generation_prompt: true,
    tokens: model.specialTokens,
    ...options,
  });
  const parts = splitSpecialTokens(
    segments,
    tokenizer.addedTokens.map(({ content }) => content),
  );
  const input = parts.map((part) => (part.kind === 'special' ? { special: part.token } : part.text));
  return Array.from(tokenizer.encodeIds(input, { add_special_tokens: false }));
}
