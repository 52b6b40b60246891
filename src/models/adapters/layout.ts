/** Where an adapter meets the decoder: which linear maps it changes, under which names, ranks and factors. */
import { FileFormatError, SettingError } from '../../errors.ts';
import type { DecoderConfig } from '../config.ts';
import { type Location, locate } from '../families/family.ts';
import { familyOf } from '../families/index.ts';
import { type ParameterSpec, parameterSpecs } from '../parameters.ts';
import type { AdapterConfig } from './config.ts';
import { fullMatcher, isNamed, patternValue } from './names.ts';

/** Rows of a module that are a site: see `Location.rows`. */
export type SiteRows = NonNullable<Location['rows']>;

/** One linear map of the decoder with an adapter: B (outputs, rank) · A (rank, inputs), times `scaling`. */
export interface AdapterSite {
  /** The decoder's name of the map: `layers.0.attention.q`, `head`, `embed`. */
  readonly site: string;
  /** The name of its A: the site, or one that the parts of a fused module share (`layers.0.attention.qkv`). */
  readonly a: string;
  /** The module of Hugging Face's model that holds the map. */
  readonly module: string;
  /** Which of the module's rows are the map's; null for all. */
  readonly rows: SiteRows | null;
  /** Of an embedding: the vocabulary. */
  readonly inputs: number;
  readonly outputs: number;
  readonly rank: number;
  readonly scaling: number;
  readonly kind: 'linear' | 'embedding';
}

export interface AdapterModule {
  /** As Hugging Face's model names it: `model.layers.0.self_attn.q_proj`. */
  readonly name: string;
  readonly kind: 'linear' | 'embedding';
  readonly inputs: number;
  /** Rows of all sites together. */
  readonly outputs: number;
  readonly rank: number;
  readonly alpha: number;
  readonly scaling: number;
  readonly sites: readonly AdapterSite[];
}

export interface AdapterLayout {
  readonly config: DecoderConfig;
  readonly use_dora: boolean;
  readonly modules: readonly AdapterModule[];
  /** By the decoder's names, in the order data meets them. */
  readonly sites: ReadonlyMap<string, AdapterSite>;
}

/** A module of the model, whether or not an adapter can change it. */
interface Module {
  readonly name: string;
  /** What it is, for those that no adapter changes. */
  readonly fixed: string | null;
  readonly kind: 'linear' | 'embedding';
  readonly sites: { site: string; rows: SiteRows | null; inputs: number; outputs: number }[];
}

/** What peft adapts where nothing is said (peft 0.21, `TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING`). */
const usualTargets: Readonly<Record<string, readonly string[]>> = {
  gpt2: ['c_attn'],
  gpt_neo: ['q_proj', 'v_proj'],
  gptj: ['q_proj', 'v_proj'],
  gpt_neox: ['query_key_value'],
  llama: ['q_proj', 'v_proj'],
  mistral: ['q_proj', 'v_proj'],
  mixtral: ['q_proj', 'v_proj'],
  gemma3_text: ['q_proj', 'v_proj'],
  qwen2: ['q_proj', 'v_proj'],
  qwen3: ['q_proj', 'v_proj'],
};

/** The targets for a model when none are named. @throws SettingError for a family without usual ones. */
export function defaultTargets(model_type: string): readonly string[] {
  const targets = Object.hasOwn(usualTargets, model_type) ? usualTargets[model_type] : undefined;
  if (targets) return targets;
  throw new SettingError('target_modules', null, `has to be given: nothing is usual for the family ${model_type}`);
}

/**
 * The modules of a model that a configuration names, matched as peft does: by whole name or the end of it after a dot for lists, by the whole
 * name for an expression.
 * @throws SettingError when a name matches nothing, or something that adapters cannot change.
 */
