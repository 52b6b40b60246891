/** Where drafts come from: the text so far, a smaller model, or the first layers of the model itself. */
import type { Model } from '../../models/index.ts';
import { parameterSpecs } from '../../models/index.ts';
import type { Tokenizer } from '../../tokenizers/index.ts';
import { Engine, type StepResult } from '../engine.ts';
import { uniform } from '../random.ts';
import { argmax, buildChooser, type Chooser } from '../sampling.ts';
import type { Sequence } from '../sequence.ts';
import type { GenerationSettings } from '../types.ts';
import type { Branch } from './branch.ts';
import type { Job } from './job.ts';
import { compute, type Wish } from './strategy.ts';

export interface Drafter {
  /**
   * Tokens that may come after a branch.
   * @param step how many tokens its answer has. @param room most tokens that are of use.
   */
  draft(branch: Branch, step: number, room: number): Generator<Wish, readonly number[], readonly StepResult[]>;
  /** Told how many of the drafted tokens were right. */
  learn(matched: number, drafted: number): void;
  release(): void;
}

/** Prompt look-up (Saxena 2023): what followed the last time that the last tokens occurred. The longest match, the latest of equals. */
export function lookupDrafter(count: number, longest: number): Drafter {
  return {
    *draft({ tokens }, _step, room) {
      yield* compute([]);
      return lookUp(tokens, Math.min(count, room), longest);
    },
    learn() {},
    release() {},
  };
}

/** @returns up to `count` tokens that followed an earlier occurrence of the last `longest` tokens, or of fewer of them. */
export function lookUp(tokens: readonly number[], count: number, longest: number): number[] {
  for (let size = Math.min(longest, tokens.length - 1); size > 0; size--) {
    const last = tokens.length - size;
    for (let at = last - 1; at >= 0; at--) {
      let same = true;
      for (let i = 0; i < size && same; i++) same = tokens[at + i] === tokens[last + i];
      if (same) return tokens.slice(at + size, at + size + count);
    }
  }
  return [];
}

/** How many tokens a draft model drafts, by the settings' schedule. */
class Schedule {
  private count: number;

  constructor(private readonly settings: GenerationSettings) {
    this.count = settings.num_assistant_tokens;
  }

  get room(): number {
    return Math.max(1, Math.round(this.count));
  }

  learn(matched: number, drafted: number): void {
    if (this.settings.num_assistant_tokens_schedule === 'constant' || drafted === 0) return;
    this.count = matched === drafted ? this.count + 2 : Math.max(1, this.count - 1);
  }
}

/** A draft model: its timeline follows that of the answer. */
class Follower {
  private readonly sequence: Sequence;

  constructor(readonly engine: Engine) {
    this.sequence = engine.sequence();
  }

  /** Make the timeline that of `tokens`: what they share with it stays computed. */
  follow(tokens: readonly number[]): void {
    let same = 0;
    while (same < this.sequence.length && same < tokens.length && this.sequence.tokens[same] === tokens[same]) same++;
    // The last token is computed again where it was: its scores are wanted.
    this.sequence.truncate(Math.min(same, tokens.length - 1));
    this.sequence.append(tokens.slice(this.sequence.length));
  }

  *next(): Generator<Wish, Float32Array, readonly StepResult[]> {
    const [{ logits }] = yield* compute([{ engine: this.engine, sequence: this.sequence, logits: 'last' }]);
    return logits;
  }

  append(token: number): void {
    this.sequence.append([token]);
  }

  get hasRoom(): boolean {
    return this.sequence.length < this.engine.context;
  }

  get tokens(): readonly number[] {
    return this.sequence.tokens;
  }

  release(): void {
    this.sequence.free();
  }
}

