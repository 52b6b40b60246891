/** From a JSON Schema to a grammar over bytes. */
import type { Expression, Grammar, NamedMember } from '../grammar.ts';
import { type Draft, SchemaDocument } from './document.ts';
import { Keywords } from './keywords.ts';
import { kindsOf, MOST_CONTAINS, Plan } from './plan.ts';
import { raise, type Tolerance } from './problem.ts';
import type { ArrayShape, Containing, ObjectShape } from './sets.ts';
import { choice, type Layout, layout, NOTHING_WRITTEN, repeat, sequence, text, type Whitespace } from './spelling.ts';
import { keysExpression } from './string-text.ts';
import type { Term } from './terms.ts';
import { distinctItems } from './unique.ts';

export interface SchemaOptions {
  /** White space between the parts of the text; `plain` unless given. */
  readonly whitespace?: Whitespace;
  /** The version of JSON Schema where the schema itself names none: 2020-12 unless given. */
  readonly draft?: Draft;
  /** Whether `format` binds. It does unless this is false; formats that no list knows never do. */
  readonly formats?: boolean;
  /**
   * Called for each keyword that cannot be enforced, instead of an error: the grammar then lets through what only that keyword would refuse, and the value has to
   * be validated.
   */
  readonly unenforced?: (path: string, reason: string) => void;
}

/**
 * The grammar of the JSON texts whose values a schema allows (JSON Schema 2020-12 and draft-07). Members may come in any order; every allowed value has a
 * spelling (see number-text.ts and spelling.ts for which), keys that the schema names have one.
 * @throws SettingError that names the keyword by its JSON pointer, where the schema is malformed, contradictory as a whole, too large, or asks for what
 * cannot be enforced while the text is written.
 */
export function schemaGrammar(schema: unknown, options: SchemaOptions = {}): Grammar {
  const document = new SchemaDocument(schema, options.draft);
  const keywords = new Keywords(document, options.formats ?? true);
  const root = keywords.terms.place(document.root);
  const { unenforced } = options;
  const tolerate: Tolerance = unenforced === undefined ? raise : ({ path, reason }) => unenforced(path, reason);
  const plan = new Plan(keywords, root, tolerate);
  if (!plan.has(root))
    raise({ path: '#', value: schema, reason: 'allows no value at all: its conditions contradict each other' });
  return new Writer(keywords, plan, layout(options.whitespace ?? 'plain'), tolerate).write(root);
}

/** The grammar of all JSON texts. */
export function jsonGrammar(options: Pick<SchemaOptions, 'whitespace'> = {}): Grammar {
  return schemaGrammar(true, options);
}

const MOST_CONTAINS_STATES = 400;
const MOST_BYTES = 256 * 2 ** 20;

class Writer {
  private readonly rules = new Map<string, Expression>();
  private readonly waiting: Term[] = [];
  private readonly asked = new Set<Term>();
  private extra = 0;
  private readonly measuredOnes = new Set<Expression>();
  private bytes = 0;

  constructor(
    private readonly keywords: Keywords,
    private readonly plan: Plan,
    private readonly layout: Layout,
    private readonly tolerate: Tolerance,
  ) {}

  write(root: Term): Grammar {
    const value = this.valueOf(root);
    this.rules.set('text', sequence(this.layout.margin, value, this.layout.margin));
    for (let term = this.waiting.pop(); term !== undefined; term = this.waiting.pop()) {
      this.rules.set(nameOf(term), this.expressionOf(term));
    }
    return { rules: this.rules, start: 'text' };
  }

  /** Scalars are written in place; what has parts is a rule, for it may hold itself. */
  private valueOf(term: Term): Expression {
    const { scalars, arrays, objects } = this.plan.of(term);
    if (arrays.length + objects.length === 0) return scalars!;
    if (!this.asked.has(term)) {
      this.asked.add(term);
      this.waiting.push(term);
    }
    return { kind: 'rule', name: nameOf(term) };
  }

