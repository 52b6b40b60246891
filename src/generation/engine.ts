/** The engine: a model, a paged cache, and one ragged step that advances any number of sequences at once. */
import type { Backend, BackendBuffer, LoadedPlan } from '../backends/backend.ts';
import { CapacityError, SettingError } from '../errors.ts';
import { type Model, parameterBuffers } from '../models/index.ts';
import { type CacheSpec, inferencePlan } from '../models/inference.ts';
import { byteLength } from '../tensor/dtype.ts';
import type { Precision } from '../tensor/index.ts';
import { sizeOf } from '../tensor/shape.ts';
import { PagePool } from './pages.ts';
import { Sequence } from './sequence.ts';

export interface EngineOptions {
  /** Longest sequence in tokens; the model's own limit unless given. */
  readonly context?: number;
  /** Tokens that the cache holds for all sequences together. */
  readonly cacheTokens?: number;
  readonly precision?: Precision;
  /** Rows of one run at most: longer prompts are computed in chunks of this many tokens. */
  readonly maxRows?: number;
  /** Sequences of one run at most. */
  readonly maxSequences?: number;
  /** Whether beginnings that were computed before are found again; true unless given. */
  readonly prefixCache?: boolean;
}

/** What to do for one sequence in a step: compute its pending tokens, and bring back logits. */
export interface StepRequest {
  readonly sequence: Sequence;
  /** Logits of the last pending token, of all of them, or of none. */
  readonly logits: 'last' | 'all' | 'none';
}

const PAGE_SIZE = 32;
const CACHE_BUDGET = 2 ** 30;

/** A run of rows of one sequence inside a chunk. */
interface Span {
  readonly request: number;
  readonly sequence: Sequence;
  readonly start: number;
  readonly end: number;
}

export class Engine {
  readonly context: number;
  readonly precision: Precision;
  readonly maxRows: number;
  readonly maxSequences: number;
  readonly pageSize = PAGE_SIZE;
  private readonly pool: PagePool;
  private readonly pagesPerSequence: number;
  private readonly caches: readonly { readonly spec: CacheSpec; readonly buffer: BackendBuffer }[];
  private readonly loaded: LoadedPlan;
  private readonly prefixCache: boolean;
  private turn: Promise<unknown> = Promise.resolve();

  constructor(
    readonly model: Model,
    options: EngineOptions = {},
  ) {
    const { config, backend } = model;
    this.context = options.context ?? config.n_positions;
    if (!Number.isInteger(this.context) || this.context < 1 || this.context > config.n_positions) {
      throw new SettingError(
        'context',
        options.context,
        `has to be between 1 and the model's ${config.n_positions} positions`,
      );
    }
    this.precision = options.precision ?? 'fast';
    this.maxRows = Math.min(options.maxRows ?? 512, Math.max(this.context, 64));
    this.maxSequences = Math.min(options.maxSequences ?? 64, this.maxRows);
    this.prefixCache = options.prefixCache ?? true;
    this.pagesPerSequence = Math.ceil(this.context / PAGE_SIZE);
    const cacheType = this.precision === 'exact' || backend.info.name !== 'native' ? 'f32' : 'f16';
    const pageCount = Math.ceil((options.cacheTokens ?? this.defaultCacheTokens(cacheType)) / PAGE_SIZE);
    const { plan, caches } = inferencePlan(model, {
      maxRows: this.maxRows,
      maxSequences: this.maxSequences,
      pageSize: PAGE_SIZE,
      pageCount,
      pagesPerSequence: this.pagesPerSequence,
      cacheType,
      precision: this.precision,
    });
    this.pool = new PagePool(pageCount);
    this.caches = caches.map((spec) => ({
      spec,
      buffer: backend.allocate(byteLength(spec.dtype, sizeOf(spec.shape))),
    }));
    const cacheBuffers = Object.fromEntries(this.caches.map(({ spec, buffer }) => [spec.name, buffer]));
    this.loaded = backend.load(plan, { ...parameterBuffers(model), ...cacheBuffers });
  }

  get backend(): Backend {
    return this.model.backend;
  }

  /** Tokens for which there is room in the cache. */
  get freeTokens(): number {
    return this.pool.available * PAGE_SIZE;
  }

  /** An empty sequence, or one that begins with `tokens`. */
  sequence(tokens: Iterable<number> = []): Sequence {
    const sequence = new Sequence(this.pool, PAGE_SIZE);
    sequence.append(tokens);
    return sequence;
  }

