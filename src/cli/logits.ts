/** `inkstone logits`: the scores of every next token, as numbers or as a table. */
import { SettingError } from '../errors.ts';
import { encodePrompt } from '../generation/prompt.ts';
import { type ModelFlags, openFromFlags, parseIds, write } from './session.ts';

interface LogitsFlags extends ModelFlags {
  readonly prompt?: string;
  readonly ids?: string;
  readonly last?: boolean;
  readonly top: number;
  readonly json?: boolean;
}

export async function logitsCommand(flags: LogitsFlags): Promise<void> {
  if ((flags.prompt === undefined) === (flags.ids === undefined)) {
    throw new SettingError('--prompt', flags.prompt, 'or --ids is needed, and not both');
  }
  if (!Number.isInteger(flags.top) || flags.top < 1)
    throw new SettingError('--top', flags.top, 'has to be a whole number from 1 up');
  const given = flags.ids === undefined ? flags.prompt! : parseIds(flags.ids);
  const model = await openFromFlags(flags);
  try {
    const ids = encodePrompt(model, given);
    const last = flags.last ?? false;
    const logits = await model.engine.logits(ids, { last });
    const V = model.config.vocab_size;
    const rows = last ? 1 : ids.length;
    if (flags.json) {
      await write(`{"ids":${JSON.stringify(ids)},"logits":[`);
      for (let row = 0; row < rows; row++) {
        const numbers = Array.from(logits.subarray(row * V, (row + 1) * V), shortest);
        await write(`${row > 0 ? ',' : ''}[${numbers.join(',')}]`);
      }
      await write(']}\n');
      return;
    }
    const name = (id: number) => JSON.stringify(model.tokenizer?.decode([id]) ?? String(id));
    for (let row = 0; row < rows; row++) {
      const position = last ? ids.length - 1 : row;
      await write(`${position}: after ${name(ids[position])}\n`);
      for (const { id, logit, probability } of best(logits.subarray(row * V, (row + 1) * V), flags.top)) {
        const bar = '█'.repeat(Math.round(probability * 30));
        await write(
          `  ${String(id).padStart(6)}  ${logit.toFixed(3).padStart(9)}  ${(probability * 100).toFixed(2).padStart(6)}%  ${name(id)} ${bar}\n`,
        );
      }
    }
  } finally {
    await model.close();
  }
}

/** The shortest decimal that gives the same float32 back. */
function shortest(x: number): string {
  if (!Number.isFinite(x)) return 'null';
  for (let digits = 6; digits <= 9; digits++) {
    const text = x.toPrecision(digits);
    if (Math.fround(Number(text)) === x) return String(Number(text));
  }
  return String(x);
}

function best(logits: Float32Array, count: number): { id: number; logit: number; probability: number }[] {
  const greatest = logits.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
  const total = logits.reduce((sum, x) => sum + Math.exp(x - greatest), 0);
  return Array.from(logits.keys())
    .sort((a, b) => logits[b] - logits[a] || a - b)
    .slice(0, count)
    .map((id) => ({ id, logit: logits[id], probability: Math.exp(logits[id] - greatest) / total }));
}
