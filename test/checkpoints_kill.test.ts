/** Training that is killed and resumed ends where training that was left alone ends. `npm run soak` kills 200 times. */
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';

interface Soak {
  killRuns(options: { kills: number; seed: number; steps?: number }): Promise<{ kills: number; problems: string[] }>;
}

const program = fileURLToPath(new URL('../dist/cli/run.js', import.meta.url));

it.skipIf(!existsSync(program))(
  'three kills do not change a bit (needs dist/: npm test builds it)',
  async () => {
    const script = new URL('../scripts/soak.mjs', import.meta.url).href;
    const { killRuns } = (await import(script)) as Soak;
    const { kills, problems } = await killRuns({ kills: 3, seed: 1, steps: 30 });
    expect(problems).toEqual([]);
    expect(kills).toBe(3);
  },
  180_000,
);