  /**
   * Compute what is pending of each sequence. The result has, for each request, the logits it asked for: (V) of the last token, (T, V)
   * of all pending ones, or an empty array.
   * @throws CapacityError when a sequence is longer than the context or the cache is full: nothing was computed then.
   */
  async step(requests: readonly StepRequest[]): Promise<Float32Array[]> {
    const result = this.turn.then(() => this.runStep(requests));
    this.turn = result.catch(() => {});
    return result;
  }

  /** The logits of every position of a prompt, (T, V) in one array, or of the last alone, (V). */
  async logits(ids: readonly number[], { last = false }: { readonly last?: boolean } = {}): Promise<Float32Array> {
    const sequence = this.sequence(ids);
    try {
      const [logits] = await this.step([{ sequence, logits: last ? 'last' : 'all' }]);
      return logits;
    } finally {
      sequence.free();
    }
  }

  private defaultCacheTokens(cacheType: 'f32' | 'f16'): number {
    const { config, backend } = this.model;
    const { n_kv_head, head_dim } = config.attention;
    const perToken = 2 * config.layers.length * byteLength(cacheType, n_kv_head * head_dim);
    // Native memory is only taken when it is touched; elsewhere a budget keeps the cache from being the largest thing there is.
    if (backend.info.name === 'native') return Math.max(this.context, Math.min(4 * this.context, 16384));
    const affordable = Math.floor(CACHE_BUDGET / 4 / perToken);
    return Math.max(Math.min(4 * this.context, affordable), Math.min(this.context, PAGE_SIZE));
  }

  private async runStep(requests: readonly StepRequest[]): Promise<Float32Array[]> {
    for (const { sequence } of requests) this.checkTokens(sequence);
    if (new Set(requests.map(({ sequence }) => sequence)).size !== requests.length) {
      throw new SettingError('requests', requests.length, 'name a sequence twice');
    }
    for (const { sequence, logits } of requests) this.usePrefix(sequence, logits);
    this.reserve(requests.map(({ sequence }) => sequence));

    const vocabulary = this.model.config.vocab_size;
    const results = requests.map(
      ({ sequence, logits }) =>
        new Float32Array(
          logits === 'none' || sequence.pending === 0
            ? 0
            : logits === 'last'
              ? vocabulary
              : sequence.pending * vocabulary,
        ),
    );
    const filled = new Array<number>(requests.length).fill(0);
    for (const spans of this.chunks(requests)) {
      const wanted = await this.runChunk(spans, requests);
      for (const { request, logits } of wanted) {
        results[request].set(logits, filled[request]);
        filled[request] += logits.length;
      }
    }
    return results;
  }

  private checkTokens(sequence: Sequence): void {
    const { length, tokens, computed } = sequence;
    if (length > this.context) {
      throw new CapacityError(
        'context',
        length,
        this.context,
        'tokens',
        'Shorten the prompt or ask for fewer new tokens',
      );
    }
    const vocabulary = this.model.config.vocab_size;
    for (let i = computed; i < length; i++) {
      if (!Number.isInteger(tokens[i]) || tokens[i] < 0 || tokens[i] >= vocabulary) {
        throw new SettingError('ids', tokens[i], `is not a token id of this model (0 to ${vocabulary - 1})`);
      }
    }
  }

  /** Take over pages that hold the beginning of a sequence, but leave its last token to compute. */
  private usePrefix(sequence: Sequence, logits: StepRequest['logits']): void {
    if (!this.prefixCache || logits === 'all' || sequence.computed % PAGE_SIZE !== 0) return;
    while (sequence.computed + PAGE_SIZE < sequence.length) {
      const tokens = sequence.tokens.slice(sequence.computed, sequence.computed + PAGE_SIZE);
      const page = this.pool.find(sequence.pages.at(-1) ?? -1, tokens);
      if (page < 0) return;
      sequence.pages.push(page);
      sequence.computed += PAGE_SIZE;
    }
  }

