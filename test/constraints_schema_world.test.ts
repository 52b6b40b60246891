/** Schemas in use, against ajv: what it finds valid is taken, what it finds invalid is not. */
import { Ajv } from 'ajv';
import { Ajv2020 } from 'ajv/dist/2020.js';
import addFormats from 'ajv-formats';
import { expect, it } from 'vitest';
import { SettingError } from '../src/errors.ts';
import { compileGrammar } from '../src/generation/constraints/engine.ts';
import { schemaGrammar } from '../src/generation/constraints/schema/grammar.ts';
import type { Constraint, ConstraintVocabulary } from '../src/generation/constraints/types.ts';
import { Recogniser } from './constraints_recogniser.ts';
import { Chance, instanceOf, mutationOf, worldSchemas } from './constraints_schema_world.ts';

/** More schemas than the test takes time for: CONSTRAINTS_SCHEMAS=2000. */
const COUNT = Number(process.env.CONSTRAINTS_SCHEMAS ?? 92);

const older = new Ajv({ strict: false });
const newer = new Ajv2020({ strict: false });
for (const ajv of [older, newer]) (addFormats as unknown as (ajv: unknown) => void)(ajv);

const BYTES: ConstraintVocabulary = { size: 256, bytesOf: (token) => Uint8Array.of(token) };

/** Byte by byte through the engine. */
function walked(constraint: Constraint, text: string): boolean {
  const state = constraint.start();
  return new TextEncoder().encode(text).every((byte) => state.accept(byte)) && state.canEnd;
}

it('takes exactly the valid instances of schemas in use', { timeout: 3_600_000 }, () => {
  const chance = new Chance(99);
  let accepted = 0;
  let instances = 0;
  const wrong: string[] = [];
  const times: number[] = [];
  for (const { kind, schema } of worldSchemas(COUNT, 7)) {
    const ajv = /draft-07/.test(String(schema.$schema)) ? older : newer;
    const validate = ajv.compile(schema);
    ajv.removeSchema();
    const start = performance.now();
    let grammar: ReturnType<typeof schemaGrammar>;
    try {
      grammar = schemaGrammar(schema);
    } catch (error) {
      expect(error).toBeInstanceOf(SettingError);
      continue;
    }
    times.push(performance.now() - start);
    accepted++;
    const constraint = compileGrammar(grammar, BYTES);
    for (let i = 0; i < 4; i++) {
      const value = instanceOf(schema, schema, chance);
      for (const one of [value, mutationOf(value, chance), mutationOf(value, chance)]) {
        instances++;
        const text = JSON.stringify(one, null, i % 3);
        const valid = validate(one);
        if (walked(constraint, text) !== valid) wrong.push(`${kind}: ${text}`);
        if (i === 0 && Recogniser.takes(grammar, text) !== valid) wrong.push(`${kind}, recogniser: ${text}`);
      }
    }
  }
  times.sort((a, b) => a - b);
  process.stdout.write(
    `schemas in use: ${accepted} of ${COUNT} accepted, ${instances} instances, ${wrong.length} wrong, compiled in ${times[times.length >> 1].toFixed(1)} ms (median)\n`,
  );
  expect(wrong).toEqual([]);
  expect(accepted / COUNT).toBeGreaterThan(0.95);
});
