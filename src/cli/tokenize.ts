/** `inkstone tokenize`: texts to ids with pieces and offsets, and back. */
import { existsSync, statSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { cell, printable } from '../display.ts';
import { FileFormatError, SettingError } from '../errors.ts';
import { resolveModel } from '../node/models.ts';
import { DEFAULT_MODEL } from '../node/open_model.ts';
import { tokenizerOfDirectory, tokenizerOfFile } from '../node/open_tokenizer.ts';
import { codePointOffsets, type Tokenizer } from '../tokenizers/index.ts';
import { interruptSignal } from './interrupt.ts';
import { progress, say, shownText, write, writeJson } from './terminal.ts';

interface TokenizeFlags {
  readonly model?: string;
  readonly decode?: boolean;
  readonly parseSpecial?: boolean;
  readonly addSpecial: boolean;
  readonly skipSpecial?: boolean;
  readonly offline?: boolean;
  readonly json?: boolean;
}

export async function tokenizeCommand(texts: readonly string[], flags: TokenizeFlags): Promise<void> {
  const tokenizer = await openTokenizer(flags);
  const lines = texts.length > 0 ? texts : createInterface({ input: process.stdin });
  const isJsonInput = texts.length === 0 && flags.json === true;
  for await (const line of lines) {
    if (isJsonInput && line.trim() === '') continue;
    const given: unknown = isJsonInput && !(flags.decode && /^[\s\d,]*$/.test(line)) ? parseLine(line) : line;
    if (flags.decode) await decode(tokenizer, given, line, flags);
    else await encode(tokenizer, textOf(given, line), flags);
  }
}

async function openTokenizer({ model = DEFAULT_MODEL, offline }: TokenizeFlags): Promise<Tokenizer> {
  const path = existsSync(model) ? model : await locate(model, offline);
  const tokenizer = statSync(path).isDirectory() ? tokenizerOfDirectory(path) : tokenizerOfFile(path);
  if (tokenizer) return tokenizer;
  throw new SettingError('--model', model, 'has no tokenizer');
}

async function locate(model: string, offline?: boolean): Promise<string> {
  if (model === DEFAULT_MODEL) say(`model: ${model}`);
  return (await resolveModel(model, { offline, progress: progress(), signal: interruptSignal() })).path;
}

function parseLine(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    throw new FileFormatError('stdin', line.slice(0, 40), 'is not JSON: with --json each line has to be');
  }
}

/** A string, or the text of an object that has one. */
function textOf(given: unknown, line: string): string {
  const text = typeof given === 'object' && given !== null && 'text' in given ? given.text : given;
  if (typeof text === 'string') return text;
  throw new FileFormatError('stdin', line.slice(0, 40), 'is neither a string nor an object with a "text"');
}

async function decode(tokenizer: Tokenizer, given: unknown, line: string, flags: TokenizeFlags): Promise<void> {
  const list = typeof given === 'object' && given !== null && 'ids' in given ? given.ids : given;
  const ids: readonly unknown[] = Array.isArray(list)
    ? list
    : String(list)
        .split(/[\s,[\]]+/)
        .filter(Boolean)
        .map(Number);
  for (const id of ids)
    if (!Number.isSafeInteger(id) || Number(id) < 0 || Number(id) >= tokenizer.vocabSize)
      throw new SettingError('ids', line, `have to be whole numbers from 0 to ${tokenizer.vocabSize - 1}`);
  const text = tokenizer.decode(ids as readonly number[], { skip_special_tokens: flags.skipSpecial ?? false });
  if (flags.json) await writeJson({ text });
  else await write(`${shownText(text)}\n`);
}

/** Offsets are in code points, as Python's tokenizers give them: what reads the JSON may be of any language. */
async function encode(tokenizer: Tokenizer, text: string, flags: TokenizeFlags): Promise<void> {
  const options = { parse_special: flags.parseSpecial ?? false, add_special_tokens: flags.addSpecial };
  const encoding = tokenizer.encode(text, options);
  const { tokens } = encoding;
  const ids = Array.from(encoding.ids);
  const points = codePointOffsets(text, encoding.offsets);
  const offsets = ids.map((_, i) => [points[2 * i], points[2 * i + 1]]);
  if (flags.json) {
    await writeJson({ ids, tokens, offsets });
    return;
  }
  await write(`${'id'.padStart(7)}  ${'place'.padEnd(11)}  ${'piece'.padEnd(24)}  text\n`);
  for (const [i, id] of ids.entries()) {
    const place = offsets[i].join('–').padEnd(11);
    const piece = cell(tokens[i], 24);
    await write(
      `${String(id).padStart(7)}  ${place}  ${piece}  ${printable(JSON.stringify(tokenizer.decode([id])))}\n`,
    );
  }
  await write(`${ids.length} tokens\n`);
}
