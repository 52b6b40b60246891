/**
 * The JSON-Schema-Test-Suite, instance by instance: a schema that is accepted takes every valid instance and no invalid one. Instances are spelt as JSON.stringify
 * does, integers without an exponent.
 */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { SettingError } from '../src/errors.ts';
import type { Grammar } from '../src/generation/constraints/grammar.ts';
import { schemaGrammar } from '../src/generation/constraints/schema/grammar.ts';
import { Recogniser } from './constraints_recogniser.ts';

type Group = [description: string, schema: unknown, tests: [instance: unknown, valid: 0 | 1][]];

/** What is known to differ, and why. */
const DIFFERENT: readonly (readonly [string, string])[] = [
  ['vocabulary.json: schema that uses custom metaschema', 'dialects of one’s own are not read'],
  ['optional/content.json', 'contentEncoding and contentMediaType are annotations, as drafts after 07 have it'],
  ['optional/format/email.json: validation of e-mail addresses', 'no quoted local parts, no addresses in brackets'],
  ['optional/format/hostname.json: validation of host names', 'labels are bounded, their sum is not'],
  ['optional/format/hostname.json: validation of A-label', 'what Punycode stands for is not looked at'],
];

function spelt(instance: unknown): string {
  return typeof instance === 'number' && Number.isInteger(instance)
    ? BigInt(instance).toString()
    : JSON.stringify(instance);
}

describe.each([
  ['draft2020-12', '2020-12'],
  ['draft7', 'draft-07'],
] as const)('JSON-Schema-Test-Suite, %s', (folder, draft) => {
  const files: Record<string, Group[]> = JSON.parse(
    readFileSync(new URL(`./golden/constraints/suite-${folder}.json`, import.meta.url), 'utf8'),
  );

  it('takes what is valid, and nothing else', { timeout: 60_000 }, () => {
    let accepted = 0;
    let refused = 0;
    const wrong: string[] = [];
    for (const [file, groups] of Object.entries(files)) {
      const formats = file.startsWith('optional/format/') || file === 'optional/format-assertion.json';
      for (const [description, schema, tests] of groups) {
        let grammar: Grammar;
        try {
          grammar = schemaGrammar(schema, { draft, formats, whitespace: 'none' });
        } catch (error) {
          expect(error, `${file}: ${description}`).toBeInstanceOf(SettingError);
          expect((error as SettingError).setting).toMatch(/^schema #/);
          // A schema that allows nothing is refused, rightly.
          if (/no value at all/.test((error as SettingError).message) && tests.every(([, valid]) => valid === 0))
            accepted++;
          else refused++;
          continue;
        }
        accepted++;
        const bad = tests.find(([instance, valid]) => Recogniser.takes(grammar, spelt(instance)) !== (valid === 1));
        if (bad !== undefined) wrong.push(`${file}: ${description}`);
      }
    }
    process.stdout.write(`${folder}: ${accepted} schemas accepted, ${refused} refused, ${wrong.length} wrong\n`);
    expect(wrong.filter((name) => !DIFFERENT.some(([known]) => name.startsWith(known)))).toEqual([]);
    expect(accepted / (accepted + refused)).toBeGreaterThan(0.85);
  });
});
