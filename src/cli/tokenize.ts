/** `inkstone tokenize`: texts to ids with pieces and offsets, and back. */
import { existsSync, readFileSync, statSync } from 'node:fs';
import { basename, join } from 'node:path';
import { createInterface } from 'node:readline';
import { FileFormatError, SettingError } from '../errors.ts';
import { resolveModel } from '../node/models.ts';
import { DEFAULT_MODEL, openSource, readModelFiles } from '../node/open_model.ts';
import { progressReporter } from '../node/progress.ts';
import { type Tokenizer, tokenizerFromGguf, tokenizerFromJson } from '../tokenizers/index.ts';
import { openWeights } from '../weights/index.ts';
import { parseIds, write } from './session.ts';

interface TokenizeFlags {
  readonly model?: string;
  readonly decode?: boolean;
  readonly special?: boolean;
  readonly offline?: boolean;
  readonly json?: boolean;
}

export async function tokenizeCommand(texts: readonly string[], flags: TokenizeFlags): Promise<void> {
  const tokenizer = await openTokenizer(flags);
  const lines = texts.length > 0 ? texts : createInterface({ input: process.stdin });
  for await (const line of lines) {
    if (flags.decode) await write(`${decode(tokenizer, line, flags)}\n`);
    else await write(encode(tokenizer, texts.length === 0 && flags.json ? textOf(line) : line, flags));
  }
}

async function openTokenizer({ model = DEFAULT_MODEL, offline }: TokenizeFlags): Promise<Tokenizer> {
  const isFile = existsSync(model) && statSync(model).isFile();
  if (isFile && model.endsWith('.json'))
    return tokenizerFromJson(JSON.parse(readFileSync(model, 'utf8')), { file: model });
  if (isFile && /\.gguf$/i.test(model)) return tokenizerFromGguf(openWeights(openSource(model)));
  const folderFile = join(model, 'tokenizer.json');
  if (existsSync(folderFile))
    return tokenizerFromJson(JSON.parse(readFileSync(folderFile, 'utf8')), { file: folderFile });
  const location = await resolveModel(model, { offline, progress: progressReporter() });
  const { tokenizer } = readModelFiles(location);
  if (tokenizer) return tokenizer;
  throw new SettingError('--model', basename(location.path), 'has no tokenizer');
}

/** The text of a JSON line: a string, or an object with one. */
function textOf(line: string): string {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    throw new FileFormatError('stdin', line.slice(0, 40), 'is not JSON: a line has to be a string or {"text": …}');
  }
  const text = typeof value === 'object' && value !== null ? (value as { text?: unknown }).text : value;
  if (typeof text !== 'string') throw new FileFormatError('stdin', line.slice(0, 40), 'has no text');
  return text;
}

function decode(tokenizer: Tokenizer, line: string, { json }: TokenizeFlags): string {
  const text = tokenizer.decode(parseIds(line.replace(/[[\]]/g, ' ')));
  return json ? JSON.stringify({ text }) : text;
}

function encode(tokenizer: Tokenizer, text: string, { json, special }: TokenizeFlags): string {
  const { ids, tokens, offsets } = tokenizer.encode(text, { parse_special: special ?? false });
  const spans = Array.from(ids, (_, i) => [offsets[2 * i], offsets[2 * i + 1]]);
  if (json) return `${JSON.stringify({ ids: [...ids], tokens, offsets: spans })}\n`;
  const rows = Array.from(ids, (id, i) => {
    const [start, end] = spans[i];
    return `${String(id).padStart(7)}  ${`${start}–${end}`.padEnd(11)} ${JSON.stringify(tokenizer.decode([id]))}  ${tokens[i]}\n`;
  });
  return `${rows.join('')}${ids.length} tokens\n`;
}
