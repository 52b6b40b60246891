/** What `inkstone inspect` shows of a file: facts as data, and a plain table of at most 80 columns. */

import { cell, columns, cut, printable } from '../display.ts';
import { elementCount, type WeightType } from './dtype.ts';
import { isJsonObject, type JsonObject } from './json.ts';
import type { MetadataValue, WeightFile } from './model_file.ts';

/** One tensor, as it is shown. */
export interface TensorFacts {
  readonly name: string;
  readonly type: WeightType;
  readonly shape: readonly number[];
  readonly bytes: number;
  /** Of the first byte in its file. */
  readonly offset: number;
  /** The file it lies in: of a sharded model, its part. */
  readonly file: string;
}

/** Everything that is shown of a weight file. */
export interface Inspection {
  readonly file: string;
  readonly format: WeightFile['format'];
  /** Long texts and lists are cut, and say how long they are. */
  readonly metadata: { readonly [key: string]: unknown };
  readonly tensors: readonly TensorFacts[];
  readonly parameters: number;
  readonly bytes: number;
  /** Bytes by element type, largest first. */
  readonly types: readonly { readonly type: WeightType; readonly tensors: number; readonly bytes: number }[];
}

const maxText = 200;
const maxItems = 8;

function summary(value: MetadataValue): unknown {
  if (typeof value === 'string')
    return value.length > maxText ? `${value.slice(0, maxText)}… (${value.length} characters)` : value;
  if (typeof value === 'bigint') return value.toString();
  if (!Array.isArray(value)) return value;
  const items = value.slice(0, maxItems).map(summary);
  return value.length > maxItems ? [...items, `… (${value.length} items)`] : items;
}

/** The facts about an opened file. */
export function inspectWeights(file: WeightFile): Inspection {
  const tensors = [...file.tensors.values()].map((entry) => ({
    name: entry.name,
    type: entry.type,
    shape: entry.shape,
    bytes: entry.byteLength,
    offset: entry.offset,
    file: entry.source.name,
  }));
  const types = new Map<WeightType, { type: WeightType; tensors: number; bytes: number }>();
  let parameters = 0;
  let bytes = 0;
  for (const tensor of tensors) {
    parameters += elementCount(tensor.shape, file.name, tensor.name);
    bytes += tensor.bytes;
    const sum = types.get(tensor.type) ?? { type: tensor.type, tensors: 0, bytes: 0 };
    types.set(tensor.type, { type: tensor.type, tensors: sum.tensors + 1, bytes: sum.bytes + tensor.bytes });
  }
  return {
    file: file.name,
    format: file.format,
    metadata: Object.fromEntries([...file.metadata].map(([key, value]) => [key, summary(value)])),
    tensors,
    parameters,
    bytes,
    types: [...types.values()].sort((a, b) => b.bytes - a.bytes),
  };
}

/** What is shown of a config.json, a tokenizer.json or another JSON file of a model. */
export interface JsonInspection {
  readonly file: string;
  readonly format: 'tokenizer' | 'config' | 'index' | 'json';
  readonly summary: { readonly [key: string]: unknown };
}

/** The facts about a JSON file that belongs to a model. */
export function inspectJson(file: string, json: unknown): JsonInspection {
  if (!isJsonObject(json))
    return { file, format: 'json', summary: { kind: Array.isArray(json) ? 'list' : typeof json } };
  if (isJsonObject(json.model) && 'added_tokens' in json)
    return { file, format: 'tokenizer', summary: tokenizerSummary(json, json.model) };
  if (isJsonObject(json.weight_map)) {
    const shards = new Set(Object.values(json.weight_map));
    return {
      file,
      format: 'index',
      summary: { tensors: Object.keys(json.weight_map).length, shards: shards.size, ...scalars(json.metadata) },
    };
  }
  if ('model_type' in json || 'architectures' in json) return { file, format: 'config', summary: scalars(json) };
  return { file, format: 'json', summary: scalars(json) };
}

function tokenizerSummary(json: JsonObject, model: JsonObject): JsonObject {
  const size = (value: unknown): number =>
    Array.isArray(value) ? value.length : isJsonObject(value) ? Object.keys(value).length : 0;
  const kind = (value: unknown): unknown => {
    if (!isJsonObject(value)) return null;
    const parts = [value.normalizers, value.pretokenizers, value.processors, value.decoders].find(Array.isArray);
    return parts ? parts.slice(0, maxItems).map(kind) : value.type;
  };
  return {
    model: typeof model.type === 'string' ? summary(model.type) : null,
    vocabulary: size(model.vocab),
    merges: size(model.merges),
    added_tokens: size(json.added_tokens),
    normalizer: kind(json.normalizer),
    pre_tokenizer: kind(json.pre_tokenizer),
    post_processor: kind(json.post_processor),
    decoder: kind(json.decoder),
  };
}

