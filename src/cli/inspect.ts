/** `inkstone inspect`: what is in a weight file, a tokenizer.json or a config.json. */

import { readJson } from '../node/open_tokenizer.ts';
import { openWeightsAt, requireFile } from '../node/open_weights.ts';
import { inspectJson, inspectWeights, renderInspection, renderJsonInspection } from '../weights/index.ts';
import { write, writeJson } from './terminal.ts';

export async function inspectCommand(file: string, { json }: { readonly json?: boolean }): Promise<void> {
  requireFile(file);
  if (file.endsWith('.json') && !file.endsWith('.index.json')) {
    const facts = inspectJson(file, readJson(file));
    await (json ? writeJson(facts) : write(renderJsonInspection(facts)));
    return;
  }
  const facts = inspectWeights(openWeightsAt(file));
  await (json ? writeJson(facts) : write(renderInspection(facts)));
}
