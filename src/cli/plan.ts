/** `inkstone plan`: what a preset costs, before it is trained. */
import { cell } from '../display.ts';
import { openBackend } from '../node/backends.ts';
import { machineMemory } from '../node/memory.ts';
import { amount, duration } from '../node/progress.ts';
import {
  countParameters,
  type EstimateOptions,
  estimateFlops,
  estimateMemory,
  type FlopsEstimate,
  type MemoryEstimate,
  type ParameterCounts,
} from '../training/estimate.ts';
import { assertFits } from '../training/estimate_fit.ts';
import { measurePeak } from '../training/peak.ts';
import { parseField, presetField, presetNames, type ResolvedPreset, resolvePreset } from '../training/presets.ts';
import type { TrainingPrecision } from '../training/step.ts';
import { sayAside, write, writeJson } from './terminal.ts';
import { UsageError } from './usage.ts';

export interface PlanFlags {
  readonly precision?: TrainingPrecision;
  readonly recompute?: boolean;
  /** Bytes. */
  readonly memory?: number;
  /** Floating-point operations a second; what this machine reaches at best, measured, unless given. */
  readonly flops?: number;
  readonly tokens?: number;
  readonly json?: boolean;
  /** Fields of the preset, as texts. */
  readonly [field: string]: unknown;
}

interface Plan {
  readonly resolved: ResolvedPreset;
  readonly options: EstimateOptions;
  readonly parameters: ParameterCounts;
  readonly memory: MemoryEstimate & { readonly available: number; readonly fits: boolean };
  readonly flops: FlopsEstimate & {
    readonly tokens: number;
    readonly steps: number;
    readonly total: number;
    /** Operations a second, and whether they are the most that this machine was measured at. */
    readonly rate: number | null;
    readonly is_peak_here: boolean;
    readonly days: number | null;
  };
}

/**
 * Print the plan of a preset, or the presets. What does not fit the memory, of this machine or the one that --memory names, is shown and is an
 * error: exit code 1.
 */
export async function planCommand(name: string | undefined, flags: PlanFlags): Promise<void> {
  if (name === undefined) {
    const [flag] = Object.keys(flags).filter((key) => key !== 'json');
    if (flag) throw new UsageError(`--${flag} needs a preset: ${presetNames.join(', ')}`);
    await listPresets(flags.json ?? false);
    return;
  }
  const plan = await makePlan(name, flags);
  if (flags.json) await writeJson(planJson(plan));
  else for (const line of planLines(plan)) await write(`${line}\n`);
  assertFits(plan.resolved.decoder, plan.options, plan.memory.available);
}

async function makePlan(name: string, flags: PlanFlags): Promise<Plan> {
  const given = Object.entries(flags).filter(([field, value]) => presetField(field) && value !== undefined);
  const resolved = resolvePreset(name, Object.fromEntries(given.map(([k, v]) => [k, parseField(k, String(v))])));
  const { decoder, training } = resolved;
  const { batch_size, gradient_accumulation_steps, max_steps } = training;
  const { precision = 'float32', recompute = false } = flags;
  const options: EstimateOptions = { ...training, precision, recompute };
  const memory = estimateMemory(decoder, options);
  const available = flags.memory ?? machineMemory();
  const flops = estimateFlops(decoder, options);
  const tokensPerStep = batch_size * gradient_accumulation_steps * decoder.n_positions;
  const tokens = flags.tokens ?? tokensPerStep * max_steps;
  const rate = flags.flops ?? (await peakHere());
  const total = (flops.per_token + flops.recompute) * tokens;
  return {
    resolved,
    options,
    parameters: countParameters(decoder),
    memory: { ...memory, available, fits: memory.total <= available },
    flops: {
      ...flops,
      tokens,
      steps: Math.ceil(tokens / tokensPerStep),
      total,
      rate,
      is_peak_here: flags.flops === undefined && rate !== null,
      days: rate === null ? null : total / rate / 86400,
    },
  };
}

/** What the native backend reaches here; null without it, for the others are no machine's measure. */
async function peakHere(): Promise<number | null> {
  const backend = openBackend();
  try {
    return backend.info.name === 'native' ? await measurePeak(backend, () => performance.now() / 1000) : null;
  } finally {
    await backend.close();
  }
}

function planJson({ resolved, options, parameters, memory, flops }: Plan): Record<string, unknown> {
  const { preset, fields, training, config } = resolved;
  const { source, notes } = preset;
  const { precision, recompute } = options;
  const model = Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== null));
  return {
    preset: preset.name,
    model,
    parameters,
    memory,
    flops,
    training: { ...training, precision, recompute },
    config,
    source,
    notes,
  };
}

const WIDTH = 80;