function scalars(json: unknown): JsonObject {
  if (!isJsonObject(json)) return {};
  const entries = Object.entries(json).map(([key, value]): [string, unknown] => {
    if (typeof value === 'string') return [key, summary(value)];
    if (Array.isArray(value)) return [key, value.length > maxItems ? `${value.length} items` : value];
    return [
      key,
      isJsonObject(value) && Object.keys(value).length > maxItems ? `${Object.keys(value).length} members` : value,
    ];
  });
  return Object.fromEntries(entries);
}

const width = 80;

/** A count with its thousands apart: 134,515,008. */
export function grouped(value: number): string {
  return String(value).replace(/\B(?=(\d{3})+$)/g, ',');
}

/** Bytes in the unit that leaves at most four digits before the point. */
export function humanBytes(bytes: number): string {
  let unit = 0;
  let value = bytes;
  while (value >= 1024 && unit < 4) {
    value /= 1024;
    unit++;
  }
  return unit === 0 ? `${bytes} B` : `${value.toFixed(1)} ${['B', 'KiB', 'MiB', 'GiB', 'TiB'][unit]}`;
}

function shown(value: unknown): string {
  return typeof value === 'string' ? value : JSON.stringify(value);
}

function pairs(title: string, values: JsonObject): string[] {
  const keys = Object.keys(values);
  if (keys.length === 0) return [];
  const longest = Math.min(
    40,
    keys.reduce((most, key) => Math.max(most, columns(printable(key))), 0),
  );
  const lines = keys.map((key) => {
    return `  ${cell(key, longest)}  ${cut(shown(values[key]), width - longest - 4)}`;
  });
  return ['', title, ...lines];
}

/** The inspection of a weight file as lines of at most 80 columns, each ended. */
export function renderInspection(inspection: Inspection): string {
  const { tensors } = inspection;
  const lines = [
    cut(inspection.file, width),
    `${inspection.format}, ${grouped(tensors.length)} tensors, ${grouped(inspection.parameters)} parameters, ${humanBytes(inspection.bytes)}`,
    ...inspection.types.map(
      ({ type, tensors: count, bytes }) =>
        `  ${type.padEnd(8)} ${grouped(count).padStart(7)} tensors  ${humanBytes(bytes).padStart(11)}`,
    ),
    ...pairs('Metadata', inspection.metadata),
  ];
  if (tensors.length > 0) {
    const shapes = tensors.map(({ shape }) => `[${shape.join(', ')}]`);
    const shapeWidth = Math.min(24, Math.max(5, ...lengths(shapes)));
    const typeWidth = Math.max(4, ...lengths(tensors.map(({ type }) => type)));
    const bytesWidth = 10;
    const offsetWidth = Math.max(6, ...lengths(tensors.map(({ offset }) => String(offset))));
    const nameWidth = width - shapeWidth - typeWidth - bytesWidth - offsetWidth - 4;
    const row = (name: string, type: string, shape: string, bytes: string, offset: string): string => {
      return `${cell(name, nameWidth)} ${type.padEnd(typeWidth)} ${cut(shape, shapeWidth).padEnd(shapeWidth)} ${bytes.padStart(bytesWidth)} ${offset.padStart(offsetWidth)}`;
    };
    lines.push('', row('Tensor', 'type', 'shape', 'bytes', 'offset'));
    for (const [i, { name, type, bytes, offset }] of tensors.entries())
      lines.push(row(name, type, shapes[i], humanBytes(bytes), String(offset)));
  }
  return `${lines.join('\n')}\n`;
}

/** Lengths, without spreading more than a call can take. */
function lengths(texts: readonly string[]): number[] {
  return [texts.reduce((most, text) => Math.max(most, text.length), 0)];
}

/** The inspection of a JSON file as lines of at most 80 columns. */
export function renderJsonInspection(inspection: JsonInspection): string {
  return `${[cut(inspection.file, width), inspection.format, ...pairs('Content', inspection.summary)].join('\n')}\n`;
}
