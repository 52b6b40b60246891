/** `inkstone generate`: prompts in, their continuations out as they are written. */
import { basename } from 'node:path';
import { InterruptedError, SettingError } from '../errors.ts';
import type { GenerationEvent, GenerationResult } from '../generation/events.ts';
import { type ExplainedStep, explainer, summarizeSteps } from '../generation/explain.ts';
import { type GenerateOptions, generate } from '../generation/generate.ts';
import type { Prompt } from '../generation/prompt.ts';
import { DEFAULT_MODEL, defaultModelFor, type OpenModel } from '../node/open_model.ts';
import type { ChatMessage } from '../prompts/index.ts';
import { hasColour } from './charts/index.ts';
import { stepLines, summaryLines } from './explain.ts';
import { interruptSignal } from './interrupt.ts';
import { type ModelFlags, openFromFlags, settingsOf } from './session.ts';
import { sayAside, shownText, write, writeJson } from './terminal.ts';
import { UsageError } from './usage.ts';

/** New tokens when neither the flags nor the model say. */
const NEW_TOKENS = 128;

interface GenerateFlags extends ModelFlags {
  readonly ids?: readonly number[];
  readonly chat?: boolean;
  readonly system?: string;
  /** False: the new text alone. */
  readonly prompt: boolean;
  readonly json?: boolean;
  /** A model that drafts. */
  readonly assistant?: string;
  readonly explain?: boolean;
  readonly explainTokens?: readonly number[];
}

export async function generateCommand(texts: readonly string[], flags: GenerateFlags): Promise<void> {
  const settings = settingsOf(flags);
  if (flags.explainTokens && !flags.explain) throw new UsageError('--explain-tokens goes with --explain');
  const signal = interruptSignal();
  const prompts = await readPrompts(texts, flags, signal);
  const started = performance.now();
  const model = await openFromFlags(flags, signal, usualModel(prompts));
  let assistant: OpenModel | undefined;
  try {
    if (flags.assistant !== undefined)
      assistant = await openFromFlags({ ...flags, model: flags.assistant, adapter: undefined }, signal);
    const load_ms = performance.now() - started;
    const options = { signal, fallbackNewTokens: NEW_TOKENS, assistant };
    if (flags.explain) {
      await explain(model, prompts, settings, options, flags, load_ms);
      return;
    }
    const events = generate(model, prompts, settings, options);
    if (flags.json) {
      const results: GenerationResult[] = [];
      for await (const event of events) if (event.type === 'done') results.push(event);
      results.sort((a, b) => a.prompt - b.prompt || a.index - b.index);
      const shown = results.map((result) => describe(model, result, load_ms));
      await writeJson(shown.length === 1 ? shown[0] : shown);
    } else {
      const answers = Number(settings.num_return_sequences ?? model.generationConfig.num_return_sequences ?? 1);
      const samples = (settings.do_sample ?? model.generationConfig.do_sample) === true;
      const leads = prompts.map((prompt) => (flags.prompt && typeof prompt === 'string' ? prompt : ''));
      const results = await stream(events, leads, answers);
      sayAside(`${basename(model.name)}: ${summary(results)}${samples ? `, seed ${results[0].seed}` : ''}`);
    }
  } finally {
    await model.close();
    await assistant?.close();
  }
}

