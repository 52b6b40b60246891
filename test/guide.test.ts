/** The guides and READMEs hold against the code: every printed command parses with its values, every file and every import is there. */
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { CommanderError } from 'commander';
import { describe, expect, it } from 'vitest';
import { buildProgram, forgiveHyphens } from '../src/cli/program.ts';
import { settingsOf } from '../src/cli/session.ts';
import * as library from '../src/index.ts';
import { parseField, presetField, resolvePreset } from '../src/training/presets.ts';

const root = fileURLToPath(new URL('..', import.meta.url));
const GUIDES = ['docs/guide.md', 'docs/guide.zh.md'];
const DOCUMENTS = [...GUIDES, 'README.md', 'README.zh.md'];
const CALL = /^(?:inkstone|npm start --)\s+/;

const textOf = (path: string) => readFileSync(join(root, path), 'utf8');

/** The bodies of fenced blocks of a language. */
function blocks(text: string, language: string): string[] {
  return [...text.matchAll(/^```(\w*)\n([\s\S]*?)^```$/gm)].filter(([, name]) => name === language).map(([, , b]) => b);
}

function inlineCode(text: string): string[] {
  return [...text.replaceAll(/^```[\s\S]*?^```$/gm, '').matchAll(/`([^`\n]+)`/g)].map(([, code]) => code);
}

/** A shell line as simple commands of words: quotes, comments, pipes, `;`, `&&` and redirections, as far as guides use them. */
function shellCommands(line: string): string[][] {
  const commands: string[][] = [[]];
  const token = /\s+|#.*|&&|\|\|?|;|>+\s*\S+|(?:'[^']*'|"(?:\\.|[^"\\])*"|\\[\s\S]|[^\s'"\\|;&>])+/gy;
  for (const [word] of line.matchAll(token)) {
    if (/^\s|^#|^>/.test(word)) continue;
    if (/^(&&|\|\|?|;)$/.test(word)) commands.push([]);
    else commands.at(-1)!.push(word.replaceAll(/'([^']*)'|"((?:\\.|[^"\\])*)"/g, (_, a, b) => a ?? b));
  }
  return commands.filter((words) => words.length > 0);
}

/** The calls of Inkstone that a document prints, each without its name and the variables before it. */
function calls(text: string): string[][] {
  const lines = [
    ...blocks(text, 'sh').flatMap((block) => block.replaceAll(/\\\n\s*/g, '').split('\n')),
    ...inlineCode(text).filter((code) => CALL.test(code.replace(/^(\w+=\S+\s+)+/, ''))),
  ];
  return lines
    .flatMap(shellCommands)
    .map((words) => words.slice(words.findIndex((word) => !/^\w+=/.test(word))))
    .filter((words) => CALL.test(`${words.join(' ')} `) && words.at(-1) !== '…')
    .map((words) => words.slice(words[0] === 'npm' ? 3 : 1));
}

/** What is wrong with a call, or nothing. */
function fault([name, ...rest]: readonly string[]): string | null {
  const program = buildProgram();
  const verb = program.commands.find((command) => command.name() === name);
  if (!verb) return `there is no verb ${name}`;
  verb.configureOutput({ writeErr: () => {} });
  try {
    const { unknown } = verb.parseOptions(rest);
    if (unknown.length > 0) return `unknown: ${unknown.join(' ')}`;
    const flags = verb.opts<Record<string, string>>();
    if (name === 'generate' || name === 'chat') settingsOf(flags);
    if (name === 'train' || name === 'plan') {
      const fields = Object.entries(flags).filter(([field]) => presetField(field));
      const model = name === 'plan' ? verb.parseOptions(rest).operands[0] : flags.model;
      resolvePreset(model ?? 'nano', Object.fromEntries(fields.map(([k, v]) => [k, parseField(k, v)])));
    }
    return null;
  } catch (error) {
    if (error instanceof CommanderError || error instanceof Error) return error.message;
    throw error;
  }
}

const flagsOfAllVerbs = new Set(buildProgram().commands.flatMap(({ options }) => options.map(({ long }) => long)));

describe.each(DOCUMENTS)('%s', (path) => {
  const text = textOf(path);

  it('prints commands that the command line understands', () => {
    const all = calls(text);
    expect(all.length).toBeGreaterThan(10);
    expect(all.flatMap((words) => fault(words) ?? []).map(String)).toEqual([]);
  });

  // READMEs also name flags of the repository's scripts.
  it.runIf(GUIDES.includes(path))('names flags that exist', () => {
    const codes = inlineCode(text).filter((code) => code.startsWith('--'));
    const named = codes.flatMap((code) => code.match(/(?<!\S)--[a-z][\w-]*/g) ?? []);
    expect(named.filter((flag) => !flagsOfAllVerbs.has(flag))).toEqual([]);
  });

  it('points to files that exist', () => {
    const named = inlineCode(text).filter((code) => /^(src|docs|test|kernels|bench|scripts)\/[\w./-]*$/.test(code));
    expect(named.filter((file) => !existsSync(join(root, file)))).toEqual([]);
    const links = [...text.matchAll(/\]\(([^)#]+)(?:#[^)]*)?\)/g)].map(([, to]) => to);
    const local = links.filter((to) => !/^https?:/.test(to));
    expect(local.filter((to) => !existsSync(join(root, dirname(path), to)))).toEqual([]);
  });

  it('imports what the library exports', () => {
    const imports = blocks(text, 'ts').flatMap((block) => [...block.matchAll(/import \{ ([^}]+) \} from 'inkstone'/g)]);
    expect(imports.length).toBeGreaterThan(0);
    const names = imports.flatMap(([, list]) => list.split(',').map((name) => name.trim()));
    expect(names.filter((name) => !(name in library))).toEqual([]);
  });
});

it('both guides have the same sections and print the same commands but for their texts', () => {
  const [english, chinese] = GUIDES.map(textOf);
  const headings = (text: string) => [...text.matchAll(/^(#+) (\d*)/gm)].map(([, level, number]) => level + number);
  expect(headings(chinese)).toEqual(headings(english));
  const verbs = (text: string) => calls(text).length;
  expect(Math.abs(verbs(chinese) - verbs(english))).toBeLessThan(12);
});

it('finds what is wrong with a command', () => {
  expect(calls('```sh\nA=1 inkstone train "a b.txt" --separator \'\\n\\n\' --out x # the run\n```')).toEqual([
    ['train', 'a b.txt', '--separator', '\\n\\n', '--out', 'x'],
  ]);
  expect(fault(['train', 'a.txt', '--n_layer', '2', '--max-time', '30m'])).toBeNull();
  expect(fault(['train', 'a.txt', '--n_hed', '2'])).toContain('--n_hed');
  expect(fault(['train', 'a.txt', '--n_head', '5'])).toContain('n_head');
  expect(fault(['generate', 'a', '--top_k', 'x'])).toContain('top_k');
  expect(fault(['plan', 'gpt5'])).toContain('gpt5');
});

it('flags are understood with hyphens or underscores, whichever the verb declares', () => {
  const given = (...args: string[]) => forgiveHyphens(buildProgram(), args);
  expect(given('generate', '--max-new-tokens=3', '--max-time', '2')).toEqual([
    'generate',
    '--max_new_tokens=3',
    '--max_time',
    '2',
  ]);
  expect(given('train', '--max-time', '8h', '--eval-every', '5')).toEqual([
    'train',
    '--max-time',
    '8h',
    '--eval_every',
    '5',
  ]);
  expect(given('train', '--max_time=8h', '--n-layer', '2')).toEqual(['train', '--max-time=8h', '--n_layer', '2']);
  expect(given('generate', '--', '--top-k')).toEqual(['generate', '--', '--top-k']);
});
