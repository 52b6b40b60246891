/** One prompt with everything that its answers share. */
import type { Constraint } from '../constraints/types.ts';
import type { Engine } from '../engine.ts';
import type { GenerateOptions, GenerationModel } from '../generate.ts';
import type { ProcessorOptions } from '../processors.ts';
import type { GenerationSettings } from '../types.ts';
import { Branch } from './branch.ts';

const UTF8 = new TextDecoder();

export interface JobParts {
  readonly prompt: number;
  readonly ids: readonly number[];
  readonly settings: GenerationSettings;
  readonly model: GenerationModel;
  readonly options: GenerateOptions;
  readonly constraint: Constraint | null;
  /** The end of the prompt's text that the answer writes again, and that is no part of its text (token healing). */
  readonly healed: string;
  /** Whether several branches will grow from the prompt, so that it is worth computing once. */
  readonly isShared: boolean;
  readonly fingerprint: string;
  /** The engine's adapter that answers; null for none. */
  readonly adapter: string | null;
}

export class Job {
  readonly prompt: number;
  readonly ids: readonly number[];
  readonly settings: GenerationSettings;
  readonly model: GenerationModel;
  readonly options: GenerateOptions;
  readonly healed: string;
  readonly fingerprint: string;
  readonly started = performance.now();
  /** What its processors need besides the settings. */
  readonly processing: ProcessorOptions;
  /** Layers that leave early for DoLa, ascending; empty for none. */
  readonly exits: readonly number[];
  private root: Branch | null = null;
  private readonly constraint: Constraint | null;
  private readonly isShared: boolean;
  private readonly adapter: string | null;

  constructor(parts: JobParts) {
    this.prompt = parts.prompt;
    this.ids = parts.ids;
    this.settings = parts.settings;
    this.model = parts.model;
    this.options = parts.options;
    this.healed = parts.healed;
    this.fingerprint = parts.fingerprint;
    this.constraint = parts.constraint;
    this.adapter = parts.adapter;
    this.isShared = parts.isShared || parts.settings.prefill_chunk_size !== null;
    const { tokenizer } = parts.model;
    this.processing = {
      allowed: parts.options.allowedTokens,
      own: parts.options.processors,
      textOf: tokenizer ? (token) => UTF8.decode(tokenizer.tokenBytes(token)) : undefined,
    };
    this.exits = dolaExits(parts.settings.dola_layers, this.engine.model.config);
  }

  /** Sequences that each branch keeps: two with guidance. */
  get width(): number {
    return this.settings.guidance_scale === null ? 1 : 2;
  }

  get engine(): Engine {
    return this.model.engine;
  }

  /** What has to be computed before `begin`: the beginning that all branches share. Not its last token: each branch wants its logits. */
  shared(): Branch {
    if (!this.root) {
      const share = (ids: readonly number[]) =>
        this.engine.sequence(ids.slice(0, this.isShared ? -1 : 0), this.adapter);
      const free = this.settings.guidance_scale === null ? null : share(this.unconditional);
      this.root = new Branch(this, share(this.ids), free, this.constraint?.start() ?? null);
    }
    return this.root;
  }

  /** A branch that holds the prompt. */
  begin(): Branch {
    const branch = this.shared().fork();
    branch.main.append(this.ids.slice(branch.main.length));
    branch.free?.append(this.unconditional.slice(branch.free.length));
    return branch;
  }

  release(): void {
    this.root?.release();
    this.root = null;
  }

  /** What guidance compares with: the negative prompt, or the prompt's last token, as the reference does. */
  private get unconditional(): readonly number[] {
    const { negative_prompt_ids } = this.settings;
    return negative_prompt_ids.length > 0 ? negative_prompt_ids : this.ids.slice(-1);
  }
}

/**
 * The layers whose outputs DoLa contrasts with: those of the authors (Chuang et al. 2024) as Hugging Face's `generate` counts them. Layer i
 * stands for the sum that enters it, so 0 is the embeddings.
 */
export function dolaExits(
  which: GenerationSettings['dola_layers'],
  { layers: { length }, tied }: { readonly layers: { readonly length: number }; readonly tied: boolean },
): number[] {
  if (which === null) return [];
  if (typeof which !== 'string') return [...new Set(which)].sort((a, b) => a - b);
  const range = (from: number, to: number) =>
    Array.from({ length: Math.ceil((to - from) / 2) }, (_, i) => from + 2 * i);
  if (which === 'high') return range(length > 40 ? length - 20 : Math.floor(length / 2), length);
  // Where embeddings are the head's weights too, leaving by layer 0 says only what the last token was.
  const first = !tied ? 0 : length > 2 ? 2 : length === 2 ? 1 : 0;
  const end = length > 40 ? 20 : Math.floor(length / 2);
  return first >= end ? [first] : range(first, end);
}
