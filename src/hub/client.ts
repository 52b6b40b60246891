/**
 * The model hub over HTTP: https://huggingface.co/docs/hub/api and the `resolve` addresses. `fetch` comes from outside,
 * so that the same code serves Node, a browser and a test.
 */
import { isSafePath } from './names.ts';
import { DEFAULT_RETRY, HubError, type RetryPolicy, withRetry } from './retry.ts';

export type Fetch = (url: string, init: RequestInit) => Promise<Response>;

export interface HubClientOptions {
  readonly endpoint: string;
  readonly fetch: Fetch;
  readonly token?: string;
  readonly retry?: RetryPolicy;
  /** Milliseconds without an answer, or without a byte, after which a request counts as failed. Default 20,000. */
  readonly timeout?: number;
}

/** A file of a repository at one commit. */
export interface RemoteFile {
  readonly id: string;
  readonly path: string;
  readonly commit: string;
  /** Names the content: SHA-256 for large files, git's SHA-1 for small ones. Also the name of the blob in the cache. */
  readonly etag: string;
  readonly size: number;
}

/** The bytes of a file from `offset` on. */
export interface RemoteBody {
  readonly offset: number;
  readonly chunks: AsyncIterable<Uint8Array>;
}

const MAX_REDIRECTS = 10;
const REDIRECTS = new Set([301, 302, 303, 307, 308]);

export class HubClient {
  readonly endpoint: string;
  private readonly retry: RetryPolicy;
  private readonly timeout: number;

  constructor(private readonly options: HubClientOptions) {
    this.endpoint = options.endpoint.replace(/\/+$/, '');
    this.retry = options.retry ?? DEFAULT_RETRY;
    this.timeout = options.timeout ?? 20_000;
  }

  /** The commit behind a revision and the paths of its files. */
  async list(id: string, revision: string, signal?: AbortSignal): Promise<{ commit: string; paths: string[] }> {
    const url = `${this.endpoint}/api/models/${id}/revision/${encodeURIComponent(revision)}`;
    return withRetry(this.retry, signal, async () => {
      const response = await this.request(url, { method: 'GET' }, signal, true);
      if (!response.ok) throw failed(response, `${id}@${revision}`, this.endpoint);
      const info = await this.json(response, url);
      const commit = info.sha;
      if (typeof commit !== 'string' || !/^[0-9a-f]{7,64}$/.test(commit) || !Array.isArray(info.siblings)) {
        throw new HubError('protocol', `${url}: the answer is not that of a model hub`);
      }
      const paths = (info.siblings as { rfilename?: unknown }[])
        .map((sibling) => sibling?.rfilename)
        .filter((path): path is string => typeof path === 'string' && isSafePath(path));
      return { commit, paths };
    });
  }

