/** `inkstone generate`: prompts in, their continuations out as they are written. */
import { SettingError } from '../errors.ts';
import { type GenerationResult, generate } from '../generation/generate.ts';
import type { Prompt } from '../generation/prompt.ts';
import type { OpenModel } from '../node/open_model.ts';
import { interruptSignal, type ModelFlags, openFromFlags, parseIds, readStdin, settingsOf, write } from './session.ts';

/** New tokens when neither the flags nor the model say. */
const NEW_TOKENS = 128;

interface GenerateFlags extends ModelFlags {
  readonly ids?: string;
  readonly chat?: boolean;
  readonly json?: boolean;
}

export async function generateCommand(texts: readonly string[], flags: GenerateFlags): Promise<void> {
  const settings = settingsOf(flags);
  const prompts = await readPrompts(texts, flags);
  const signal = interruptSignal();
  const started = performance.now();
  const model = await openFromFlags(flags, signal);
  const loaded = performance.now() - started;
  try {
    const events = generate(model, prompts, settings, { signal, fallbackNewTokens: NEW_TOKENS });
    if (flags.json) {
      const results: GenerationResult[] = [];
      for await (const event of events) if (event.type === 'done') results.push(event);
      results.sort((a, b) => a.prompt - b.prompt || a.index - b.index);
      const shown = results.map((result) => describe(model, result, loaded));
      await write(`${JSON.stringify(shown.length === 1 ? shown[0] : shown)}\n`);
    } else await stream(events, prompts);
  } finally {
    await model.close();
  }
}

async function readPrompts(texts: readonly string[], { ids, chat }: GenerateFlags): Promise<Prompt[]> {
  if (ids !== undefined) {
    if (texts.length > 0) throw new SettingError('--ids', ids, 'cannot stand beside a text prompt');
    return [parseIds(ids)];
  }
  if (texts.length === 0)
    throw new SettingError('prompt', '', 'is missing: give a text, "-" for stdin, or --ids 1,2,3');
  const read = await Promise.all(texts.map((text) => (text === '-' ? readStdin() : text)));
  return read.map((text) => (chat ? [{ role: 'user', content: text }] : text));
}

/** One answer streams; several are printed one after another, each under its number. */
async function stream(events: ReturnType<typeof generate>, prompts: readonly Prompt[]): Promise<void> {
  const texts = new Map<string, string>();
  let only: string | null = null;
  for await (const event of events) {
    const key = `${event.prompt}.${event.index}`;
    if (event.type !== 'done') {
      if (only === null) {
        only = key;
        const [prompt] = prompts;
        if (prompts.length === 1 && typeof prompt === 'string') await write(prompt);
      }
      if (only === key) await write(event.text);
      else texts.set(key, (texts.get(key) ?? '') + event.text);
    }
  }
  await write('\n');
  for (const [key, text] of [...texts].sort()) {
    const prompt = prompts[Number(key.split('.')[0])];
    await write(`\n--- ${key}\n${typeof prompt === 'string' ? prompt : ''}${text}\n`);
  }
}

function describe(model: OpenModel, result: GenerationResult, load_ms: number): Record<string, unknown> {
  const { timings, prompt: _prompt, index, text, ids, prompt_ids, finish_reason, seed } = result;
  const { first_token_ms, total_ms, prompt_tokens, new_tokens } = timings;
  const { info } = model.engine.backend;
  return {
    model: model.name,
    backend: `${info.name} (${info.variant}, ${info.threads} threads)`,
    precision: model.engine.precision,
    index,
    text,
    ids,
    prompt_ids,
    finish_reason,
    seed,
    timings: {
      load_ms: Math.round(load_ms),
      first_token_ms: Math.round(first_token_ms),
      prompt_tokens_per_second: Math.round((prompt_tokens / first_token_ms) * 1000),
      tokens_per_second:
        new_tokens > 1 ? Math.round(((new_tokens - 1) / (total_ms - first_token_ms)) * 10000) / 10 : null,
    },
  };
}