function planLines({ resolved, options, parameters, memory, flops }: Plan): string[] {
  const { preset, fields, training, config } = resolved;
  const heads = fields.n_kv_head === fields.n_head ? '' : ` (${fields.n_kv_head} of keys)`;
  const experts = fields.n_experts > 0 ? [`${fields.n_experts} experts, ${fields.experts_per_token} a token`] : [];
  const shape = [
    counted(fields.n_layer, 'layer'),
    `${fields.n_embd} wide`,
    `${counted(fields.n_head, 'head')}${heads} of ${fields.head_dim}`,
    ...experts,
    `context ${whole(fields.block_size)}`,
    `vocabulary ${whole(fields.vocab_size)}`,
  ];
  const share = (count: number) => `${((100 * count) / parameters.total).toFixed(1)} %`;
  const part = (name: string, count: number) => row(`  ${name}`, whole(count), share(count));
  const lines = [
    ...wrapped(`${preset.name} (${config.model_type}): ${shape.join(', ')}`),
    '',
    row('Parameters', whole(parameters.total)),
    part('embeddings', parameters.embeddings),
    ...(parameters.positions > 0 ? [part('positions', parameters.positions)] : []),
    part('attention', parameters.attention),
    part('feed-forward', parameters.feed_forward),
    part('norms', parameters.norms),
    parameters.head > 0 ? part('head', parameters.head) : row('  head', '0', 'shares the embeddings'),
    part('non-embedding', parameters.non_embedding),
    ...(parameters.active < parameters.total ? [part('active for a token', parameters.active)] : []),
    '',
  ];
  const { batch_size, gradient_accumulation_steps: passes, optimizer } = training;
  const batch = `${batch_size} x ${whole(fields.block_size)} tokens${options.recompute ? ', recomputed' : ''}`;
  lines.push(
    row(
      'Memory of training',
      amount(memory.total),
      `${memory.fits ? 'fits into' : 'DOES NOT FIT INTO'} ${amount(memory.available)}`,
    ),
    row('  weights', amount(memory.weights), options.precision),
    row('  gradients', amount(memory.gradients)),
    row('  optimiser', amount(memory.optimizer), optimizer),
    row('  activations', amount(memory.activations), batch),
    row('KV cache of a sequence', amount(memory.kv_cache), `${amount(memory.kv_cache_per_token)} a token, 16 bits`),
    '',
    row('FLOPs of a token', scientific(flops.per_token), 'forward and backward'),
    row('  6 N', scientific(flops.six_n), `N = ${whole(flops.parameters)} in products`),
    row('  attention', scientific(flops.attention), '12 L H D T'),
    ...(flops.recompute > 0 ? [row('  and recomputation', scientific(flops.recompute))] : []),
    row('Training', scientific(flops.total), `${scientific(flops.tokens)} tokens`),
    row(
      '  steps',
      whole(flops.steps),
      `of ${counted(batch_size * passes, 'sequence')}${passes > 1 ? ` in ${passes} passes` : ''}`,
    ),
    flops.days === null
      ? row('  time', '', 'unknown: give --flops')
      : row(
          '  time',
          timeOf(flops.days),
          `at ${scientific(flops.rate!)} FLOPs/s${flops.is_peak_here ? ', the peak here' : ''}`,
        ),
    '',
    ...wrapped(`Source: ${preset.source}.`),
    ...preset.notes.flatMap((note) => wrapped(`Note: ${note}.`)),
  );
  return lines;
}

async function listPresets(json: boolean): Promise<void> {
  const rows = presetNames.map((name) => {
    const { preset, decoder } = resolvePreset(name);
    return { name, parameters: countParameters(decoder).total, description: preset.en, source: preset.source };
  });
  if (json) {
    await writeJson(rows);
    return;
  }
  for (const { name, parameters, description } of rows) {
    await write(`${cell(name, 17)}${whole(parameters).padStart(15)}  ${cell(description, WIDTH - 34).trimEnd()}\n`);
  }
  sayAside('inkstone plan NAME shows one; any field is a flag: --n_layer 4');
}

/** A name, a value at the right of its column, and a remark. */
function row(name: string, value: string, remark = ''): string {
  return `${cell(name, 24)}${value.padStart(17)}  ${remark}`.trimEnd();
}

function whole(value: number): string {
  return String(Math.round(value)).replace(/\B(?=(\d{3})+$)/g, ',');
}

function counted(count: number, what: string): string {
  return `${count} ${what}${count === 1 ? '' : 's'}`;
}

/** "8.6e8". */
function scientific(value: number): string {
  return value.toExponential(2).replace('+', '');
}

function timeOf(days: number): string {
  if (days < 2) return duration(days * 86400);
  return days < 3650 ? `${whole(days)} days` : `${whole(days / 365.25)} years`;
}

/** A text in lines that fit; lines after the first are indented. */
function wrapped(text: string): string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(' ')) {
    if (line !== '' && line.length + 1 + word.length > WIDTH) {
      lines.push(line);
      line = `  ${word}`;
    } else line = line === '' ? word : `${line} ${word}`;
  }
  return [...lines, line];
}
