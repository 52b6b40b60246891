/** The answers of a sweep, as they are finished. */
import type { GenerationResult } from '../generation/events.ts';
import { type GenerationModel, generate } from '../generation/generate.ts';
import type { CellSettings } from './space.ts';

/** One answer to write. */
export interface Request {
  readonly cell: number;
  readonly prompt: number;
  readonly seed: number;
  readonly ids: readonly number[];
  /** The cell's, with the seed. */
  readonly settings: CellSettings;
}

export interface Answered {
  readonly request: Request;
  readonly result: GenerationResult;
}

/**
 * All answers in one stream, as many at once as fit.
 * @throws InterruptedError when the signal is raised.
 */
export async function* runAll(
  model: GenerationModel,
  requests: readonly Request[],
  options: { readonly signal?: AbortSignal; readonly fallbackNewTokens?: number },
): AsyncGenerator<Answered, void, void> {
  const { signal, fallbackNewTokens } = options;
  if (requests.length === 0) return;
  const ids = requests.map((request) => request.ids);
  const settings = requests.map((request) => request.settings);
  for await (const event of generate(model, ids, settings, { signal, fallbackNewTokens })) {
    if (event.type !== 'done' || event.finish_reason === 'aborted') continue;
    yield { request: requests[event.prompt], result: event };
  }
}