export function adapterLayout(config: DecoderConfig, adapter: AdapterConfig): AdapterLayout {
  const all = modulesOf(config);
  const targets = adapter.target_modules ?? defaultTargets(config.model_type);
  const excluded = matcher('exclude_modules', adapter.exclude_modules ?? []);
  const inLayers = layerFilter(adapter);
  const isLinear = ({ fixed, kind, sites }: Module) => !fixed && kind === 'linear' && sites[0].site !== 'head';
  const allLinear = typeof targets === 'string' && targets.toLowerCase() === 'all-linear';
  const named = allLinear ? null : matcher('target_modules', targets);
  const isTarget = (module: Module) =>
    (named ? named(module.name) && inLayers(module.name) : isLinear(module)) && !excluded(module.name);
  if (typeof targets !== 'string') checkNames(all, targets);
  const chosen = all.filter(isTarget);
  const problem = chosen.find(({ fixed }) => fixed);
  if (problem) {
    throw new SettingError(
      'target_modules',
      targets,
      `names ${problem.name}, ${problem.fixed}: adapters do not change it`,
    );
  }
  if (chosen.length === 0)
    throw new SettingError('target_modules', targets, `matches no module; there are ${available(all)}`);
  return layoutOf(config, adapter, chosen);
}

function layoutOf(config: DecoderConfig, adapter: AdapterConfig, chosen: readonly Module[]): AdapterLayout {
  const rankOf = patternValue('rank_pattern', adapter.rank_pattern);
  const alphaOf = patternValue('alpha_pattern', adapter.alpha_pattern);
  const modules = chosen.map((module): AdapterModule => {
    const rank = rankOf(module.name) ?? adapter.r;
    const alpha = alphaOf(module.name) ?? adapter.lora_alpha;
    const scaling = alpha / (adapter.use_rslora ? Math.sqrt(rank) : rank);
    const { name, kind } = module;
    const a = sharedName(module.sites.map(({ site }) => site));
    const sites = module.sites.map((site): AdapterSite => ({ ...site, a, module: name, rank, scaling, kind }));
    const outputs = sites.reduce((total, site) => total + site.outputs, 0);
    return { name, kind, inputs: sites[0].inputs, outputs, rank, alpha, scaling, sites };
  });
  const sites = new Map(modules.flatMap(({ sites }) => sites.map((site) => [site.site, site] as const)));
  return { config, use_dora: adapter.use_dora, modules, sites };
}

/** The tensors that an adapter learns: `lora.A.<a>`, `lora.B.<site>` and, with DoRA, `lora.magnitude.<site>`. */
export function adapterParameterSpecs({ modules, use_dora }: AdapterLayout): ParameterSpec[] {
  return modules.flatMap(({ sites, rank, inputs }) => [
    { name: `lora.A.${sites[0].a}`, shape: [rank, inputs] },
    ...sites.flatMap(({ site, outputs }): ParameterSpec[] => [
      { name: `lora.B.${site}`, shape: [outputs, rank] },
      ...(use_dora ? [{ name: `lora.magnitude.${site}`, shape: [outputs] }] : []),
    ]),
  ]);
}

/** The numbers of a module's rows that a site has, in order. */
export function siteRows({ rows, outputs }: Pick<AdapterSite, 'rows' | 'outputs'>): Int32Array {
  if (!rows) return Int32Array.from({ length: outputs }, (_, i) => i);
  const { start, length, stride } = rows;
  return Int32Array.from({ length: outputs }, (_, i) => start + Math.floor(i / length) * stride + (i % length));
}

/** Every module of a model with its sites. */
function modulesOf(config: DecoderConfig): Module[] {
  const family = familyOf(config.model_type, 'config.json');
  const { vocab_size: V, n_embd: C } = config;
  const specs = parameterSpecs(config).filter(({ name }) => name.endsWith('.weight'));
  // A tied head is a module like any other there, which has the embedding's weight.
  if (config.tied) specs.push({ name: 'head.weight', shape: [V, C] });
  const modules = new Map<string, Module>();
  for (const { name, shape } of specs) {
    const site = name.slice(0, -'.weight'.length);
    const location = locate(family, name, config);
    const from = typeof location.from === 'string' ? [location.from] : location.from;
    const kind = site === 'embed' ? 'embedding' : 'linear';
    const [outputs, inputs] = kind === 'embedding' ? [shape[1], shape[0]] : shape;
    for (const tensor of from) {
      const module = tensor.replace(/\.weight$/, '');
      const known = modules.get(module) ?? { name: module, fixed: whatIsFixed(site, shape), kind, sites: [] };
      known.sites.push({ site, rows: location.rows ?? null, inputs, outputs });
      modules.set(module, known);
    }
  }
  return [...modules.values()];
}

