/** What lies beside the weights of a model that was tuned: the files of its base that say how texts become ids. */
import { copyFileSync, existsSync, mkdirSync, renameSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { ModelFiles } from './open_model.ts';

const NAMES = [
  'tokenizer.json',
  'tokenizer_config.json',
  'special_tokens_map.json',
  'added_tokens.json',
  'vocab.json',
  'merges.txt',
  'vocab.txt',
  'tokenizer.model',
  'chat_template.jinja',
];

/** Copy the files of a base model's directory that are about text into the folder of a run. */
export function copyTokenizerFiles({ configFile }: ModelFiles, out: string): void {
  mkdirSync(out, { recursive: true });
  const from = dirname(configFile);
  for (const name of NAMES.filter((name) => existsSync(join(from, name)))) {
    const beside = join(out, `${name}.${process.pid}.new`);
    copyFileSync(join(from, name), beside);
    renameSync(beside, join(out, name));
  }
}
