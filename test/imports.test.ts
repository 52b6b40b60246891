/** Imports point one way, core folders know no Node module, and no file is part of a circle. */
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';

const src = fileURLToPath(new URL('../src/', import.meta.url));

/** What every host builds on. */
const core = [
  'evaluation',
  'experiments',
  'training',
  'generation',
  'models',
  'backends',
  'tensor',
  'tokenizers',
  'weights',
  'prompts',
];

/** What each folder may import, besides itself and what all may use. */
const allowed: Readonly<Record<string, readonly string[]>> = {
  errors: [],
  display: [],
  nearest: [],
  weights: [],
  tensor: [],
  backends: ['tensor', 'weights'],
  tokenizers: ['weights'],
  hub: [],
  prompts: [],
  models: ['backends', 'tensor', 'weights', 'tokenizers'],
  generation: ['models', 'backends', 'tensor', 'tokenizers', 'prompts', 'weights'],
  training: ['models', 'backends', 'tensor', 'tokenizers', 'weights', 'prompts'],
  experiments: ['generation', 'models', 'tokenizers', 'prompts'],
  evaluation: ['experiments', 'generation', 'models', 'tokenizers', 'prompts', 'backends', 'tensor'],
  node: [...core, 'hub'],
  browser: core,
  index: [...core, 'hub', 'node'],
  cli: [...core, 'hub', 'node'],
};

const files = readdirSync(src, { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith('.ts'));

interface Import {
  readonly from: string;
  readonly to: string;
  readonly typeOnly: boolean;
}

const imports = files.flatMap((from): Import[] => {
  const text = readFileSync(join(src, from), 'utf8');
  const found = text.matchAll(/^\s*(?:import|export)\s+(type\s)?[^;]*?from\s+'([^']+)'|import\('([^']+)'\)/gm);
  return [...found].map(([, type, path, dynamic]) => {
    const name = path ?? dynamic;
    const to = name.startsWith('.') ? relative(src, join(src, dirname(from), name)).replaceAll('\\', '/') : name;
    return { from: from.replaceAll('\\', '/'), to, typeOnly: type !== undefined || dynamic !== undefined };
  });
});
const folderOf = (file: string) => (file.includes('/') ? file.split('/')[0] : file.replace('.ts', ''));

it('imports point one way', () => {
  for (const { from, to } of imports) {
    const [a, b] = [folderOf(from), folderOf(to)];
    if (!files.includes(to) || a === b || ['errors', 'display', 'nearest'].includes(b)) continue;
    expect.soft(allowed[a], `${from} imports ${to}`).toContain(b);
  }
});

it('core folders import no Node module and few packages', () => {
  for (const { from, to } of imports) {
    if (['node', 'cli'].includes(folderOf(from)) || files.includes(to)) continue;
    expect.soft(to, `${from} imports ${to}`).toMatch(/^\.?\.?\//);
  }
});

it('no file imports itself in a circle', () => {
  const edges = new Map<string, string[]>();
  for (const { from, to, typeOnly } of imports)
    if (!typeOnly && files.includes(to)) edges.set(from, [...(edges.get(from) ?? []), to]);
  const done = new Set<string>();
  const visit = (file: string, path: readonly string[]): void => {
    expect(path, `a circle: ${[...path, file].join(' -> ')}`).not.toContain(file);
    if (done.has(file)) return;
    for (const next of edges.get(file) ?? []) visit(next, [...path, file]);
    done.add(file);
  };
  for (const file of files) visit(file.replaceAll('\\', '/'), []);
});
