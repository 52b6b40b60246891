/** The engine: a model, a paged cache, and one ragged step that advances any number of sequences at once. */
import type { Backend, BackendBuffer, LoadedPlan, RunResult } from '../backends/backend.ts';
import { CapacityError, SettingError } from '../errors.ts';
import { type Adapter, type Model, parameterBuffers } from '../models/index.ts';
import {
  type AdapterSlots,
  type CacheSpec,
  type InferenceExtras,
  type InferenceShape,
  inferencePlan,
} from '../models/inference.ts';
import { byteLength } from '../tensor/dtype.ts';
import type { Plan, Precision } from '../tensor/index.ts';
import { sizeOf } from '../tensor/shape.ts';
import { AdapterBank } from './adapters.ts';
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

/** Of which pending tokens. */
export type Rows = 'last' | 'all' | 'none';

/** What to do for one sequence in a step: compute its pending tokens, and bring back logits. */
export interface StepRequest {
  readonly sequence: Sequence;
  /** Logits of the last pending token, of all of them, or of none. */
  readonly logits: Rows;
  /** The states that the output head reads; none unless given. */
  readonly hidden?: Rows;
  /** Layers whose input the output head reads as well, for the rows of `logits`. */
  readonly exits?: readonly number[];
  /** With logits 'none': tokens to judge, one after each of the last pending tokens. */
  readonly targets?: readonly number[];
}

/** What a step brings back for one request. */
export interface StepResult {
  /** (V) of the last token, (T, V) of all pending ones in one array, or empty. */
  readonly logits: Float32Array;
  /** (C), (T, C), or empty. */
  readonly hidden: Float32Array;
  /** Logits by early exit, in the order asked for: each of the shape of `logits`. */
  readonly exits: readonly Float32Array[];
  /** Of each target: the natural logarithm of its probability. */
  readonly logprobs: Float32Array;
  /** Of each target: the most probable token in its place, the least id among equals. */
  readonly best: Int32Array;
}

const PAGE_SIZE = 32;
const CACHE_BUDGET = 2 ** 30;
/** Stands for "no target" in a row. */
const UNJUDGED = -100;

/** A run of rows of one sequence inside a chunk. */
interface Span {
  readonly request: number;
  readonly sequence: Sequence;
  readonly start: number;
  readonly end: number;
}

