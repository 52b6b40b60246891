/**
 * Structured output at length: thousands of schemas in use against ajv, and as many random ones written by chance through the engine's masks.
 * `node scripts/fuzz_schemas.mjs [schemas]`, 2,000 unless given: some ten minutes.
 */
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const tests = ['world', 'sampling'].map((name) => `test/constraints_schema_${name}.test.ts`);
const { status } = spawnSync(
  process.execPath,
  ['node_modules/vitest/vitest.mjs', 'run', '--testTimeout=3600000', ...tests],
  {
    cwd: root,
    stdio: 'inherit',
    env: { ...process.env, CONSTRAINTS_SCHEMAS: process.argv[2] ?? '2000' },
  },
);
process.exitCode = status ?? 1;
