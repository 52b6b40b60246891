import { EnvironmentError } from '../errors.ts';

/** Why the hub did not give what was asked. */
export type HubFailure = 'unreachable' | 'busy' | 'missing' | 'refused' | 'gated' | 'damaged' | 'protocol';

/** A request to the hub that failed for good. */
export class HubError extends EnvironmentError {
  constructor(
    readonly failure: HubFailure,
    message: string,
    /** HTTP status, 0 when there was no answer. */
    readonly status = 0,
    /** The server's wish, in milliseconds. */
    readonly retryAfter = 0,
  ) {
    super(message);
  }
}

export interface RetryPolicy {
  /** Tries in all, as long as none makes progress. */
  readonly attempts: number;
  /** First pause in milliseconds; doubles each time, up to 16 times of it. */
  readonly pause: number;
}

export const DEFAULT_RETRY: RetryPolicy = { attempts: 5, pause: 500 };

/** Waits; an abort ends the wait with the signal's reason. */
export function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted();
    const stop = (): void => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', stop);
      resolve();
    }, ms);
    signal?.addEventListener('abort', stop, { once: true });
  });
}

/** The pause before try number `attempt` (1 for the first repetition). */
export const pauseBefore = (attempt: number, policy: RetryPolicy, error: HubError): number =>
  Math.max(policy.pause * 2 ** Math.min(attempt - 1, 4), Math.min(error.retryAfter, 60_000));

export const isTransient = (error: unknown): error is HubError =>
  error instanceof HubError && (error.failure === 'unreachable' || error.failure === 'busy');

/** Repeats what fails for a passing reason. */
export async function withRetry<T>(
  policy: RetryPolicy,
  signal: AbortSignal | undefined,
  run: () => Promise<T>,
): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    signal?.throwIfAborted();
    try {
      return await run();
    } catch (error) {
      signal?.throwIfAborted();
      if (!isTransient(error) || attempt >= policy.attempts) throw error;
      await sleep(pauseBefore(attempt, policy, error), signal);
    }
  }
}
