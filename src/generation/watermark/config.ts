/** The setting `watermarking_config`: two kinds of watermark, told apart by their keys. */

/** Green lists (Kirchenbauer et al. 2023): a bias for tokens that the ones before choose. */
export interface GreenListConfig {
  /** Share of the vocabulary that is green. */
  readonly greenlist_ratio: number;
  /** Added to the scores of green tokens. */
  readonly bias: number;
  readonly hashing_key: number;
  /** Whether the last token chooses the green ones, or each candidate with those before says whether it is one. */
  readonly seeding_scheme: 'lefthash' | 'selfhash';
  /** Tokens that count. */
  readonly context_width: number;
}

/** SynthID Text (Dathathri et al. 2024): a tournament of keys, in distribution the text without. */
export interface SynthIdConfig {
  readonly ngram_len: number;
  /** One for each layer of the tournament. */
  readonly keys: readonly number[];
  readonly context_history_size: number;
  readonly sampling_table_seed: number;
  readonly sampling_table_size: number;
  readonly skip_first_ngram_calls: boolean;
  readonly debug_mode: boolean;
}

export type WatermarkingConfig = GreenListConfig | SynthIdConfig;

const GREEN: GreenListConfig = {
  greenlist_ratio: 0.25,
  bias: 2,
  hashing_key: 15485863,
  seeding_scheme: 'lefthash',
  context_width: 1,
};

const SYNTH_ID: Omit<SynthIdConfig, 'ngram_len' | 'keys'> = {
  context_history_size: 1024,
  sampling_table_seed: 0,
  sampling_table_size: 65536,
  skip_first_ngram_calls: false,
  debug_mode: false,
};

const MOST_KEYS = 256;

/** A checked config with its defaults. */
export function completeWatermark(value: Readonly<Record<string, unknown>>): WatermarkingConfig {
  const given = withoutNulls(value);
  return ('keys' in given ? { ...SYNTH_ID, ...given } : { ...GREEN, ...given }) as unknown as WatermarkingConfig;
}

export function isSynthId(config: WatermarkingConfig): config is SynthIdConfig {
  return 'keys' in config;
}

/** What is wrong with a config, as the end of a sentence; null when it is one. */
export function problemWithWatermark(value: unknown): string | null {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return 'has to be an object';
  const given = withoutNulls(value as Record<string, unknown>);
  const isSynthId = 'keys' in given || 'ngram_len' in given;
  const checks: Record<string, Check> = isSynthId ? SYNTH_ID_CHECKS : GREEN_CHECKS;
  for (const [name, part] of Object.entries(given)) {
    if (!Object.hasOwn(checks, name)) {
      return `has no ${JSON.stringify(name)}: it has ${Object.keys(checks).join(', ')}`;
    }
    const [isRight, wanted] = checks[name];
    if (!isRight(part)) return `needs ${wanted} as ${name}`;
  }
  return isSynthId && !('keys' in given && 'ngram_len' in given) ? 'needs both keys and ngram_len' : null;
}

type Check = readonly [isRight: (x: unknown) => boolean, wanted: string];

const isNumber = (x: unknown): x is number => typeof x === 'number' && Number.isFinite(x);
const isBoolean = (x: unknown): boolean => typeof x === 'boolean';
const whole = (least: number, most: number): Check => [
  (x) => Number.isInteger(x) && (x as number) >= least && (x as number) <= most,
  `a whole number from ${least} to ${most}`,
];

const GREEN_CHECKS: Readonly<Record<keyof GreenListConfig, Check>> = {
  greenlist_ratio: [(x) => isNumber(x) && x > 0 && x < 1, 'a number above 0 and below 1'],
  bias: [(x) => isNumber(x) && Math.abs(x) <= 1e30, 'a number of at most 1e30'],
  hashing_key: whole(0, Number.MAX_SAFE_INTEGER),
  seeding_scheme: [(x) => x === 'lefthash' || x === 'selfhash', '"lefthash" or "selfhash"'],
  context_width: whole(1, 4096),
};

const SYNTH_ID_CHECKS: Readonly<Record<keyof SynthIdConfig, Check>> = {
  ngram_len: whole(2, 64),
  keys: [
    (x) => Array.isArray(x) && x.length > 0 && x.length <= MOST_KEYS && x.every((key) => Number.isSafeInteger(key)),
    `a list of 1 to ${MOST_KEYS} whole numbers`,
  ],
  context_history_size: whole(1, 65536),
  sampling_table_seed: whole(0, Number.MAX_SAFE_INTEGER),
  sampling_table_size: whole(1, 2 ** 24),
  skip_first_ngram_calls: [isBoolean, 'true or false'],
  debug_mode: [isBoolean, 'true or false'],
};

function withoutNulls(value: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(value).filter(([, part]) => part !== null && part !== undefined));
}