  private expressionOf(term: Term): Expression {
    const { scalars, arrays, objects, path } = this.plan.of(term);
    const parts: Expression[] = scalars === null ? [] : [scalars];
    for (const shape of objects) {
      if (!this.plan.objectHas(shape)) continue;
      if (shape.problem !== undefined) this.tolerate(shape.problem);
      parts.push(this.object(shape, path));
    }
    for (const shape of arrays) {
      if (!this.plan.arrayHas(shape)) continue;
      if (shape.problem !== undefined) this.tolerate(shape.problem);
      const array = this.array(shape, path);
      if (array !== null) parts.push(array);
    }
    return choice(parts);
  }

  /** Automata take memory: a schema's may have so much of it. */
  private measured(expression: Expression): void {
    if (expression.kind !== 'automaton' || this.measuredOnes.has(expression)) return;
    this.measuredOnes.add(expression);
    this.bytes += expression.automaton.next.byteLength;
    if (this.bytes > MOST_BYTES)
      raise({
        path: '#',
        value: 'a schema',
        reason:
          'has too many objects with too many named members next to free ones; additionalProperties: false would do',
      });
  }

  private object(shape: ObjectShape, path: string): Expression {
    const { colon, comma } = this.layout;
    const named: NamedMember[] = [];
    let required = 0;
    for (const [key, { term, required: must }] of shape.named) {
      if (!this.plan.has(term)) continue;
      if (must) required++;
      named.push({ key: sequence(text(JSON.stringify(key)), colon), value: this.valueOf(term), required: must });
    }
    const others: { key: Expression; value: Expression }[] = [];
    for (const { keys, term } of shape.others) {
      if (!this.plan.has(term)) continue;
      const key = keysExpression(keys, shape.named.keys(), path, this.tolerate);
      if (key !== null) this.measured(key);
      if (key !== null) others.push({ key: sequence(key, colon), value: this.valueOf(term) });
    }
    // A key that comes twice is one member: counted members are not members then.
    if (others.length > 0 && shape.min > required + 1) {
      const reason = `asks for ${shape.min} members with any keys, which cannot be told from one key written ${shape.min} times; name or require more of them`;
      this.tolerate({ path: `${path}/minProperties`, value: shape.min, reason });
    }
    const max = others.length === 0 ? Math.min(shape.max, named.length) : shape.max;
    const braces = (inner: Expression): Expression => sequence(text('{'), inner, text('}'));
    if (max === 0) return braces(this.layout.inside);
    const { inside } = this.layout;
    const members: Expression = { kind: 'members', named, others, separator: comma, min: Math.max(1, shape.min), max };
    const full = sequence(inside, members, inside);
    return braces(shape.min === 0 ? choice([NOTHING_WRITTEN, full]) : full);
  }

  private array(shape: ArrayShape, path: string): Expression | null {
    const most = this.plan.most(shape);
    const brackets = (inner: Expression): Expression => sequence(text('['), inner, text(']'));
    if (most === 0) return brackets(this.layout.inside);
    let items: Expression | null | undefined;
    if (shape.unique && most > 1) {
      const distinct = distinctItems(shape, most, this.keywords, this.layout.comma, path);
      if (distinct !== null && 'reason' in distinct) this.tolerate(distinct);
      else items = distinct;
    }
    if (items === undefined) {
      items = shape.contains.length > 0 ? this.containing(shape, most, path) : this.items(shape, most);
    }
    if (items === null) return shape.min === 0 ? brackets(this.layout.inside) : null;
    const full = sequence(this.layout.inside, items, this.layout.inside);
    return brackets(shape.min === 0 ? choice([NOTHING_WRITTEN, full]) : full);
  }

  /** At least one item. */
  private items(shape: ArrayShape, most: number): Expression {
    const { comma } = this.layout;
    const first = Math.min(shape.prefix.length, most);
    let tail: Expression = NOTHING_WRITTEN;
    if (most > first) {
      const min = Math.max(0, shape.min - first);
      const rest = this.valueOf(shape.rest);
      if (first === 0) return repeat(rest, Math.max(1, min), most, comma);
      const more = sequence(comma, repeat(rest, Math.max(1, min), most - first, comma));
      tail = min === 0 ? repeat(more, 0, 1) : more;
    }
    for (let i = first - 1; i >= 0; i--) {
      const item = this.valueOf(shape.prefix[i]);
      const whole = i === 0 ? sequence(item, tail) : sequence(comma, item, tail);
      tail = i === 0 || i < shape.min ? whole : repeat(whole, 0, 1);
    }
    return tail;
  }