  /** Size and content name of one file, from the headers that the hub sends before it redirects to its storage. */
  async describe(id: string, commit: string, path: string, signal?: AbortSignal): Promise<RemoteFile> {
    const url = this.fileUrl(id, commit, path);
    return withRetry(this.retry, signal, async () => {
      const response = await this.request(url, { method: 'HEAD' }, signal, false);
      if (response.status >= 400) throw failed(response, `${id}: ${path}`, this.endpoint);
      const { headers } = response;
      const etag = (headers.get('x-linked-etag') ?? headers.get('etag') ?? '').replace(/^W\//, '').replaceAll('"', '');
      const size = Number(headers.get('x-linked-size') ?? headers.get('content-length') ?? Number.NaN);
      if (!/^[\w-]{8,128}$/.test(etag) || !Number.isSafeInteger(size) || size < 0) {
        throw new HubError('protocol', `${url}: the answer names no content (etag) or no size`);
      }
      return { id, path, commit, etag, size };
    });
  }

  /**
   * Opens a file at `offset`; the server may answer from the start, which `offset` of the result says. One try: the
   * caller repeats, because it knows how much arrived.
   */
  async open(file: RemoteFile, offset: number, signal?: AbortSignal): Promise<RemoteBody> {
    const url = this.fileUrl(file.id, file.commit, file.path);
    const headers: Record<string, string> = offset > 0 ? { range: `bytes=${offset}-` } : {};
    const stall = new AbortController();
    const joined = signal ? AbortSignal.any([signal, stall.signal]) : stall.signal;
    const response = await this.request(url, { method: 'GET', headers }, joined, true);
    if (response.status === 416) {
      await response.body?.cancel();
      return this.open(file, 0, signal);
    }
    if (!response.ok || !response.body) throw failed(response, `${file.id}: ${file.path}`, this.endpoint);
    const from = response.status === 206 ? rangeStart(response) : 0;
    if (from !== 0 && from !== offset)
      throw new HubError('protocol', `${url}: asked from byte ${offset}, got from ${from}`);
    return { offset: from, chunks: this.chunks(response.body, url, stall) };
  }

  private fileUrl(id: string, commit: string, path: string): string {
    return `${this.endpoint}/${id}/resolve/${encodeURIComponent(commit)}/${path.split('/').map(encodeURIComponent).join('/')}`;
  }

  private async *chunks(
    body: ReadableStream<Uint8Array>,
    url: string,
    stall: AbortController,
  ): AsyncIterable<Uint8Array> {
    const reader = body.getReader();
    try {
      for (;;) {
        const timer = setTimeout(
          () => stall.abort(new HubError('unreachable', `${url}: no data for ${this.timeout} ms`)),
          this.timeout,
        );
        const result = await reader.read().finally(() => clearTimeout(timer));
        if (result.done) return;
        yield result.value;
      }
    } catch (error) {
      throw unreachable(url, error);
    } finally {
      await reader.cancel().catch(() => undefined);
    }
  }

  /**
   * One request, following redirects by hand: the token goes to the hub's own host only, and never from https to http.
   * @param follow whether to follow a redirect to another host; the hub's headers are on the answer before it.
   */
  private async request(
    url: string,
    init: RequestInit,
    signal: AbortSignal | undefined,
    follow: boolean,
  ): Promise<Response> {
    let at = url;
    let isHome = true;
    for (let hops = 0; hops <= MAX_REDIRECTS; hops++) {
      const headers: Record<string, string> = {
        'accept-encoding': 'identity',
        ...(init.headers as Record<string, string>),
      };
      if (this.options.token && isHome) headers.authorization = `Bearer ${this.options.token}`;
      const response = await this.once(at, { ...init, headers }, signal);
      const location = REDIRECTS.has(response.status) ? response.headers.get('location') : null;
      if (location === null) return response;
      const next = new URL(location, at);
      const isSameHost = next.origin === new URL(at).origin;
      if (!isSameHost && !follow) return response;
      if (next.protocol !== 'https:' && next.protocol !== 'http:')
        throw new HubError('protocol', `${at}: redirects to ${next.protocol}`);
      if (next.protocol === 'http:' && at.startsWith('https:'))
        throw new HubError('protocol', `${at}: redirects from https to http`);
      await response.body?.cancel();
      isHome &&= isSameHost;
      at = next.href;
    }
    throw new HubError('protocol', `${url}: more than ${MAX_REDIRECTS} redirects`);
  }

  private async once(url: string, init: RequestInit, signal: AbortSignal | undefined): Promise<Response> {
    const waiting = new AbortController();
    const timer = setTimeout(
      () => waiting.abort(new HubError('unreachable', `${url}: no answer for ${this.timeout} ms`)),
      this.timeout,
    );
    const joined = signal ? AbortSignal.any([signal, waiting.signal]) : waiting.signal;
    try {
      return await this.options.fetch(url, { ...init, redirect: 'manual', signal: joined });
    } catch (error) {
      if (signal?.aborted) throw signal.reason;
      throw unreachable(url, error);
    } finally {
      clearTimeout(timer);
    }
  }

  private async json(response: Response, url: string): Promise<Record<string, unknown>> {
    let text: string;
    try {
      text = await response.text();
    } catch (error) {
      throw unreachable(url, error);
    }
    try {
      const value: unknown = JSON.parse(text);
      if (typeof value === 'object' && value !== null) return value as Record<string, unknown>;
    } catch {}
    throw new HubError('protocol', `${url}: the answer is not JSON; is this a model hub?`);
  }
}

function rangeStart(response: Response): number {
  const found = /^bytes (\d+)-/.exec(response.headers.get('content-range') ?? '');
  return found ? Number(found[1]) : Number.NaN;
}

function unreachable(url: string, error: unknown): unknown {
  if (error instanceof HubError) return error;
  if (!(error instanceof Error)) return error;
  if (error.name === 'AbortError') return error;
  const cause = error.cause instanceof Error ? error.cause : error;
  const code = 'code' in cause && typeof cause.code === 'string' ? ` (${cause.code})` : '';
  return new HubError('unreachable', `${new URL(url).host} cannot be reached: ${cause.message || cause.name}${code}`);
}

function failed(response: Response, what: string, endpoint: string): HubError {
  const { status } = response;
  const code = response.headers.get('x-error-code') ?? '';
  const seconds = Number(response.headers.get('retry-after') ?? 0);
  const host = new URL(endpoint).host;
  void response.body?.cancel();
  if (code === 'GatedRepo' || status === 403) {
    return new HubError(
      'gated',
      `${what}: ${host} asks for consent (${status}). Accept the terms on the model's page there, and set HF_TOKEN to a token of that account`,
      status,
    );
  }
  if (code === 'RepoNotFound' || status === 401) {
    return new HubError(
      'refused',
      `${what}: ${host} has no such model, or HF_TOKEN must be set to see it (${status})`,
      status,
    );
  }
  if (status === 404) return new HubError('missing', `${what}: not on ${host} (404)`, status);
  if (status === 408 || status === 429 || status >= 500) {
    return new HubError(
      'busy',
      `${what}: ${host} answered ${status}`,
      status,
      Number.isFinite(seconds) ? seconds * 1000 : 0,
    );
  }
  return new HubError('protocol', `${what}: ${host} answered ${status}`, status);
}
