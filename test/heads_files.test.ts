/** Folders of models with a head: written, opened again, and opened by transformers and peft with equal scores. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { createReferenceBackend } from '../src/backends/reference/backend.ts';
import { FileFormatError, NotFoundError } from '../src/errors.ts';
import { HEAD_WEIGHT, headSpec } from '../src/models/heads.ts';
import { adapterLayout, adapterParameterSpecs, completeAdapterConfig, loadModel } from '../src/models/index.ts';
import { openClassifier } from '../src/node/classifier.ts';
import { saveClassifier } from '../src/node/classifier_files.ts';
import type { HeadRecord } from '../src/training/heads/record.ts';
import { MemorySource, openWeights } from '../src/weights/index.ts';
import { goldenPath } from './adapters_setup.ts';
import { uniformAt } from './op_data.ts';

const python = process.env.INKSTONE_PYTHON ?? 'python3';
const hasLibrary = spawnSync(python, ['-c', 'import torch, transformers, peft']).status === 0;

/** Writes a classifier over a golden model whose numbers beside it are random. */
async function write(kind: string, learned: HeadRecord['learned'], folder: string, use_dora = false): Promise<void> {
  const base = goldenPath(`decoding/${kind}`);
  const config = JSON.parse(readFileSync(join(base, 'config.json'), 'utf8'));
  const weights = openWeights(new MemorySource('model', readFileSync(join(base, 'model.safetensors'))));
  const model = loadModel(weights, config, createReferenceBackend());
  const record: HeadRecord = {
    kind: 'classification',
    labels: ['bad', 'good', 'unclear'],
    tokens: { start: 5, delimiter: 6, extract: 7 },
    block_size: 24,
    base: learned === 'all' ? null : base,
    learned,
  };
  const target_modules = kind === 'gpt2' ? ['c_attn', 'c_fc'] : ['q_proj', 'k_proj', 'down_proj'];
  const adapter = completeAdapterConfig({ r: 3, lora_alpha: 5, target_modules, use_dora });
  const layout = adapterLayout(model.config, adapter);
  const specs = [
    ...adapterParameterSpecs(layout),
    headSpec(model.config, { kind: 'classification', classes: record.labels.length }),
  ];
  const random = new Map(
    specs.map(({ name, shape }, p) => {
      const size = shape.reduce((a, b) => a * b, 1);
      const scale = name === HEAD_WEIGHT ? 2 : 0.5;
      return [name, Float32Array.from({ length: size }, (_, i) => scale * (uniformAt(p + 1, i) - 0.5))] as const;
    }),
  );
  const read = async (name: string) => {
    const found = random.get(name);
    if (found) return found;
    const { buffer } = model.parameters.get(name)!;
    return new Float32Array((await model.backend.read(buffer, 0, buffer.byteLength)).slice().buffer);
  };
  const source = { record, decoder: model.config, read, config };
  const tokenizer = readFileSync(join(base, 'tokenizer.json'), 'utf8');
  await saveClassifier(
    folder,
    learned === 'adapter' ? { ...source, adapter: { layout, config: adapter } } : source,
    learned === 'all' ? { 'tokenizer.json': tokenizer } : {},
  );
}

const cases = [
  { name: 'gpt2-all', kind: 'gpt2', learned: 'all' },
  { name: 'llama-all', kind: 'llama', learned: 'all' },
  { name: 'gpt2-adapter', kind: 'gpt2', learned: 'adapter' },
  { name: 'llama-adapter', kind: 'llama', learned: 'adapter' },
  { name: 'llama-dora', kind: 'llama', learned: 'adapter', use_dora: true },
  { name: 'llama-head', kind: 'llama', learned: 'head' },
] as const;
const texts = [
  'a good tale',
  'it was dull',
  'the rain',
  'nobody knows what it is about, or why it is so long, or who it is for',
];

it.skipIf(!hasLibrary)(
  'transformers and peft give the same probabilities (needs torch, transformers and peft; INKSTONE_PYTHON names the interpreter)',
  async () => {
    const root = mkdtempSync(join(tmpdir(), 'inkstone-heads-'));
    try {
      const wanted = [];
      for (const one of cases.filter(({ learned }) => learned !== 'head')) {
        const folder = join(root, one.name);
        await write(one.kind, one.learned, folder, 'use_dora' in one);
        const classifier = await openClassifier(folder, { backend: 'reference' });
        const found = await classifier.classify(texts);
        await classifier.close();
        wanted.push({
          folder,
          base: one.learned === 'all' ? null : goldenPath(`decoding/${one.kind}`),
          probabilities: found.map(({ scores }) => scores.map(({ score }) => score)),
        });
      }
      const job = join(root, 'job.json');
      writeFileSync(job, JSON.stringify({ texts, wanted }));
      const script = fileURLToPath(new URL('./oracles/heads_transformers.py', import.meta.url));
      const { status, stdout, stderr } = spawnSync(python, [script, job], { encoding: 'utf8' });
      expect(status, stderr).toBe(0);
      for (const { name, difference, label } of JSON.parse(stdout)) {
        expect(difference, name).toBeLessThan(1e-4);
        if (label) expect(['bad', 'good', 'unclear']).toContain(label);
      }
    } finally {
      rmSync(root, { recursive: true });
    }
  },
  120_000,
);

it.each(cases)('$name is opened as it was written', async ({ kind, learned, ...own }) => {
  const root = mkdtempSync(join(tmpdir(), 'inkstone-heads-'));
  try {
    await write(kind, learned, root, 'use_dora' in own);
    const classifier = await openClassifier(root, { backend: 'reference' });
    const together = await classifier.classify(texts);
    for (const [i, text] of texts.entries()) expect(await classifier.classify([text])).toEqual([together[i]]);
    for (const { label, score, scores } of together) {
      expect(scores.reduce((sum, each) => sum + each.score, 0)).toBeCloseTo(1, 6);
      expect(scores.find((each) => each.label === label)!.score).toBe(score);
    }
    await classifier.close();
  } finally {
    rmSync(root, { recursive: true });
  }
});

it('folders that are no classifier, or a damaged one, are refused by name', async () => {
  const root = mkdtempSync(join(tmpdir(), 'inkstone-heads-'));
  try {
    const open = () => openClassifier(root, { backend: 'reference' });
    await expect(open()).rejects.toThrow(NotFoundError);
    await write('llama', 'head', root);
    const path = join(root, 'head.json');
    const record = JSON.parse(readFileSync(path, 'utf8'));
    writeFileSync(path, JSON.stringify({ ...record, labels: ['bad', 'good'] }));
    await expect(open()).rejects.toThrow(/score\.weight/);
    writeFileSync(path, '{');
    await expect(open()).rejects.toThrow(FileFormatError);
    writeFileSync(path, JSON.stringify({ ...record, tokens: { start: 1, delimiter: 2, extract: 99999 } }));
    await expect(open()).rejects.toThrow(/extract/);
  } finally {
    rmSync(root, { recursive: true });
  }
});
