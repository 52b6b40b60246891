/**
 * Schemas as values of the program: a plain JSON Schema, or any value with the Standard Schema interface (https://standardschema.dev), Zod 4's among them, whose
 * JSON Schema the value itself can give. No library is imported.
 */
import { SettingError } from '../../../errors.ts';

/** What is used of the Standard Schema interface, version 1. */
export interface StandardSchema<Input = unknown, Output = Input> {
  readonly '~standard': {
    readonly version: 1;
    readonly vendor: string;
    readonly types?: { readonly input: Input; readonly output: Output } | undefined;
    readonly validate: (value: unknown) => StandardResult<Output> | Promise<StandardResult<Output>>;
  };
}

export type StandardResult<Output> =
  | { readonly value: Output; readonly issues?: undefined }
  | { readonly issues: readonly StandardIssue[] };

export interface StandardIssue {
  readonly message: string;
  readonly path?: readonly (PropertyKey | { readonly key: PropertyKey })[] | undefined;
}

/** A JSON Schema, or a value that has one. */
export type SchemaLike = boolean | object;

/** The type of what a schema lets through: that of a Standard Schema's output; of a plain JSON Schema nothing is known. */
export type InferOutput<S> = S extends { readonly '~standard': { readonly types?: infer T } }
  ? NonNullable<T> extends { readonly output: infer Output }
    ? Output
    : unknown
  : unknown;

export interface UsableSchema<T> {
  /** The JSON Schema that text is written by. */
  readonly schema: unknown;
  /**
   * The value of a finished text, as the schema's library makes it (defaults, transformations, its own checks). A plain JSON Schema gives the value back.
   * @throws SettingError with the library's issues.
   */
  validate(value: unknown): T | Promise<T>;
}

/**
 * @param jsonSchema the JSON Schema of a Standard Schema value that cannot give one.
 * @throws SettingError when there is no JSON Schema to write by.
 */
export function schemaOf<const S extends SchemaLike>(value: S, jsonSchema?: unknown): UsableSchema<InferOutput<S>> {
  const standard = standardOf(value);
  if (standard === undefined) {
    if (typeof value !== 'boolean' && (typeof value !== 'object' || value === null || Array.isArray(value))) {
      throw new SettingError(
        'schema',
        value,
        'is not a schema: give a JSON Schema, or a value of a Standard Schema library such as Zod',
      );
    }
    return { schema: value, validate: (result) => result as InferOutput<S> };
  }
  return {
    schema: jsonSchema ?? closed(given(value, standard)),
    validate: (result) => {
      const outcome = standard.validate(result);
      return outcome instanceof Promise ? outcome.then((done) => settled(done, result)) : settled(outcome, result);
    },
  };

  function settled(outcome: StandardResult<unknown>, result: unknown): InferOutput<S> {
    if (outcome.issues === undefined) return outcome.value as InferOutput<S>;
    const issues = outcome.issues.slice(0, 5).map((issue) => {
      const path = (issue.path ?? []).map((part) => String(typeof part === 'object' ? part.key : part)).join('.');
      return path === '' ? issue.message : `${path}: ${issue.message}`;
    });
    throw new SettingError('value', result, `does not satisfy the schema: ${issues.join('; ')}`);
  }
}

type Standard = StandardSchema['~standard'] & { readonly jsonSchema?: unknown };

function standardOf(value: unknown): Standard | undefined {
  if ((typeof value !== 'object' && typeof value !== 'function') || value === null) return undefined;
  const standard = (value as { readonly '~standard'?: unknown })['~standard'];
  if (typeof standard !== 'object' && typeof standard !== 'function') return undefined;
  return standard !== null && typeof (standard as Standard).validate === 'function'
    ? (standard as Standard)
    : undefined;
}

/** What the library says of the values that it takes in. */
function given(value: unknown, standard: Standard): unknown {
  const converter = standard.jsonSchema as { readonly input?: unknown } | undefined;
  const own = (value as { readonly toJSONSchema?: unknown }).toJSONSchema;
  try {
    if (typeof converter?.input === 'function') return converter.input({ target: 'draft-2020-12' });
    // Zod before it had the interface.
    if (typeof own === 'function') return own.call(value, { io: 'input', target: 'draft-2020-12' });
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new SettingError(
      'schema',
      `a schema of ${standard.vendor}`,
      `cannot be written as a JSON Schema (${reason}); give the JSON Schema as well`,
    );
  }
  throw new SettingError(
    'schema',
    `a schema of ${standard.vendor}`,
    'gives no JSON Schema; give the JSON Schema as well',
  );
}

const DEEPEST = 200;

/** Objects take the members that they name: libraries drop or ignore others, so that writing them would be in vain. */
function closed(schema: unknown, depth = 0, joinedToOthers = false): unknown {
  if (typeof schema !== 'object' || schema === null || depth > DEEPEST) return schema;
  if (Array.isArray(schema)) return schema.map((item) => closed(item, depth + 1, joinedToOthers));
  const result: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(schema)) {
    if (key === 'enum' || key === 'const' || key === 'default' || key === 'examples') result[key] = value;
    else if (key === 'properties' || key === '$defs' || key === 'definitions' || key === 'patternProperties') {
      result[key] = Object.fromEntries(
        Object.entries(value ?? {}).map(([name, inner]) => [name, closed(inner, depth + 1)]),
      );
    } else
      result[key] = closed(
        value,
        depth + 1,
        key === 'allOf' || ((key === 'anyOf' || key === 'oneOf') && joinedToOthers),
      );
  }
  const open =
    result.properties !== undefined &&
    result.additionalProperties === undefined &&
    result.patternProperties === undefined;
  if (open && !joinedToOthers && result.allOf === undefined && result.$ref === undefined)
    result.additionalProperties = false;
  return result;
}