function whatIsFixed(site: string, shape: readonly number[]): string | null {
  if (site === 'positions') return 'learned positions';
  if (/\.experts\./.test(site)) return 'weights of a mixture of experts';
  if (/\.router$/.test(site)) return 'the router of a mixture of experts';
  return shape.length === 1 ? 'a norm' : null;
}

/** layers.0.attention.q, .k and .v share layers.0.attention.qkv; layers.0.mlp.gate and .up share layers.0.mlp.gate_up. */
function sharedName(sites: readonly string[]): string {
  const stem = sites[0].slice(0, sites[0].lastIndexOf('.') + 1);
  const parts = sites.map((site) => site.slice(stem.length));
  return stem + parts.join(parts.every(({ length }) => length === 1) ? '' : '_');
}

function matcher(setting: string, names: readonly string[] | string): (module: string) => boolean {
  if (typeof names === 'string') return fullMatcher(setting, names);
  return (module) => names.some((name) => isNamed(module, name));
}

/** Each name of a list has to be there. */
function checkNames(all: readonly Module[], targets: readonly string[]): void {
  const absent = targets.filter((target) => !all.some(({ name }) => isNamed(name, target)));
  if (absent.length === 0) return;
  throw new SettingError(
    'target_modules',
    targets,
    `${absent.join(', ')} matches no module; there are ${available(all)}`,
  );
}

/** The last parts of the names of what can be adapted. */
function available(all: readonly Module[]): string {
  const names = all.filter(({ fixed }) => !fixed).map(({ name }) => name.slice(name.lastIndexOf('.') + 1));
  return [...new Set(names)].join(', ');
}

/** The layer of a module is the first number among the parts of its name, after the parts that `layers_pattern` names. */
function layerFilter({ layers_to_transform, layers_pattern }: AdapterConfig): (module: string) => boolean {
  if (!layers_to_transform) return () => true;
  return (module) => {
    const parts = module.split('.');
    const at = parts.findIndex((part, i) => {
      if (!/^\d+$/.test(part) || i === parts.length - 1) return false;
      const before = parts.slice(0, i).join('.');
      return layers_pattern.length === 0 ? i >= 2 : layers_pattern.some((pattern) => isNamed(before, pattern));
    });
    return at >= 0 && layers_to_transform.includes(Number(parts[at]));
  };
}

/**
 * The layout of an adapter whose modules are known: a file's.
 * @param names in full, or without what the family puts before the names of its base model.
 * @throws FileFormatError for a module that the model does not have or that adapters cannot change.
 */
export function layoutOfModules(
  config: DecoderConfig,
  adapter: AdapterConfig,
  names: readonly string[],
  file: string,
): AdapterLayout {
  const { prefix } = familyOf(config.model_type, file);
  const all = modulesOf(config);
  const byName = new Map(all.map((module) => [module.name, module]));
  const wanted = new Set<Module>();
  for (const name of names) {
    const module = byName.get(name) ?? byName.get(prefix + name);
    if (module && !module.fixed) wanted.add(module);
    else {
      const base = adapter.base_model_name_or_path;
      const problem = module
        ? `is ${module.fixed}: adapters do not change it`
        : `is not in this ${config.model_type} model`;
      const hint = `The adapter was made for ${base ?? 'another model'}; this model has ${available(all)}`;
      throw new FileFormatError(file, name, problem, module ? '' : hint);
    }
  }
  return layoutOf(
    config,
    adapter,
    all.filter((module) => wanted.has(module)),
  );
}