/** Drafts of a model with the same tokenizer: by the same processors and the same random numbers as the answer's own. */
export function modelDrafter(job: Job, index: number, engine: Engine): Drafter {
  const { settings, ids } = job;
  const follower = new Follower(engine);
  const schedule = new Schedule(settings);
  const choose: Chooser = buildChooser(settings, job.processing);
  const least = Math.log(settings.assistant_confidence_threshold);
  const vocabulary = job.engine.model.config.vocab_size;
  return {
    *draft(branch, step, room) {
      if (branch.tokens.length >= engine.context) return [];
      follower.follow(branch.tokens);
      const constraint = branch.constraint?.fork() ?? null;
      const draft: number[] = [];
      const tokens = [...branch.tokens];
      while (draft.length < Math.min(room, schedule.room) && follower.hasRoom) {
        const scores = yield* follower.next();
        branch.constrain(scores, constraint);
        const context = { tokens, promptLength: ids.length, stream: index };
        const random = () => uniform(settings.seed, index, step + draft.length);
        const { token, logprob } = choose(scores, context, random);
        if (token >= vocabulary || (logprob < least && draft.length > 0)) break;
        draft.push(token);
        if (settings.eos_token_id.includes(token)) break;
        constraint?.accept(token);
        if (constraint?.mustEnd) break;
        tokens.push(token);
        follower.append(token);
      }
      return draft;
    },
    learn: (matched, drafted) => schedule.learn(matched, drafted),
    release: () => follower.release(),
  };
}

/** Tokens of the answer that are encoded again together with a draft, so that the seam is cut as the tokenizer cuts it. */
const SEAM = 4;

/** Drafts of a model with another tokenizer: the two meet in text. Its most probable tokens, as no number means the same to both. */
export function textDrafter(job: Job, tokenizer: Tokenizer, engine: Engine, theirs: Tokenizer): Drafter {
  const { settings } = job;
  const follower = new Follower(engine);
  const schedule = new Schedule(settings);
  const least = Math.log(settings.assistant_confidence_threshold);
  const plain = { add_special_tokens: false };
  return {
    *draft({ tokens }, _step, room) {
      const text = tokenizer.decode(tokens, { skip_special_tokens: true });
      const ids = Array.from(theirs.encodeIds(text));
      if (ids.length === 0 || ids.length >= engine.context) return [];
      follower.follow(ids);
      const before = theirs.decode(ids, { skip_special_tokens: true });
      const most = Math.min(room, schedule.room);
      for (let count = 0; count < most && follower.hasRoom; count++) {
        const { token, logprob } = argmax(yield* follower.next());
        if ((logprob < least && count > 0) || theirs.isSpecial(token)) break;
        follower.append(token);
      }
      const after = theirs.decode(follower.tokens, { skip_special_tokens: true });
      if (!after.startsWith(before) || after.endsWith('\ufffd')) return [];
      const seam = tokens.slice(-SEAM);
      const drafted = after.slice(before.length);
      const joined = Array.from(tokenizer.encodeIds(tokenizer.decode(seam) + drafted, plain));
      if (seam.every((id, i) => joined[i] === id)) return joined.slice(seam.length);
      return Array.from(tokenizer.encodeIds(drafted, plain));
    },
    learn: (matched, drafted) => schedule.learn(matched, drafted),
    release: () => follower.release(),
  };
}

const shortened = new WeakMap<Engine, Map<number, Engine>>();

/** The first `layers` layers of an engine's model, with its final norm and head, as an engine of its own; weights are shared. */
export function earlyExitEngine(engine: Engine, layers: number): Engine {
  const known = shortened.get(engine) ?? new Map<number, Engine>();
  shortened.set(engine, known);
  let short = known.get(layers);
  if (!short) {
    const { model, context, precision, maxRows, maxSequences } = engine;
    const config = { ...model.config, layers: model.config.layers.slice(0, layers) };
    const names = new Set(parameterSpecs(config).map(({ name }) => name));
    const parameters = new Map([...model.parameters].filter(([name]) => names.has(name)));
    const part: Model = { ...model, config, parameters };
    short = new Engine(part, { context, precision, maxRows, maxSequences });
    known.set(layers, short);
  }
  return short;
}
