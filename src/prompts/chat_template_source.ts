/** Where a model keeps its chat templates, and which of several is meant. */
import { FileFormatError, NotFoundError } from '../errors.ts';

/** Names of templates ("default" when there is one) and their sources. */
export type ChatTemplates = ReadonlyMap<string, string>;

/** What may hold templates; what a model does not have stays out. */
export interface ChatTemplateSources {
  /** The content of chat_template.jinja. Wins over the others, as in transformers. */
  readonly jinja?: string;
  /** The contents of additional_chat_templates/<name>.jinja. */
  readonly additional?: Readonly<Record<string, string>>;
  /** tokenizer_config.json, parsed: `chat_template` is a text or a list of {name, template}. */
  readonly tokenizerConfig?: unknown;
  /** GGUF metadata: `tokenizer.chat_template` and `tokenizer.chat_template.<name>`. */
  readonly gguf?: ReadonlyMap<string, unknown>;
}

const GGUF_KEY = 'tokenizer.chat_template';

/** @throws FileFormatError when `chat_template` is of another kind. */
export function readChatTemplates(sources: ChatTemplateSources): ChatTemplates {
  const templates = new Map<string, string>();
  for (const key of sources.gguf?.keys() ?? []) {
    // Only these: asking for a vocabulary would make a hundred thousand texts of it.
    if (!key.startsWith(GGUF_KEY)) continue;
    const value = sources.gguf?.get(key);
    if (typeof value !== 'string') continue;
    if (key === GGUF_KEY) templates.set('default', value);
    else if (key.startsWith(`${GGUF_KEY}.`)) templates.set(key.slice(GGUF_KEY.length + 1), value);
  }
  readTokenizerConfig(sources.tokenizerConfig, templates);
  if (sources.jinja !== undefined) templates.set('default', sources.jinja);
  for (const [name, template] of Object.entries(sources.additional ?? {})) templates.set(name, template);
  return templates;
}

function readTokenizerConfig(config: unknown, templates: Map<string, string>): void {
  if (typeof config !== 'object' || config === null || !('chat_template' in config)) return;
  const { chat_template: template } = config;
  if (template === null || template === undefined) return;
  if (typeof template === 'string') {
    templates.set('default', template);
    return;
  }
  const failure = new FileFormatError(
    'tokenizer_config.json',
    'chat_template',
    'it must be a text or a list of {name, template}',
  );
  if (!Array.isArray(template)) throw failure;
  for (const entry of template as readonly unknown[]) {
    if (typeof entry !== 'object' || entry === null || !('name' in entry) || !('template' in entry)) throw failure;
    if (typeof entry.name !== 'string' || typeof entry.template !== 'string') throw failure;
    templates.set(entry.name, entry.template);
  }
}

/**
 * The template to use: the one named; else "tool_use" when there are tools and there is one; else "default".
 * @throws NotFoundError with the names there are.
 */
export function selectChatTemplate(
  templates: ChatTemplates,
  choice: { name?: string; hasTools?: boolean } = {},
): string {
  const name = choice.name ?? (choice.hasTools && templates.has('tool_use') ? 'tool_use' : 'default');
  const source = templates.get(name);
  if (source !== undefined) return source;
  throw new NotFoundError('chat template', name, templates.size > 0 ? [] : ['the model has no chat template'], [
    ...templates.keys(),
  ]);
}

/**
 * The special tokens of tokenizer_config.json or special_tokens_map.json as texts (an entry may be a text or
 * {content: text}), ready for `RenderOptions.tokens`.
 */
export function specialTokenTexts(config: unknown): Record<string, string> {
  const tokens: Record<string, string> = {};
  if (typeof config !== 'object' || config === null) return tokens;
  for (const [key, value] of Object.entries(config)) {
    if (!key.endsWith('_token')) continue;
    if (typeof value === 'string') tokens[key] = value;
    else if (typeof value === 'object' && value !== null && typeof value.content === 'string')
      tokens[key] = value.content;
  }
  return tokens;
}
