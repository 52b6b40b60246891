/**
 * `npm run soak`: what checkpoints must survive. First the tests of test/checkpoints.test.ts with 1,000 flipped bits and every operation of
 * the disk failing in both ways; then training runs that are killed (SIGKILL) at random moments, also while a checkpoint is written, and
 * resumed each time: their last weights and optimiser state have to be those of a run that was never interrupted, bit for bit.
 * Options: --kills 200 --seed 1 --kills-only.
 */
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const program = join(root, 'dist', 'cli', 'run.js');
/** Dropout, accumulated gradients, evaluations that come between checkpoints: all that a resumed run must take up. */
const common = `--save_every 5 --eval_every 7 --n_layer 1 --n_head 2 --n_embd 16 --block_size 16 --batch_size 2
  --gradient_accumulation_steps 2 --dropout 0.1 --seed 3 --threads 1 --plain`.split(/\s+/);
const kinds = [
  { name: 'adamw', flags: [] },
  { name: 'muon', flags: ['--optimizer', 'muon'] },
];

/** Numbers in [0, 1) of a seed. */
export function random(seed) {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

/**
 * Kill training runs.
 * @param kills how many kills there have to be.
 * @param steps of each run; a checkpoint every 5.
 * @returns what happened; `problems` is empty when all went well.
 */
export async function killRuns({ kills, seed, steps = 120, say = () => {} }) {
  const folder = mkdtempSync(join(tmpdir(), 'inkstone-soak-'));
  const next = random(seed);
  const lastStep = `step-${String(steps).padStart(8, '0')}`;
  const told = { kills: 0, writing: 0, before: 0, runs: 0, damaged: 0, problems: [] };
  try {
    const text = join(folder, 'text.txt');
    writeFileSync(text, textOf(random(5)));
    const task = { text, steps };
    // Corpora are cached beside the runs, so that nothing of this is left in the user's own cache.
    const env = { ...process.env, INKSTONE_CACHE: join(folder, 'cache'), NO_COLOR: '1' };
    const references = new Map();
    while (told.kills < kills && told.problems.length === 0) {
      const kind = kinds[told.runs % kinds.length];
      if (!references.has(kind.name)) references.set(kind.name, await uninterrupted(folder, task, lastStep, kind, env));
      const { files, milliseconds } = references.get(kind.name);
      const run = join(folder, `run-${told.runs++}`);
      let finished = false;
      while (!finished) {
        // A run of which nothing is there yet is begun, not resumed.
        const args = existsSync(join(run, 'run.json'))
          ? ['--resume', run, '--threads', '1', '--plain']
          : freshly(run, task, kind);
        if (args[0] !== '--resume') rmSync(run, { recursive: true, force: true });
        const after = told.kills < kills ? (0.03 + 0.7 * next() ** 2) * milliseconds : null;
        const { code, killed, output } = await attempt(args, env, after);
        told.damaged += /is damaged/.test(output) ? 1 : 0;
        if (killed) {
          told.kills++;
          const checkpoints = join(run, 'checkpoints');
          const names = existsSync(checkpoints) ? readdirSync(checkpoints) : [];
          if (names.some((name) => name.startsWith('.'))) told.writing++;
          else if (!names.some((name) => name.startsWith('step-'))) told.before++;
          const problem = await shownProblem(run);
          if (problem) told.problems.push(`after kill ${told.kills}: ${problem}`);
          say(told);
        } else if (code === 0) finished = true;
        else told.problems.push(`train ${args.join(' ')} ended with ${code}: ${output.slice(-500)}`);
        if (told.problems.length > 0) return told;
      }
      for (const [name, content] of files) {
        const now = readFileSync(join(run, 'checkpoints', lastStep, name));
        if (!now.equals(content))
          told.problems.push(`${kind.name}: ${name} of a killed run is not that of the uninterrupted one`);
      }
      rmSync(run, { recursive: true, force: true });
    }
    return told;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function freshly(run, { text, steps }, { flags }) {
  return [text, '--out', run, '--max_steps', String(steps), ...common, ...flags];
}

/** Words of few letters: something to learn. */
function textOf(next) {
  const word = () =>
    Array.from({ length: 2 + Math.floor(next() * 4) }, () => 'aeioudnrst'[Math.floor(next() * 10)]).join('');
  return Array.from({ length: 4000 }, word).join(' ');
}

async function uninterrupted(folder, task, lastStep, kind, env) {
  const run = join(folder, `whole-${kind.name}`);
  mkdirSync(join(folder, 'cache'), { recursive: true });
  const started = Date.now();
  const { code, output } = await attempt(freshly(run, task, kind), env, null);
  if (code !== 0) throw new Error(`the uninterrupted run ended with ${code}: ${output.slice(-2000)}`);
  const names = ['model.safetensors', 'optimizer.safetensors', 'config.json', 'tokenizer.json'];
  const files = names.map((name) => [name, readFileSync(join(run, 'checkpoints', lastStep, name))]);
  return { files, milliseconds: Date.now() - started };
}

/** Run `inkstone train`; after so many milliseconds it is killed. */
function attempt(args, env, after) {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, [program, 'train', ...args], { env, stdio: ['ignore', 'pipe', 'pipe'] });
    let output = '';
    const note = (data) => {
      output = (output + data).slice(-20_000);
    };
    child.stdout.on('data', note);
    child.stderr.on('data', note);
    const timer = after === null ? null : setTimeout(() => child.kill('SIGKILL'), after);
    child.on('close', (code, signal) => {
      clearTimeout(timer);
      resolve({ code, killed: signal === 'SIGKILL', output });
    });
  });
}

