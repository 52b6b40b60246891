/** An answer as a value: the schema rules the writing, the text is read and validated, and its type is the schema's. */
import { CapacityError } from '../errors.ts';
import { type InferOutput, type SchemaLike, schemaOf } from './constraints/schema/standard.ts';
import { type GenerateOptions, type GenerationModel, generateAll } from './generate.ts';
import type { Prompt } from './prompt.ts';

/**
 * Generate a value that follows a schema: a JSON Schema, or a value of Zod or any other Standard Schema library, whose output type the result has.
 * @throws SettingError for a schema that cannot be enforced, CapacityError when the answer ends before the value does: give more
 *   max_new_tokens; and what the library throws for a value that only its own checks refuse.
 */
export async function generateObject<const S extends SchemaLike>(
  model: GenerationModel,
  prompt: Prompt,
  schema: S,
  settings: Readonly<Record<string, unknown>> = {},
  options: GenerateOptions = {},
): Promise<InferOutput<S>> {
  const { schema: json, validate } = schemaOf(schema);
  const [{ text, ids, finish_reason }] = await generateAll(
    model,
    [prompt] as readonly Prompt[],
    { ...settings, structured_output: { json } },
    { fallbackNewTokens: 256, ...options },
  );
  if (finish_reason !== 'eos') {
    const hint = `The value was not complete (${finish_reason}): give more max_new_tokens`;
    throw new CapacityError('max_new_tokens', ids.length + 1, ids.length, 'tokens', hint);
  }
  return validate(JSON.parse(text));
}
