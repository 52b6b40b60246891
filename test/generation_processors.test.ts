/** Logits processors against transformers' own, recorded. */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import * as p from '../src/generation/processors.ts';
import type { LogitsProcessor } from '../src/generation/types.ts';

interface Case {
  readonly processor: string;
  readonly args: Record<string, never>;
  readonly scores_kind: string;
  readonly input_ids: number[][];
  readonly scores: (number | string | null)[][];
  readonly out?: (number | string | null)[][];
}

const { cases } = JSON.parse(readFileSync(new URL('./golden/processors/processors.json', import.meta.url), 'utf8')) as {
  cases: Case[];
};

const make: Record<string, (args: Record<string, never>, row: number) => LogitsProcessor> = {
  TemperatureLogitsWarper: (a) => p.temperature(a.temperature),
  TopKLogitsWarper: (a) => p.topK(a.top_k),
  TopPLogitsWarper: (a) => p.topP(a.top_p),
  MinPLogitsWarper: (a) => p.minP(a.min_p),
  TypicalLogitsWarper: (a) => p.typical(a.mass),
  EpsilonLogitsWarper: (a) => p.epsilonCutoff(a.epsilon),
  EtaLogitsWarper: (a) => p.etaCutoff(a.epsilon),
  RepetitionPenaltyLogitsProcessor: (a, row) =>
    p.repetitionPenalty(a.penalty, (a.prompt_ignore_length_per_row as number[])?.[row] ?? a.prompt_ignore_length),
  NoRepeatNGramLogitsProcessor: (a) => p.noRepeatNgram(a.ngram_size),
  NoBadWordsLogitsProcessor: (a) => p.badWords(a.bad_words_ids, [a.eos_token_id ?? []].flat()),
  MinLengthLogitsProcessor: (a) => p.minLength(a.min_length, [a.eos_token_id].flat()),
  MinNewTokensLengthLogitsProcessor: (a) => p.minNewTokens(a.min_new_tokens, [a.eos_token_id].flat()),
  LogitNormalization: () => p.renormalize,
  SuppressTokensLogitsProcessor: (a) => p.suppress(a.suppress_tokens),
  SuppressTokensAtBeginLogitsProcessor: (a) => p.beginSuppress(a.begin_suppress_tokens),
  InfNanRemoveLogitsProcessor: () => p.removeInvalid,
};

const number = (x: number | string | null) =>
  x === null ? Number.NEGATIVE_INFINITY : Number(x === 'NaN' ? Number.NaN : x);

describe.each(Object.keys(make))('%s', (name) => {
  const mine = cases.filter(({ processor }) => processor === name);
  it(`agrees in ${mine.length} recorded cases`, () => {
    expect(mine.length).toBeGreaterThan(0);
    for (const { args, scores, out, input_ids, scores_kind } of mine) {
      if (!out) continue;
      // min_tokens_to_keep > 1 serves beam sampling, which comes with beams
      const keep = (args as Record<string, number>).min_tokens_to_keep ?? 1;
      if (keep > 1) continue;
      scores.forEach((row, i) => {
        const process = make[name](args, i);
        const given = Float32Array.from(row, number);
        const promptLength =
          (args as Record<string, number>).prompt_length_to_skip ?? (args as Record<string, number>).begin_index ?? 0;
        process(given, { tokens: input_ids[i], promptLength });
        const wanted = out[i].map(number);
        const label = `${name} ${JSON.stringify(args)} ${scores_kind} row ${i}`;
        const gone = (x: number) => x === Number.NEGATIVE_INFINITY;
        if (/tie|equal/.test(scores_kind)) {
          // Which of several equal scores stay is a matter of the sort: the same number of them, and the same values.
          const kept = (list: ArrayLike<number>) =>
            Array.from(list)
              .filter((x) => !gone(x))
              .sort((a, b) => a - b);
          expect.soft(kept(given).length, label).toBe(kept(wanted).length);
          return;
        }
        wanted.forEach((want, j) => {
          if (gone(want) || gone(given[j])) expect.soft(gone(given[j]), `${label} token ${j}`).toBe(gone(want));
          else if (Number.isNaN(want)) expect.soft(given[j]).toBeNaN();
          else
            expect
              .soft(Math.abs(given[j] - want), `${label} token ${j}`)
              .toBeLessThanOrEqual(1e-5 + 1e-5 * Math.abs(want));
        });
      });
    }
  });
});
