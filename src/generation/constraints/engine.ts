/** A grammar made into a constraint for one vocabulary. */
import { Configurations, type Place } from './engine_configurations.ts';
import { compileProgram } from './engine_program.ts';
import type { Grammar } from './grammar.ts';
import { Masks } from './mask.ts';
import type { Constraint, ConstraintState, ConstraintVocabulary } from './types.ts';

/** Bytes that {@link ConstraintState.forced} looks ahead at most. */
const MOST_FORCED = 512;

/**
 * Compiles a grammar. The tree of the vocabulary's tokens is made once a vocabulary. Left recursion and ambiguity are fine; counted repeats cost the same
 * whatever their counts.
 * @throws SettingError where a rule is missing or no text follows the grammar; CapacityError where it is too large. States throw a CapacityError where a
 * text can be read in more ways than can be followed.
 */
export function compileGrammar(grammar: Grammar, vocabulary: ConstraintVocabulary): Constraint {
  const configurations = new Configurations(compileProgram(grammar));
  const masks = new Masks(configurations, vocabulary);
  const start = configurations.start();
  return { start: () => new GrammarState(configurations, masks, vocabulary, start) };
}

class GrammarState implements ConstraintState {
  constructor(
    private readonly configurations: Configurations,
    private readonly masks: Masks,
    private readonly vocabulary: ConstraintVocabulary,
    private place: Place,
  ) {}

  get canEnd(): boolean {
    return this.place.canEnd;
  }

  get mustEnd(): boolean {
    return this.place.nodes.length === 0;
  }

  mask(): Uint32Array {
    return this.masks.of(this.place);
  }

  accept(token: number): boolean {
    if (!(token >= 0 && token < this.vocabulary.size)) return false;
    const bytes = this.vocabulary.bytesOf(token);
    return bytes !== null && bytes.length > 0 && this.acceptBytes(bytes);
  }

  acceptBytes(bytes: Uint8Array): boolean {
    const { configurations } = this;
    configurations.renew();
    let id = configurations.idOf(this.place);
    for (let i = 0; i < bytes.length; i++) {
      id = configurations.step(id, bytes[i]);
      if (id < 0) return false;
    }
    this.place = configurations.places[id];
    return true;
  }

  forced(): Uint8Array {
    const { configurations } = this;
    const bytes: number[] = [];
    configurations.renew();
    let { place } = this;
    while (!place.canEnd && place.few !== null && place.few.length === 1 && bytes.length < MOST_FORCED) {
      bytes.push(place.few[0]);
      place = configurations.places[configurations.step(configurations.idOf(place), place.few[0])];
    }
    return Uint8Array.from(bytes);
  }

  fork(): ConstraintState {
    return new GrammarState(this.configurations, this.masks, this.vocabulary, this.place);
  }
}
