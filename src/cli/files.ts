/** `inkstone inspect` and `inkstone convert`. */
import { existsSync, mkdirSync, readFileSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { FileFormatError, NotFoundError, SettingError } from '../errors.ts';
import { AtomicFileSink, writeFileAtomically } from '../node/file_source.ts';
import { openSource } from '../node/open_model.ts';
import { progressReporter } from '../node/progress.ts';
import {
  type ConversionType,
  convert,
  inspectJson,
  inspectWeights,
  openWeights,
  readSharded,
  renderInspection,
  renderJsonInspection,
  type WeightFile,
} from '../weights/index.ts';
import { write } from './session.ts';

export async function inspectCommand(file: string, { json }: { readonly json?: boolean }): Promise<void> {
  if (!existsSync(file)) throw new NotFoundError('file', file);
  if (file.endsWith('.json') && !file.endsWith('.index.json')) {
    const facts = inspectJson(file, readJson(file));
    await write(json ? `${JSON.stringify(facts)}\n` : renderJsonInspection(facts));
    return;
  }
  const facts = inspectWeights(openAny(file));
  await write(json ? `${JSON.stringify(facts)}\n` : renderInspection(facts));
}

function readJson(file: string): unknown {
  try {
    return JSON.parse(readFileSync(file, 'utf8'));
  } catch (error) {
    throw new FileFormatError(file, '', `not JSON (${(error as Error).message})`);
  }
}

/** A weight file, an index of shards, or the weights of a directory. */
function openAny(path: string): WeightFile {
  if (statSync(path).isDirectory()) {
    for (const name of [
      'model.safetensors',
      'model.safetensors.index.json',
      'pytorch_model.bin',
      'pytorch_model.bin.index.json',
    ]) {
      if (existsSync(join(path, name))) return openAny(join(path, name));
    }
    throw new NotFoundError('file', join(path, 'model.safetensors'));
  }
  if (!path.endsWith('.index.json')) return openWeights(openSource(path));
  const open = (shard: string) => openSource(join(dirname(path), shard));
  return readSharded(openSource(path), open, openWeights);
}

export async function convertCommand(
  input: string,
  output: string,
  flags: { readonly type?: ConversionType },
): Promise<void> {
  if (!existsSync(input)) throw new NotFoundError('file', input);
  const format = output.endsWith('.gguf') ? 'gguf' : 'safetensors';
  const isFile = /\.(gguf|safetensors)$/.test(output);
  if (!isFile && existsSync(output)) throw new SettingError('output', output, 'is there already: name a new directory');
  const folder = statSync(input).isDirectory() ? input : dirname(input);
  const beside = (name: string) => {
    const path = join(folder, name);
    return statSync(input).isDirectory() && existsSync(path) ? path : undefined;
  };
  const json = (name: string) => {
    const path = beside(name);
    return path === undefined ? undefined : (readJson(path) as Record<string, unknown>);
  };
  const template = beside('chat_template.jinja');
  const file = openAny(input);
  if (!isFile) mkdirSync(output, { recursive: true });
  const target = isFile ? output : join(output, 'model.safetensors');
  const progress = progressReporter();
  let report: ReturnType<typeof convert> | undefined;
  writeFileAtomically(target, (sink) => {
    report = convert(
      file,
      {
        format,
        type: flags.type,
        config: json('config.json'),
        tokenizer: json('tokenizer.json'),
        tokenizerConfig: json('tokenizer_config.json'),
        chatTemplate: template && readFileSync(template, 'utf8'),
      },
      sink,
      (done, total) => progress({ label: target, done, total, unit: 'tensors', finished: done === total }),
    );
  });
  if (!isFile && report) {
    const { config, tokenizer, chatTemplate } = report;
    const sidecars = {
      'config.json': config ?? json('config.json'),
      'tokenizer.json': tokenizer ?? json('tokenizer.json'),
    };
    for (const [name, value] of Object.entries(sidecars)) {
      if (value) writeText(join(output, name), `${JSON.stringify(value, null, 2)}\n`);
    }
    if (chatTemplate) writeText(join(output, 'chat_template.jinja'), chatTemplate);
  }
  for (const note of report?.notes ?? []) process.stderr.write(`note: ${note}\n`);
  for (const { name, reason } of report?.dropped ?? []) process.stderr.write(`left out: ${name} (${reason})\n`);
  await write(`${target}: ${report?.tensors} tensors, ${report?.parameters.toLocaleString('en')} parameters\n`);
}

function writeText(path: string, text: string): void {
  const sink = new AtomicFileSink(path);
  sink.write(new TextEncoder().encode(text));
  sink.commit();
}
