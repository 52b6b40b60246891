/** Adapters by path: peft's directory of adapter_config.json and adapter_model.safetensors (or .bin), or a GGUF file. */
import { existsSync, mkdirSync, statSync } from 'node:fs';
import { extname, join } from 'node:path';
import { NotFoundError } from '../errors.ts';
import {
  type Adapter,
  type DecoderConfig,
  layoutOfAdapter,
  peftTensors,
  readAdapterConfig,
  readGgufAdapter,
  readPeftTensors,
  writeAdapterConfig,
  writeGgufAdapter,
} from '../models/index.ts';
import { writeSafetensors } from '../weights/index.ts';
import { writeFileAtomically } from './file_source.ts';
import { readJson } from './open_tokenizer.ts';
import { openWeightsAt, requireFile } from './open_weights.ts';

const CONFIG = 'adapter_config.json';
const TENSORS = ['adapter_model.safetensors', 'adapter_model.bin'] as const;

/**
 * An adapter for a model.
 * @param path a directory, a file in it, or a GGUF file.
 * @param config of the model: it decides what names and rows mean, and whether the adapter fits.
 * @throws NotFoundError, FileFormatError.
 */
export function openAdapter(path: string, config: DecoderConfig): Adapter {
  requireFile(path);
  if (!statSync(path).isDirectory()) {
    if (extname(path).toLowerCase() === '.gguf') return checked(readGgufAdapter(openWeightsAt(path), config), config);
    return openAdapter(join(path, '..'), config);
  }
  const file = join(path, CONFIG);
  if (!existsSync(file)) {
    throw new NotFoundError('file', file, [`${path} has no ${CONFIG}: it is not an adapter's directory`]);
  }
  const tensors = TENSORS.map((name) => join(path, name)).find(existsSync);
  if (!tensors)
    throw new NotFoundError('file', join(path, TENSORS[0]), [`${path} has neither ${TENSORS.join(' nor ')}`]);
  const adapter = readAdapterConfig(readJson(file), file);
  return checked(readPeftTensors(adapter, openWeightsAt(tensors)), config);
}

function checked(adapter: Adapter, config: DecoderConfig): Adapter {
  layoutOfAdapter(config, adapter);
  return adapter;
}

/** Whether a path is an adapter's directory. */
export function isAdapterFolder(path: string): boolean {
  return existsSync(join(path, CONFIG));
}

/**
 * Write an adapter: as peft's directory, or as a GGUF file where the path ends in `.gguf`.
 * @param config of the model it is for.
 */
export function saveAdapter(path: string, adapter: Adapter, config: DecoderConfig): void {
  if (extname(path).toLowerCase() === '.gguf') {
    writeFileAtomically(path, (sink) => writeGgufAdapter(sink, adapter, config));
    return;
  }
  mkdirSync(path, { recursive: true });
  writeFileAtomically(join(path, TENSORS[0]), (sink) => writeSafetensors(sink, peftTensors(adapter, config)));
  const text = `${JSON.stringify(writeAdapterConfig(adapter.config, config), null, 2)}\n`;
  writeFileAtomically(join(path, CONFIG), (sink) => sink.write(new TextEncoder().encode(text)));
}
