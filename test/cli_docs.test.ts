/** docs/cli.md says what the command line says. */
import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { expect, it } from 'vitest';

const at = (path: string) => fileURLToPath(new URL(`../${path}`, import.meta.url));
const built = at('dist/cli/program.js');

it.skipIf(!existsSync(built))('docs/cli.md is current (needs dist/; node scripts/docs.mjs writes it)', async () => {
  const program: unknown = await import(pathToFileURL(built).href);
  const { renderCommandLine } = await import(pathToFileURL(at('scripts/docs.mjs')).href);
  expect(readFileSync(at('docs/cli.md'), 'utf8')).toBe(renderCommandLine(program));
});
