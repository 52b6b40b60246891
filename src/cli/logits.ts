/** `inkstone logits`: the scores of every next token, as numbers or as a table. */
import { cell, printable } from '../display.ts';
import { encodePrompt } from '../generation/prompt.ts';
import { interruptSignal } from './interrupt.ts';
import { type ModelFlags, openFromFlags } from './session.ts';
import { write, writeJson } from './terminal.ts';
import { UsageError } from './usage.ts';

interface LogitsFlags extends ModelFlags {
  readonly prompt?: string;
  readonly ids?: readonly number[];
  readonly last?: boolean;
  readonly top?: number;
  readonly json?: boolean;
}

/** One of the best tokens of a position. */
interface Candidate {
  readonly id: number;
  readonly token: string;
  readonly logit: number;
  readonly logprob: number;
}

const SHOWN = 5;
const TOKEN_COLUMNS = 20;
const BAR_COLUMNS = 30;

export async function logitsCommand(flags: LogitsFlags): Promise<void> {
  const { prompt, last = false, top, json } = flags;
  const given = flags.ids ?? prompt;
  if (given === undefined) throw new UsageError('give --prompt TEXT or --ids 1,2,3');
  if (flags.ids && prompt !== undefined) throw new UsageError('give either --prompt or --ids');
  const model = await openFromFlags(flags, interruptSignal());
  try {
    const ids = encodePrompt(model, given);
    const logits = await model.engine.logits(ids, { last, adapter: model.adapter });
    const V = model.config.vocab_size;
    const positions = last ? [ids.length - 1] : ids.map((_, i) => i);
    const rowOf = (i: number) => logits.subarray(i * V, (i + 1) * V); // (V)
    const nameOf = (id: number) => model.tokenizer?.decode([id]) ?? String(id);
    if (json && top !== undefined) {
      await writeJson({ ids, positions, top: positions.map((_, i) => best(rowOf(i), top, nameOf)) });
    } else if (json) {
      await write(`{"ids":${JSON.stringify(ids)},"logits":[`);
      for (const i of positions.keys()) await write(`${i > 0 ? ',' : ''}[${Array.from(rowOf(i), shortest).join(',')}]`);
      await write(']}\n');
    } else {
      for (const [i, position] of positions.entries()) {
        await write(`${position}: after ${printable(JSON.stringify(nameOf(ids[position])))}\n`);
        for (const candidate of best(rowOf(i), top ?? SHOWN, nameOf)) await write(line(candidate));
      }
    }
  } finally {
    await model.close();
  }
}

function line({ id, token, logit, logprob }: Candidate): string {
  const probability = Math.exp(logprob);
  const name = cell(JSON.stringify(token), TOKEN_COLUMNS);
  const bar = '█'.repeat(Math.round(probability * BAR_COLUMNS));
  const percent = `${(probability * 100).toFixed(2)}%`.padStart(7);
  return `${`${String(id).padStart(7)}  ${logit.toFixed(3).padStart(8)}  ${percent}  ${name} ${bar}`.trimEnd()}\n`;
}

/** The shortest decimal that gives the same float32 back; JSON has no number for the infinite. */
function shortest(x: number): string {
  if (!Number.isFinite(x)) return 'null';
  for (let digits = 6; digits < 9; digits++) {
    const value = Number(x.toPrecision(digits));
    if (Math.fround(value) === x) return String(value);
  }
  return String(Number(x.toPrecision(9)));
}

function best(logits: Float32Array, count: number, nameOf: (id: number) => string): Candidate[] {
  const greatest = logits.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
  const logTotal = Math.log(logits.reduce((sum, x) => sum + Math.exp(x - greatest), 0));
  return Array.from(logits.keys())
    .sort((a, b) => logits[b] - logits[a] || a - b)
    .slice(0, count)
    .map((id) => ({
      id,
      token: nameOf(id),
      logit: Number(shortest(logits[id])),
      logprob: logits[id] - greatest - logTotal,
    }));
}
