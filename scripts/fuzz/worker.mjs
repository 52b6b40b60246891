/** One thread of the fuzzer: makes mutants, has them read, and reports what is neither a result nor an error of Inkstone's own. */
import { readFileSync } from 'node:fs';
import { parentPort, workerData } from 'node:worker_threads';
import { InkstoneError } from '../../dist/errors.js';
import { exerciseTokenizerJson } from '../../dist/tokenizers/index.js';
import {
  inspectWeights,
  MemorySource,
  readGguf,
  readSafetensors,
  readTorch,
  tensorBytes,
} from '../../dist/weights/index.js';
import { mutations } from './mutate.mjs';
import { randomStream } from './random.mjs';

/** Read everything that the file promises, as a loader would. */
function exercise(file) {
  inspectWeights(file);
  for (const entry of file.tensors.values()) tensorBytes(entry);
}

const readers = {
  safetensors: (bytes) => exercise(readSafetensors(new MemorySource('mutant', bytes))),
  gguf: (bytes) => exercise(readGguf(new MemorySource('mutant', bytes))),
  torch: (bytes) => exercise(readTorch(new MemorySource('mutant', bytes))),
  tokenizer: (bytes) => exerciseTokenizerJson(new TextDecoder().decode(bytes)),
};

const { format, seeds, first, count, seed } = workerData;
const files = seeds.map((path) => new Uint8Array(readFileSync(path)));
const current = new Int32Array(workerData.current);
const counts = { read: 0, refused: 0, slowest: 0 };
for (let i = first; i < first + count; i++) {
  Atomics.store(current, 0, i);
  const random = randomStream(seed * 1_000_003 + i);
  const mutant = mutations[format](random, files[random() % files.length]);
  const start = performance.now();
  try {
    readers[format](mutant);
    counts.read++;
  } catch (error) {
    if (error instanceof InkstoneError) counts.refused++;
    else parentPort.postMessage({ failure: { i, message: String(error?.stack ?? error), mutant } });
  }
  counts.slowest = Math.max(counts.slowest, performance.now() - start);
}
parentPort.postMessage({ counts });
