/** Prompts: chat templates and what belongs to them. */
export {
  type ChatMessage,
  type ChatSegment,
  ChatTemplate,
  type ChatTemplateOptions,
  type RenderOptions,
} from './chat_template.ts';
export {
  type ChatTemplateSources,
  type ChatTemplates,
  readChatTemplates,
  selectChatTemplate,
  specialTokenTexts,
} from './chat_template_source.ts';
export { ChatTemplateError, type TemplateErrorType } from './jinja/errors.ts';
export { type EncodingPart, splitSpecialTokens } from './special_tokens.ts';