/** The run's own folder is a model at any moment, once weights are there. */
async function shownProblem(run) {
  if (!existsSync(join(run, 'model.safetensors'))) return null;
  const [{ openWeightsAt }, { parameterValues }] = await Promise.all([
    import(join(root, 'dist', 'node', 'open_weights.js')),
    import(join(root, 'dist', 'models', 'index.js')),
  ]);
  try {
    const config = JSON.parse(readFileSync(join(run, 'config.json'), 'utf8'));
    JSON.parse(readFileSync(join(run, 'tokenizer.json'), 'utf8'));
    const values = parameterValues(openWeightsAt(run), config);
    for (const spec of values.specs) values.read(spec);
    return null;
  } catch (error) {
    return `the run's own folder is no model: ${error.message}`;
  }
}

async function main() {
  const { values } = parseArgs({
    options: {
      kills: { type: 'string', default: '200' },
      seed: { type: 'string', default: '1' },
      'kills-only': { type: 'boolean', default: false },
    },
  });
  if (!values['kills-only']) {
    const vitest = join(root, 'node_modules', 'vitest', 'vitest.mjs');
    const env = { ...process.env, INKSTONE_SOAK: '1' };
    const tests = spawnSync(process.execPath, [vitest, 'run', 'test/checkpoints.test.ts'], {
      cwd: root,
      env,
      stdio: 'inherit',
    });
    if (tests.status !== 0) process.exit(1);
  }
  const say = ({ kills, runs }) => process.stderr.isTTY && process.stderr.write(`\r${kills} kills, ${runs} runs`);
  const started = Date.now();
  const told = await killRuns({ kills: Number(values.kills), seed: Number(values.seed), say });
  const seconds = Math.round((Date.now() - started) / 1000);
  console.log(
    `${told.kills} kills over ${told.runs} runs in ${seconds} s (${told.writing} while a checkpoint was written, ${told.before} before the first): ` +
      (told.problems.length === 0
        ? 'every run ended with the bits of the uninterrupted one'
        : told.problems.join('; ')),
  );
  if (told.damaged > 0) console.log(`${told.damaged} times a checkpoint was called damaged`);
  process.exitCode = told.problems.length === 0 && told.kills >= Number(values.kills) ? 0 : 1;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await main();