/** Rows of a run's output that belong to one request. */
interface Share {
  readonly request: number;
  readonly count: number;
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
  private readonly shape: InferenceShape;
  /** Plans by what they give besides logits; most models only ever need the first. */
  private readonly plans = new Map<string, LoadedPlan>();
  private readonly prefixCache: boolean;
  private readonly bank: AdapterBank;
  /** What the plans with adapters were made for. */
  private planned: AdapterSlots | null = null;
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
    this.bank = new AdapterBank(model, this.precision === 'exact' ? 'f32' : 'f16');
    this.pagesPerSequence = Math.ceil(this.context / PAGE_SIZE);
    const cacheType = this.precision === 'exact' || backend.info.name !== 'native' ? 'f32' : 'f16';
    const pageCount = Math.ceil((options.cacheTokens ?? this.defaultCacheTokens(cacheType)) / PAGE_SIZE);
    this.shape = {
      maxRows: this.maxRows,
      maxSequences: this.maxSequences,
      pageSize: PAGE_SIZE,
      pageCount,
      pagesPerSequence: this.pagesPerSequence,
      cacheType,
      precision: this.precision,
    };
    const { plan, caches } = inferencePlan(model, this.shape);
    this.pool = new PagePool(pageCount);
    this.caches = caches.map((spec) => ({
      spec,
      buffer: backend.allocate(byteLength(spec.dtype, sizeOf(spec.shape))),
    }));
    this.plans.set('', this.load(plan));
  }

  private load(plan: Plan): LoadedPlan {
    const cacheBuffers = Object.fromEntries(this.caches.map(({ spec, buffer }) => [spec.name, buffer]));
    return this.backend.load(plan, { ...parameterBuffers(this.model), ...cacheBuffers, ...this.bank.buffers });
  }

  /** Names of the adapters that sequences may have. */
  get adapters(): readonly string[] {
    return this.bank.names;
  }

  /**
   * Add an adapter, in the place of one of this name, after all steps so far. Sequences that have one of this name go on with the new one.
   * @throws FileFormatError for one that was made for another model; SettingError for one of the embedding or the head.
   */
  addAdapter(name: string, adapter: Adapter): Promise<void> {
    const added = this.turn.then(() => this.bank.set(name, adapter));
    this.turn = added.catch(() => {});
    return added;
  }

  /** Forget an adapter. A sequence that still has it cannot be computed any more. */
  removeAdapter(name: string): void {
    this.bank.delete(name);
  }

  /** A short text that is another for other numbers of an adapter. */
  adapterPrint(name: string): string {
    return this.bank.printOf(name);
  }

  /** What tells an adapter from any other that this engine had; 0 for none. @throws SettingError for one that is not there. */
  adapterKey(name: string | null): number {
    return this.bank.keyOf(name);
  }

  /** The plan that gives hidden states, these exits or judged targets besides logits; made when it is first needed. */
  private planWith(extras: Required<InferenceExtras>): LoadedPlan {
    const { hidden, exits, targets, adapters } = extras;
    if (adapters && adapters !== this.planned) {
      // Of another shape: plans that were made for it are of no use.
      for (const key of this.plans.keys()) if (key.startsWith('adapters')) this.plans.delete(key);
      this.planned = adapters;
    }
    const own = hidden || targets || exits.length > 0 ? `${hidden}:${targets}:${exits.join()}` : '';
    const key = adapters ? `adapters ${own}` : own;
    let plan = this.plans.get(key);
    if (!plan) {
      plan = this.load(inferencePlan(this.model, this.shape, extras).plan);
      this.plans.set(key, plan);
    }
    return plan;
  }

  get backend(): Backend {
    return this.model.backend;
  }

  /** Tokens that the cache holds in all. */
  get cacheTokens(): number {
    return this.pool.count * PAGE_SIZE;
  }

  /** Tokens for which there is room in the cache. */
  get freeTokens(): number {
    return this.pool.available * PAGE_SIZE;
  }

  /**
   * An empty sequence, or one that begins with `tokens`.
   * @param adapter that computes it; the model alone unless given.
   * @throws SettingError for an adapter that is not there.
   */
  sequence(tokens: Iterable<number> = [], adapter: string | null = null): Sequence {
    this.bank.slotOf(adapter);
    const sequence = new Sequence(this.pool, PAGE_SIZE, adapter);
    sequence.append(tokens);
    return sequence;
  }

  /**
   * Compute what is pending of each sequence. The result has, for each request, what it asked for.
   * @throws CapacityError when a sequence is longer than the context or the cache is full: nothing was computed then.
   */
  async step(requests: readonly StepRequest[]): Promise<StepResult[]> {
    const result = this.turn.then(() => this.runStep(requests));
    this.turn = result.catch(() => {});
    return result;
  }

  /** The logits of every position of a prompt, (T, V) in one array, or of the last alone, (V). */
  async logits(
    ids: readonly number[],
    { last = false, adapter }: { readonly last?: boolean; readonly adapter?: string | null } = {},
  ): Promise<Float32Array> {
    const sequence = this.sequence(ids, adapter);
    try {
      const [{ logits }] = await this.step([{ sequence, logits: last ? 'last' : 'all' }]);
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
    if (backend.info.name === 'native') return Math.max(this.context, Math.min(16 * this.context, 16384), 2048);
    const affordable = Math.floor(CACHE_BUDGET / 4 / perToken);
    return Math.max(Math.min(4 * this.context, affordable), Math.min(this.context, PAGE_SIZE));
  }

  private async runStep(requests: readonly StepRequest[]): Promise<StepResult[]> {
    for (const request of requests) {
      this.checkTokens(request.sequence);
      request.sequence.meet(this.bank.keyOf(request.sequence.adapter));
      this.checkTargets(request);
    }
    if (new Set(requests.map(({ sequence }) => sequence)).size !== requests.length) {
      throw new SettingError('requests', requests.length, 'name a sequence twice');
    }
    const exits = this.exitsOf(requests);
    for (const request of requests) this.usePrefix(request);
    this.reserve(requests.map(({ sequence }) => sequence));

    const { vocab_size: V, n_embd: C } = this.model.config;
    const results = requests.map(({ sequence, logits, hidden = 'none', exits: layers = [], targets = [] }) => {
      const room = (rows: Rows, width: number) =>
        new Float32Array(
          width * (rows === 'none' || sequence.pending === 0 ? 0 : rows === 'last' ? 1 : sequence.pending),
        );
      return {
        logits: room(logits, V),
        hidden: room(hidden, C),
        exits: layers.map(() => room(logits, V)),
        logprobs: new Float32Array(targets.length),
        best: new Int32Array(targets.length),
      };
    });
    const filled = requests.map(() => ({ logits: 0, hidden: 0, targets: 0 }));
    for (const spans of this.chunks(requests)) {
      const run = await this.runChunk(spans, requests, exits);
      let row = 0;
      for (const { request, count } of run.selected) {
        if (requests[request].targets?.length) {
          const { logprobs, best } = results[request];
          for (let i = row; i < row + count; i++) {
            const at = filled[request].targets++;
            logprobs[at] = -run.outputs.loss[i];
            best[at] = run.outputs.best[i];
          }
          row += count;
          continue;
        }
        const at = filled[request].logits;
        const part = (name: string) => (run.outputs[name] as Float32Array).subarray(row * V, (row + count) * V);
        results[request].logits.set(part('logits'), at);
        requests[request].exits?.forEach((layer, i) => {
          results[request].exits[i].set(part(`exit.${layer}`), at);
        });
        filled[request].logits += count * V;
        row += count;
      }
      row = 0;
      for (const { request, count } of run.states) {
        const part = (run.outputs.hidden as Float32Array).subarray(row * C, (row + count) * C);
        results[request].hidden.set(part, filled[request].hidden);
        filled[request].hidden += count * C;
        row += count;
      }
    }
    return results;
  }

  /** All layers that any request wants to leave by, ascending. */
  private exitsOf(requests: readonly StepRequest[]): number[] {
    const layers = this.model.config.layers.length;
    const exits = [...new Set(requests.flatMap(({ exits = [] }) => exits))].sort((a, b) => a - b);
    for (const exit of exits) {
      if (Number.isInteger(exit) && exit >= 0 && exit < layers) continue;
      throw new SettingError('exits', exit, `is not a layer of this model (0 to ${layers - 1})`);
    }
    return exits;
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

  private checkTargets({ sequence, logits, exits, targets }: StepRequest): void {
    if (!targets?.length) return;
    if (logits !== 'none' || exits?.length) {
      throw new SettingError('targets', targets, "go with logits 'none' and without exits: ask for one of them");
    }
    if (targets.length > sequence.pending) {
      throw new SettingError('targets', targets, `are more than the ${sequence.pending} pending tokens`);
    }
    const vocabulary = this.model.config.vocab_size;
    const wrong = targets.find((token) => !Number.isInteger(token) || token < 0 || token >= vocabulary);
    if (wrong !== undefined) {
      throw new SettingError('targets', wrong, `is not a token id of this model (0 to ${vocabulary - 1})`);
    }
  }

  /** Take over pages that hold the beginning of a sequence, but leave to compute what is wanted, and its last token. */
  private usePrefix({ sequence, logits, hidden, targets }: StepRequest): void {
    if (
      !this.prefixCache ||
      sequence.isMixed ||
      logits === 'all' ||
      hidden === 'all' ||
      sequence.computed % PAGE_SIZE !== 0
    )
      return;
    const end = sequence.length - Math.max(1, targets?.length ?? 0);
    while (sequence.computed + PAGE_SIZE <= end) {
      const tokens = sequence.tokens.slice(sequence.computed, sequence.computed + PAGE_SIZE);
      const page = this.pool.find(sequence.pages.at(-1) ?? this.startOf(sequence), tokens);
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

  /** @returns outputs, and how many of their rows belong to which request, in order. */
  private async runChunk(
    spans: readonly Span[],
    requests: readonly StepRequest[],
    exits: readonly number[],
  ): Promise<{ outputs: RunResult; selected: Share[]; states: Share[] }> {
    const N = spans.reduce((sum, { start, end }) => sum + end - start, 0);
    const [ids, positions, rows, slots, adapted] = Array.from({ length: 5 }, () => new Int32Array(N));
    const tables = new Int32Array(spans.length * this.pagesPerSequence);
    const select: number[] = [];
    const judged: number[] = [];
    const selected: Share[] = [];
    const stateRows: number[] = [];
    const states: Share[] = [];
    let n = 0;
    spans.forEach(({ request, sequence, start, end }, row) => {
      tables.set(sequence.pages, row * this.pagesPerSequence);
      const first = n;
      adapted.fill(this.bank.slotOf(sequence.adapter), first, first + end - start);
      for (let position = start; position < end; position++, n++) {
        ids[n] = sequence.tokens[position];
        positions[n] = position;
        rows[n] = row;
        slots[n] = sequence.pages[Math.floor(position / PAGE_SIZE)] * PAGE_SIZE + (position % PAGE_SIZE);
      }
      const want = (which: Rows, list: number[], shares: Share[]) => {
        const from = which === 'all' ? first : which === 'last' && end === sequence.length ? n - 1 : n;
        for (let i = from; i < n; i++) list.push(i);
        if (from < n) shares.push({ request, count: n - from });
      };
      want(requests[request].logits, select, selected);
      want(requests[request].hidden ?? 'none', stateRows, states);
      const wanted = requests[request].targets ?? [];
      const begin = Math.max(start, sequence.length - wanted.length);
      for (let position = begin; position < end; position++) {
        judged[select.length] = wanted[position - sequence.length + wanted.length];
        select.push(first + position - start);
      }
      if (begin < end) selected.push({ request, count: end - begin });
    });
    const hidden = requests.some((request) => (request.hidden ?? 'none') !== 'none');
    const targets = requests.some((request) => request.targets?.length);
    const logits = !targets || requests.some((request) => request.logits !== 'none');
    const adapters = adapted.some((slot) => slot > 0) ? this.bank.slots : null;
    const outputs = await this.planWith({ hidden, exits, targets, adapters }).run({
      dims: { N, R: spans.length, L: select.length, ...(hidden ? { S: stateRows.length } : {}) },
      inputs: {
        ...{ ids, positions, rows, slots, tables, select: Int32Array.from(select) },
        ...(hidden ? { states: Int32Array.from(stateRows) } : {}),
        ...(adapters ? { adapters: adapted } : {}),
        ...(targets ? { targets: Int32Array.from(select, (_, i) => judged[i] ?? UNJUDGED) } : {}),
      },
      outputs: [
        ...(logits ? ['logits'] : []),
        ...(hidden ? ['hidden'] : []),
        ...exits.map((i) => `exit.${i}`),
        ...(targets ? ['loss', 'best'] : []),
      ],
    });
    for (const { sequence, end } of spans) this.markComputed(sequence, end);
    return { outputs, selected, states };
  }

  /** The start of beginnings, which is another for each adapter. */
  private startOf({ adapterKey }: Sequence): number {
    return -1 - adapterKey;
  }

  private markComputed(sequence: Sequence, end: number): void {
    const before = Math.floor(sequence.computed / PAGE_SIZE);
    sequence.computed = end;
    if (!this.prefixCache || sequence.isMixed) return;
    for (let i = before; (i + 1) * PAGE_SIZE <= end; i++) {
      const tokens = sequence.tokens.slice(i * PAGE_SIZE, (i + 1) * PAGE_SIZE);
      this.pool.remember(sequence.pages[i], sequence.pages[i - 1] ?? this.startOf(sequence), tokens);
    }
  }
}
