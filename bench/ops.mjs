/**
 * Every op at sizes of a small model: `node bench/ops.mjs [--backend native] [--threads 2] [--filter matmul] [--seconds 0.2] [--json]`.
 * The sizes are the `bench` entries of test/op_cases.ts; what is measured is dist/. Operands are parameters, so that nothing is copied in or out;
 * a plan holds several copies of the op on operands of their own, so that the cost of a call is shared and weights come from memory.
 * Prints the median time of one op, its floating-point operations, and the bytes of its operands and result, a second. `q8a` operands
 * are quantised in the measured time.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import ts from 'typescript';
import { openBackend } from '../dist/node/backends.js';
import { byteLength } from '../dist/tensor/dtype.js';
import { apply } from '../dist/tensor/functions.js';
import { compile, f } from '../dist/tensor/index.js';

const { values: options } = parseArgs({
  options: {
    backend: { type: 'string' },
    threads: { type: 'string', default: '2' },
    filter: { type: 'string', default: '' },
    seconds: { type: 'string', default: '0.2' },
    json: { type: 'boolean', default: false },
  },
});

/** Node 20 reads no TypeScript: the list of cases is translated next to the build. */
const folder = new URL('../build/bench/', import.meta.url);
mkdirSync(fileURLToPath(folder), { recursive: true });
for (const name of ['op_data', 'op_cases']) {
  const source = readFileSync(new URL(`../test/${name}.ts`, import.meta.url), 'utf8');
  const compilerOptions = { target: ts.ScriptTarget.ES2023, module: ts.ModuleKind.ESNext };
  const { outputText } = ts.transpileModule(source, { compilerOptions });
  const linked = outputText
    .replace(/'\.\.\/src\/([^']+)\.ts'/g, "'../../dist/$1.js'")
    .replace(/'\.\/([^']+)\.ts'/g, "'./$1.mjs'");
  writeFileSync(new URL(`${name}.mjs`, folder), linked);
}
const { allCases } = await import(pathToFileURL(fileURLToPath(new URL('op_cases.mjs', folder))).href);
const { dataOf } = await import(pathToFileURL(fileURLToPath(new URL('op_data.mjs', folder))).href);

const MOST_COPIES = 16;
const MOST_BYTES = 96 << 20;
const size = (shape) => shape.reduce((product, dim) => product * dim, 1);

function build(one, backend) {
  const operandBytes = one.inputs.reduce((sum, x) => sum + (x ? byteLength(x.dtype, size(x.shape)) : 0), 0);
  const copies = Math.max(1, Math.min(MOST_COPIES, Math.floor(MOST_BYTES / operandBytes)));
  const data = one.inputs.map((x, i) => x && dataOf(x.dtype, x.shape, x.fill, i).bytes);
  const buffers = {};
  const outputs = {};
  for (let copy = 0; copy < copies; copy++) {
    const operands = one.inputs.map((x, i) => {
      if (!x) return null;
      const name = `x${i}_${copy}`;
      buffers[name] = backend.allocate(data[i].byteLength);
      backend.write(buffers[name], 0, data[i]);
      const tensor = f.parameter(name, x.dtype, x.shape);
      return x.quantized ? f.quantize8(tensor) : tensor;
    });
    outputs[`y${copy}`] = apply(one.op, operands, one.attrs);
  }
  const { dtype, shape } = outputs.y0;
  const written = one.op === 'kvWrite' ? 0 : byteLength(dtype, size(shape));
  return { loaded: backend.load(compile(outputs), buffers), copies, bytes: operandBytes + written };
}

async function median(run, seconds) {
  for (let i = 0; i < 3; i++) await run();
  const times = [];
  const end = performance.now() + seconds * 1000;
  while (times.length < 5 || performance.now() < end) {
    const start = performance.now();
    await run();
    times.push(performance.now() - start);
  }
  return times.sort((a, b) => a - b)[times.length >> 1] * 1e6;
}

const backend = openBackend({ backend: options.backend, threads: Number(options.threads) });
const { name, variant, threads } = backend.info;
const cases = allCases('bench').filter((one) => one.name.includes(options.filter));
const width = Math.max(20, ...cases.map((one) => one.name.length));
if (!options.json) {
  console.log(`${name} ${variant}, ${threads} thread${threads === 1 ? '' : 's'}`);
  console.log(`${'op'.padEnd(width)} ${'ns'.padStart(12)} ${'GFLOP/s'.padStart(9)} ${'GB/s'.padStart(8)}`);
}
for (const one of cases) {
  const { loaded, copies, bytes } = build(one, backend);
  const ns = (await median(() => loaded.run({ outputs: [] }), Number(options.seconds))) / copies;
  const [gflops, gbs] = [one.flops ? one.flops / ns : null, bytes / ns];
  if (options.json) {
    console.log(JSON.stringify({ op: one.op, case: one.name, backend: name, variant, threads, ns, gflops, gbs }));
  } else {
    const speed = gflops === null ? '' : gflops.toFixed(1);
    console.log(
      `${one.name.padEnd(width)} ${ns.toFixed(0).padStart(12)} ${speed.padStart(9)} ${gbs.toFixed(2).padStart(8)}`,
    );
  }
}
await backend.close();