/** Generate, and show what happened at each step: an answer after the other, the first one as it is written. */
async function explain(
  model: OpenModel,
  prompts: readonly Prompt[],
  settings: Readonly<Record<string, unknown>>,
  options: GenerateOptions,
  flags: GenerateFlags,
  load_ms: number,
): Promise<void> {
  const beams = Number(settings.num_beams ?? model.generationConfig.num_beams ?? 1);
  if (beams > 1) {
    throw new SettingError('num_beams', beams, 'cannot go with --explain: a beam search has no one token a step');
  }
  const textOf = (id: number): string => model.tokenizer?.decode([id]) ?? '';
  const explainStep = explainer({ tokens: flags.explainTokens, processors: { textOf } });
  const nameOf = (id: number): string => textOf(id) || model.tokenizer?.idToToken(id) || String(id);
  const all = new Map<string, ExplainedStep[]>();
  const keyOf = ({ prompt, index }: { readonly prompt: number; readonly index: number }) => `${prompt}:${index}`;
  const results: GenerationResult[] = [];
  const style = {
    width: Math.min(process.stdout.columns || 80, 120),
    isColoured: hasColour(process.stdout, process.env),
    nameOf,
  };
  const isLive = !flags.json && prompts.length * Number(settings.num_return_sequences ?? 1) === 1;
  let waiting: ExplainedStep[] = [];
  const show = async (steps: readonly ExplainedStep[]): Promise<void> => {
    for (const step of steps) await write(`${stepLines(step, style).join('\n')}\n`);
  };
  const onStep: GenerateOptions['onStep'] = (observed) => {
    const step = explainStep(observed);
    const own = all.get(keyOf(step)) ?? [];
    own.push(step);
    all.set(keyOf(step), own);
    if (isLive) waiting.push(step);
  };
  for await (const event of generate(model, prompts, settings, { ...options, onStep })) {
    if (event.type === 'done') results.push(event);
    const now = waiting;
    waiting = [];
    await show(now);
  }
  results.sort((a, b) => a.prompt - b.prompt || a.index - b.index);
  const stepsOf = (result: GenerationResult): ExplainedStep[] => all.get(keyOf(result)) ?? [];
  if (flags.json) {
    const shown = results.map((result) => {
      const steps = stepsOf(result);
      const texts = Object.fromEntries([...idsIn(steps)].map((id) => [id, textOf(id)]));
      return { ...describe(model, result, load_ms), explanation: { summary: summarizeSteps(steps), texts, steps } };
    });
    await writeJson(shown.length === 1 ? shown[0] : shown);
    return;
  }
  for (const [i, result] of results.entries()) {
    const prompt = prompts[result.prompt];
    if (results.length > 1) await write(`${i > 0 ? '\n' : ''}--- ${i + 1}\n`);
    if (!isLive) await show(stepsOf(result));
    await write(`\n${shownText((flags.prompt && typeof prompt === 'string' ? prompt : '') + result.text)}\n\n`);
    await write(`${summaryLines(summarizeSteps(stepsOf(result)), style).join('\n')}\n`);
  }
}

/** Every token that an explanation names. */
function idsIn(steps: readonly ExplainedStep[]): Set<number> {
  return new Set(
    steps.flatMap(({ raw, processed, effects, chosen, named }) => [
      chosen.id,
      ...[raw.top, processed.top, named, ...effects.flatMap(({ removed, changed }) => [removed.top, changed.top])]
        .flat()
        .map(({ id }) => id),
    ]),
  );
}

async function readPrompts(texts: readonly string[], flags: GenerateFlags, signal: AbortSignal): Promise<Prompt[]> {
  const { ids, chat, system } = flags;
  if (system !== undefined && !chat) throw new UsageError('--system goes with --chat');
  if (ids !== undefined) {
    if (texts.length > 0) throw new UsageError('give either --ids or a text');
    return [ids];
  }
  if (texts.length === 0) throw new UsageError('the prompt is missing: give a text, "-" for stdin, or --ids 1,2,3');
  if (texts.filter((text) => text === '-').length > 1) throw new UsageError('"-" can stand for one prompt only');
  const read = await Promise.all(texts.map((text) => (text === '-' ? readStdin(signal) : text)));
  if (!chat) return read;
  const before: ChatMessage[] = system === undefined ? [] : [{ role: 'system', content: system }];
  return read.map((text) => [...before, { role: 'user', content: text }]);
}

