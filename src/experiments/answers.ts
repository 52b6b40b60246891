/** The answers of a sweep, as they are finished. */
import { InterruptedError } from '../errors.ts';
import { type GenerationModel, generate } from '../generation/generate.ts';
import type { CellSettings } from './space.ts';

type GenerateEvent = ReturnType<typeof generate> extends AsyncGenerator<infer Event, void, void> ? Event : never;

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
  readonly result: Extract<GenerateEvent, { readonly type: 'done' }>;
}

/** @throws InterruptedError when the signal is raised. */
export async function* runAll(
  model: GenerationModel,
  requests: readonly Request[],
  options: { readonly signal?: AbortSignal; readonly fallbackNewTokens?: number },
): AsyncGenerator<Answered, void, void> {
  const { signal, fallbackNewTokens } = options;
  for (const request of requests) {
    if (signal?.aborted) throw new InterruptedError();
    for await (const event of generate(model, request.ids, request.settings, { signal, fallbackNewTokens })) {
      if (event.type === 'done' && event.finish_reason !== 'aborted') yield { request, result: event };
    }
  }
}