  /** Items of which so many satisfy a term: kinds of items are counted. */
  private containing(shape: ArrayShape, most: number, path: string): Expression | null {
    const { terms } = this.keywords;
    const { comma } = this.layout;
    const { contains } = shape;
    const [only] = contains;
    if (contains.length === 1 && shape.prefix.length === 0 && most === Infinity && shape.min <= only.min) {
      return this.containingOnce(shape.rest, only);
    }
    const bounded = most < Infinity ? most : Math.max(shape.min, shape.prefix.length);
    const caps = contains.map((one) => (one.max < Infinity ? one.max + 1 : one.min));
    const states = caps.reduce((product, cap) => product * (cap + 1), bounded + 1);
    if (contains.length > MOST_CONTAINS || states > MOST_CONTAINS_STATES) {
      const reason = 'counts too many items together with other bounds; smaller counts would do';
      this.tolerate({ path: `${path}/contains`, value: 'a schema', reason });
      return this.items(shape, most);
    }
    // A rule for each count of items and of those that satisfy each term; the same item cannot be of two kinds.
    const name = (count: number, found: readonly number[]): string => `${prefixed}:${count}:${found.join(':')}`;
    const prefixed = `contains-${++this.extra}`;
    const made = new Set<string>();
    const make = (count: number, found: readonly number[]): Expression | null => {
      const key = name(count, found);
      if (made.has(key)) return this.rules.has(key) || building.has(key) ? { kind: 'rule', name: key } : null;
      made.add(key);
      building.add(key);
      const ways: Expression[] = [];
      const complete = found.every((value, i) => value >= contains[i].min && value <= contains[i].max);
      if (complete && count >= Math.max(1, shape.min)) ways.push(NOTHING_WRITTEN);
      if (count < most) {
        const item = shape.prefix[count] ?? shape.rest;
        for (const [kind, signs] of kindsOf(contains, terms).entries()) {
          const term = terms.all([item, ...signs]);
          const next = found.map((value, i) => Math.min(value + ((kind >> i) & 1), caps[i]));
          if (next.some((value, i) => value > contains[i].max)) continue;
          if (!this.plan.has(term)) continue;
          const after = make(most < Infinity ? count + 1 : Math.min(count + 1, bounded + 1), next);
          if (after !== null) ways.push(sequence(count === 0 ? NOTHING_WRITTEN : comma, this.valueOf(term), after));
        }
      }
      building.delete(key);
      if (ways.length === 0) return null;
      this.rules.set(key, choice(ways));
      return { kind: 'rule', name: key };
    };
    const building = new Set<string>();
    return make(
      0,
      contains.map(() => 0),
    );
  }

  private containingOnce(rest: Term, { term, min, max }: Containing): Expression {
    const { terms } = this.keywords;
    const { comma } = this.layout;
    const yes = terms.all([rest, term]);
    const no = terms.all([rest, terms.not(term)]);
    const wrong = this.plan.has(no) ? this.valueOf(no) : undefined;
    if (!this.plan.has(yes)) return repeat(wrong!, 1, Infinity, comma);
    const right = this.valueOf(yes);
    const stretch = wrong === undefined ? right : sequence(repeat(sequence(wrong, comma), 0, Infinity), right);
    if (max === Infinity) {
      // The needed ones, then anything.
      return sequence(repeat(stretch, min, min, comma), repeat(sequence(comma, this.valueOf(rest)), 0, Infinity));
    }
    const after = wrong === undefined ? NOTHING_WRITTEN : repeat(sequence(comma, wrong), 0, Infinity);
    const ways: Expression[] = [];
    if (max > 0) ways.push(sequence(repeat(stretch, Math.max(1, min), max, comma), after));
    if (min === 0 && wrong !== undefined) ways.push(repeat(wrong, 1, Infinity, comma));
    return choice(ways);
  }
}

function nameOf(term: Term): string {
  return term.kind === 'place' ? `${term.place.path}~${term.id}` : `~${term.id}`;
}
