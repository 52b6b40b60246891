/** The parameters of a decoder: names and shapes, from its configuration alone. */
import type { DecoderConfig, MlpConfig } from './config.ts';

export interface ParameterSpec {
  readonly name: string;
  readonly shape: readonly number[];
}

/** Every parameter of the decoder, in the order data meets them. Matrices are (outputs, inputs). */
export function parameterSpecs(config: DecoderConfig): ParameterSpec[] {
  const { n_embd: C, vocab_size: V } = config;
  const { n_head: H, n_kv_head: G, head_dim: D, bias } = config.attention;
  const specs: ParameterSpec[] = [];
  const add = (name: string, ...shape: number[]) => specs.push({ name, shape });
  const norm = (name: string, width = C) => {
    add(`${name}.weight`, width);
    if (config.norm.bias) add(`${name}.bias`, width);
  };
  const linear = (name: string, outputs: number, inputs: number, withBias: boolean) => {
    add(`${name}.weight`, outputs, inputs);
    if (withBias) add(`${name}.bias`, outputs);
  };
  const mlp = (name: string, { kind, width, bias }: MlpConfig) => {
    if (kind !== 'plain') linear(`${name}.gate`, width, C, bias);
    linear(`${name}.up`, width, C, bias);
    linear(`${name}.down`, C, width, bias);
  };

  add('embed.weight', V, C);
  if (config.learnedPositions) add('positions.weight', config.n_positions, C);
  config.layers.forEach((layer, i) => {
    const at = `layers.${i}`;
    norm(`${at}.norm1`);
    linear(`${at}.attention.q`, H * D, C, bias.qkv);
    linear(`${at}.attention.k`, G * D, C, bias.qkv);
    linear(`${at}.attention.v`, G * D, C, bias.qkv);
    linear(`${at}.attention.o`, C, H * D, bias.output);
    if (config.attention.qkNorm) {
      add(`${at}.attention.qNorm.weight`, D);
      add(`${at}.attention.kNorm.weight`, D);
    }
    if (config.attention.sinks) add(`${at}.attention.sinks`, H);
    if (config.arrangement === 'sandwich') norm(`${at}.postNorm1`);
    if (config.arrangement !== 'parallelOneNorm') norm(`${at}.norm2`);
    if (layer.mlp === 'dense') mlp(`${at}.mlp`, config.mlp);
    else if (config.experts) {
      const { count: E, mlp: expert, routerBias, shared } = config.experts;
      linear(`${at}.router`, E, C, routerBias);
      const parts = [
        ['gate', expert.width, C],
        ['up', expert.width, C],
        ['down', C, expert.width],
      ] as const;
      for (const [part, outputs, inputs] of parts) {
        if (part === 'gate' && expert.kind === 'plain') continue;
        add(`${at}.experts.${part}.weight`, E, outputs, inputs);
        if (expert.bias) add(`${at}.experts.${part}.bias`, E, outputs);
      }
      if (shared) {
        mlp(`${at}.shared`, shared);
        linear(`${at}.sharedGate`, 1, C, false);
      }
    }
    if (config.arrangement === 'sandwich') norm(`${at}.postNorm2`);
  });
  if (config.finalNorm) norm('finalNorm');
  if (!config.tied) add('head.weight', V, C);
  if (config.headBias) add('head.bias', V);
  return specs;
}

/** How many numbers the model learns. */
export function parameterCount(config: DecoderConfig): number {
  return parameterSpecs(config).reduce((total, { shape }) => total + shape.reduce((a, b) => a * b, 1), 0);
}
