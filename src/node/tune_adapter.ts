/** An adapter that learns, and its files. */
import { type AdapterConfig, type AdapterLayout, adapterOf, peftTensors, writeAdapterConfig } from '../models/index.ts';
import type { TrainingStep } from '../training/step.ts';
import type { BesideFile } from './checkpoints.ts';

/** An adapter that learns. */
export interface LearningAdapter {
  readonly layout: AdapterLayout;
  readonly config: AdapterConfig;
}

/** The adapter as peft's files have it. */
export async function learntAdapter<B>(step: TrainingStep<B>, { layout, config }: LearningAdapter) {
  const parameters = new Map<string, Float32Array>();
  for (const { name } of step.specs) if (name.startsWith('lora.')) parameters.set(name, await step.read(name));
  return adapterOf(layout, config, parameters);
}

/** adapter_config.json and adapter_model.safetensors, with the numbers that the step has now. */
export async function adapterFiles<B>(step: TrainingStep<B>, adapter: LearningAdapter): Promise<BesideFile[]> {
  const { config } = adapter.layout;
  const tensors = peftTensors(await learntAdapter(step, adapter), config).map(({ name, type, shape, data }) => ({
    name,
    type,
    shape,
    async *data() {
      yield* data();
    },
  }));
  return [
    {
      name: 'adapter_config.json',
      content: `${JSON.stringify(writeAdapterConfig(adapter.config, config), null, 2)}\n`,
    },
    { name: 'adapter_model.safetensors', content: tensors },
  ];
}