  /** Make sure that every pending token has a page that its sequence alone may write. */
  private reserve(sequences: readonly Sequence[]): void {
    let needed = 0;
    const borrowed = (sequence: Sequence) => {
      const partial = sequence.pending > 0 && sequence.computed % PAGE_SIZE !== 0;
      return partial && this.pool.isShared(sequence.pages[Math.floor(sequence.computed / PAGE_SIZE)]);
    };
    for (const sequence of sequences) {
      needed += Math.ceil(sequence.length / PAGE_SIZE) - sequence.pages.length + Number(borrowed(sequence));
    }
    if (needed > this.pool.available) {
      const hint = 'Use fewer or shorter sequences at once';
      throw new CapacityError('KV cache', needed, this.pool.available, `pages of ${PAGE_SIZE} tokens`, hint);
    }
    for (const sequence of sequences) {
      const last = Math.floor(sequence.computed / PAGE_SIZE);
      if (borrowed(sequence)) sequence.pages[last] = this.copyPage(sequence.pages[last]);
      else if (sequence.pending > 0 && sequence.computed % PAGE_SIZE !== 0) this.pool.forget(sequence.pages[last]);
      while (sequence.pages.length * PAGE_SIZE < sequence.length) sequence.pages.push(this.pool.take());
    }
  }

  private copyPage(page: number): number {
    const copy = this.pool.take();
    for (const { spec, buffer } of this.caches) {
      const bytes = byteLength(spec.dtype, sizeOf(spec.shape.slice(1)));
      this.backend.copy(buffer, page * bytes, copy * bytes, bytes);
    }
    this.pool.release(page);
    return copy;
  }

  /** Cut the pending tokens of all requests into chunks that one run can take. */
  private *chunks(requests: readonly StepRequest[]): Iterable<readonly Span[]> {
    let spans: Span[] = [];
    let rows = 0;
    for (let request = 0; request < requests.length; request++) {
      const { sequence } = requests[request];
      const end = sequence.length;
      for (let start = sequence.computed; start < end; ) {
        if (rows === this.maxRows || spans.length === this.maxSequences) {
          yield spans;
          spans = [];
          rows = 0;
        }
        const take = Math.min(end - start, this.maxRows - rows);
        spans.push({ request, sequence, start, end: start + take });
        rows += take;
        start += take;
      }
    }
    if (spans.length > 0) yield spans;
  }

  private async runChunk(
    spans: readonly Span[],
    requests: readonly StepRequest[],
  ): Promise<{ request: number; logits: Float32Array }[]> {
    const N = spans.reduce((sum, { start, end }) => sum + end - start, 0);
    const [ids, positions, rows, slots] = Array.from({ length: 4 }, () => new Int32Array(N));
    const tables = new Int32Array(spans.length * this.pagesPerSequence);
    const select: number[] = [];
    const wanted: { request: number; count: number }[] = [];
    let n = 0;
    spans.forEach(({ request, sequence, start, end }, row) => {
      tables.set(sequence.pages, row * this.pagesPerSequence);
      const first = n;
      for (let position = start; position < end; position++, n++) {
        ids[n] = sequence.tokens[position];
        positions[n] = position;
        rows[n] = row;
        slots[n] = sequence.pages[Math.floor(position / PAGE_SIZE)] * PAGE_SIZE + (position % PAGE_SIZE);
      }
      const { logits } = requests[request];
      const from = logits === 'all' ? first : logits === 'last' && end === sequence.length ? n - 1 : n;
      for (let i = from; i < n; i++) select.push(i);
      if (from < n) wanted.push({ request, count: n - from });
    });
    const { logits } = await this.loaded.run({
      dims: { N, R: spans.length, L: select.length },
      inputs: { ids, positions, rows, slots, tables, select: Int32Array.from(select) },
      outputs: ['logits'],
    });
    for (const { sequence, end } of spans) this.markComputed(sequence, end);
    const vocabulary = this.model.config.vocab_size;
    let at = 0;
    return wanted.map(({ request, count }) => {
      const part = (logits as Float32Array).subarray(at * vocabulary, (at + count) * vocabulary);
      at += count;
      return { request, logits: part };
    });
  }

  private markComputed(sequence: Sequence, end: number): void {
    const before = Math.floor(sequence.computed / PAGE_SIZE);
    sequence.computed = end;
    if (!this.prefixCache) return;
    for (let i = before; (i + 1) * PAGE_SIZE <= end; i++) {
      const tokens = sequence.tokens.slice(i * PAGE_SIZE, (i + 1) * PAGE_SIZE);
      this.pool.remember(sequence.pages[i], sequence.pages[i - 1] ?? -1, tokens);
    }
  }
}
