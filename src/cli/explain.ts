/** What `inkstone generate --explain` draws: a block of lines for each step of an answer, and a summary of all. */
import { cell, columns, cut, printable } from '../display.ts';
import type { ExplainedStep, ExplainedSummary, ExplainedToken } from '../generation/explain.ts';
import { paint } from './charts/index.ts';

export interface ExplainStyle {
  readonly width: number;
  readonly isColoured?: boolean;
  /** The text of a token. */
  readonly nameOf: (id: number) => string;
}

const BAR = 16;
/** Room for the names of settings: longer ones are cut. */
const LEAST_LABEL = 8;
const MOST_LABEL = 20;
const EIGHTHS = ['', '▏', '▎', '▍', '▌', '▋', '▊', '▉'];

/** One step: the token with its probability, candidates before and after, and what each setting did where it did anything. */
export function stepLines(step: ExplainedStep, style: ExplainStyle): string[] {
  const { width, isColoured = false, nameOf } = style;
  const { chosen, raw, processed, effects } = step;
  const { before, after } = chosen;
  const number = `${step.step + 1}`.padStart(4);
  const name = cell(quoted(nameOf(chosen.id)), 14);
  const isBest = before.rank === 1;
  const facts = `${percent(after.probability)} ${bar(after.probability)} rank ${before.rank ?? '–'}, H ${nats(raw.entropy)}`;
  const shift = Math.abs(raw.entropy - processed.entropy) < 0.005 ? '' : ` → ${nats(processed.entropy)}`;
  const head = `${number} ${paint(name, isBest ? 'green' : 'yellow', isColoured)} ${facts}${shift}`;
  const lines = [
    columns(`${number} ${name} ${facts}${shift}`) > width ? cut(`${number} ${name} ${facts}`, width) : head,
  ];
  const isSame = effects.every(({ removed, changed }) => removed.count + changed.count === 0);
  const list = (tokens: readonly ExplainedToken[]) =>
    tokens.map((one) => `${quoted(nameOf(one.id))} ${short(one.probability)}`);
  const widest = Math.max(LEAST_LABEL, ...effects.map(({ name: setting }) => columns(setting)));
  const label = Math.min(widest, MOST_LABEL, Math.max(1, width - 30));
  const push = (title: string, parts: readonly string[]): void => {
    const start = `     ${cell(title, label)}  `;
    const room = width - columns(start);
    if (room >= 4) lines.push(`${paint(start, 'dim', isColoured)}${fitting(parts, room)}`);
  };
  push(isSame ? 'model' : 'before', list(raw.top));
  for (const { name: setting, removed, changed, left } of effects) {
    if (removed.count > 0) {
      const said = `-${removed.count}, ${left} left, ${percent(removed.mass).trim()} cut:`;
      push(setting, [said, ...list(removed.top)]);
    } else if (changed.count > 0) {
      const moved = changed.top.filter((one) => short(one.before) !== short(one.after));
      const said = changed.count === left ? 'all scores:' : `${changed.count} scores:`;
      const shown = moved.map((one) => `${quoted(nameOf(one.id))} ${short(one.before)}→${short(one.after)}`);
      if (shown.length > 0) push(setting, [said, ...shown]);
    }
  }
  if (!isSame) push('after', list(processed.top));
  for (const { id, before: was, after: is } of step.named) {
    push('asked', [
      `${quoted(nameOf(id))} ln p ${logs(was)} → ${logs(is)}, rank ${was.rank ?? '–'} → ${is.rank ?? '–'}`,
    ]);
  }
  return lines;
}

/** What all steps of an answer say together. */
export function summaryLines(summary: ExplainedSummary, { width }: Pick<ExplainStyle, 'width'>): string[] {
  const { steps, mean_entropy_raw, mean_entropy_processed, perplexity, share_of_first_rank, settings } = summary;
  const lines = [
    `${steps} step${steps === 1 ? '' : 's'}: mean entropy ${nats(mean_entropy_raw)} → ${nats(mean_entropy_processed)} nats`,
    `perplexity ${perplexity === null ? '∞' : perplexity.toPrecision(4)} under the model; its first choice at ${percent(share_of_first_rank).trim()} of steps`,
  ];
  const widest = Math.max(0, ...settings.map(({ name }) => columns(name)));
  for (const { name, mean_removed, mean_mass, active_steps } of settings) {
    const removed =
      mean_removed > 0
        ? `cut ${amount(mean_removed)} token${mean_removed === 1 ? '' : 's'}, ${percent(mean_mass).trim()} a step`
        : 'cut nothing';
    lines.push(`${cell(name, widest)}  ${removed}; did something at ${active_steps} of ${steps}`);
  }
  return lines.map((line) => cut(line, width));
}

/** Parts beside each other, as many as fit whole; the first is cut rather than left out. */
function fitting(parts: readonly string[], room: number): string {
  let line = '';
  for (const part of parts) {
    const longer = line === '' ? part : `${line}  ${part}`;
    if (columns(longer) > room) return line === '' ? cut(part, room) : line;
    line = longer;
  }
  return line;
}

/** A token's text as it is seen: what cannot be seen, and quotation marks at spaces. */
function quoted(text: string): string {
  const safe = printable(text.replaceAll('\t', '\\t').replaceAll('\r', '\\r'));
  return safe === '' || /^\s|\s$/.test(safe) ? `"${safe}"` : safe;
}

function bar(probability: number): string {
  const eighths = Math.round(Math.min(1, Math.max(0, probability)) * BAR * 8);
  return `${'█'.repeat(eighths >> 3)}${EIGHTHS[eighths & 7]}`.padEnd(BAR);
}

/** "37.2%", in six columns. */
function percent(share: number): string {
  return `${(share * 100).toFixed(1)}%`.padStart(6);
}

/** A probability in as few digits as say something: ".372", "1", "2e-5". */
function short(probability: number): string {
  if (probability >= 0.9995) return '1';
  if (probability === 0) return '0';
  return probability < 0.0005 ? probability.toExponential(0) : probability.toFixed(3).slice(1);
}

function nats(entropy: number): string {
  return entropy.toFixed(2);
}

function logs({ logprob }: ExplainedToken): string {
  return logprob === null ? '-∞' : logprob.toFixed(3);
}

function amount(count: number): string {
  return count >= 100 ? String(Math.round(count)) : String(Number(count.toPrecision(3)));
}