/** Texts to continue choose by their language; whatever is a conversation or ids goes to the default. */
function usualModel(prompts: readonly Prompt[]): string {
  const texts = prompts.filter((prompt) => typeof prompt === 'string');
  return texts.length === prompts.length ? defaultModelFor(texts) : DEFAULT_MODEL;
}

/** All of stdin as text. */
async function readStdin(signal: AbortSignal): Promise<string> {
  const chunks: Buffer[] = [];
  signal.addEventListener('abort', () => process.stdin.destroy(new InterruptedError()));
  for await (const chunk of process.stdin) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString('utf8');
}

/**
 * Print each answer as it is written, in the order of the prompts: what comes for a later answer waits for its turn.
 * @param leads what stands before the answers to each prompt. @param answers to each prompt.
 */
async function stream(
  events: AsyncIterable<GenerationEvent>,
  leads: readonly string[],
  answers: number,
): Promise<GenerationResult[]> {
  const waiting = new Map<string, { text: string; isDone: boolean }>();
  const results: GenerationResult[] = [];
  let turn = 0;
  let isOpen = false;
  const begin = async () => {
    isOpen = true;
    const [prompt, index] = [Math.floor(turn / answers), turn % answers];
    if (leads.length * answers > 1) {
      const name = leads.length === 1 ? index + 1 : answers === 1 ? prompt + 1 : `${prompt + 1}.${index + 1}`;
      await write(`${turn > 0 ? '\n' : ''}--- ${name}\n`);
    }
    await write(shownText(leads[prompt]));
  };
  try {
    for await (const event of events) {
      const place = event.prompt * answers + event.index;
      if (event.type === 'done') results.push(event);
      if (place === turn) {
        if (!isOpen) await begin();
        if (event.type !== 'done') await write(shownText(event.text));
      } else {
        const entry = waiting.get(String(place)) ?? { text: '', isDone: false };
        waiting.set(String(place), entry);
        if (event.type !== 'done') entry.text += event.text;
        else entry.isDone = true;
      }
      for (let isDone = place === turn && event.type === 'done'; isDone; ) {
        await write('\n');
        isOpen = false;
        turn++;
        const next = waiting.get(String(turn));
        if (!next) break;
        await begin();
        await write(shownText(next.text));
        isDone = next.isDone;
      }
    }
  } finally {
    if (isOpen) await write('\n');
  }
  return results;
}

function summary(results: readonly GenerationResult[]): string {
  const tokens = results.reduce((sum, { ids }) => sum + ids.length, 0);
  const wait = Math.min(...results.map(({ timings }) => timings.first_token_ms));
  const seconds = (Math.max(...results.map(({ timings }) => timings.total_ms)) - wait) / 1000;
  const rate =
    tokens > results.length && seconds > 0 ? `, ${((tokens - results.length) / seconds).toFixed(1)} tokens/s` : '';
  return `${tokens} tokens${rate}`;
}

function describe(model: OpenModel, result: GenerationResult, load_ms: number): Record<string, unknown> {
  const { timings, index, prompt, text, ids, prompt_ids, finish_reason, seed } = result;
  const { first_token_ms, total_ms, prompt_tokens, new_tokens } = timings;
  const { info } = model.engine.backend;
  const rate = (count: number, ms: number) => (count > 0 && ms > 0 ? Math.round((count / ms) * 1e4) / 10 : null);
  return {
    model: model.name,
    backend: `${info.name} (${info.variant}, ${info.threads} threads)`,
    precision: model.engine.precision,
    prompt,
    index,
    text,
    ids,
    prompt_ids,
    finish_reason,
    seed,
    timings: {
      load_ms: Math.round(load_ms),
      first_token_ms: Math.round(first_token_ms),
      total_ms: Math.round(total_ms),
      prompt_tokens_per_second: rate(prompt_tokens, first_token_ms),
      tokens_per_second: rate(new_tokens - 1, total_ms - first_token_ms),
    },
  };
}
