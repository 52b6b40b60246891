/** `inkstone pull` and `inkstone models`. */
import { listModels, resolveModel } from '../node/models.ts';
import { amount, progressReporter } from '../node/progress.ts';
import { interruptSignal, write } from './session.ts';

export async function pullCommand(
  name: string,
  flags: { readonly revision?: string; readonly json?: boolean },
): Promise<void> {
  const location = await resolveModel(name, {
    revision: flags.revision,
    progress: progressReporter(),
    signal: interruptSignal(),
  });
  await write(flags.json ? `${JSON.stringify(location)}\n` : `${location.path} (${location.source})\n`);
}

export async function modelsCommand({ json }: { readonly json?: boolean }): Promise<void> {
  const models = listModels();
  if (json) {
    await write(`${JSON.stringify(models)}\n`);
    return;
  }
  for (const { name, bytes, licence, installed } of models.sort(
    (a, b) => Number(b.installed !== null) - Number(a.installed !== null),
  )) {
    await write(`${installed ? '●' : ' '} ${name.padEnd(28)} ${amount(bytes, 'bytes').padStart(9)}  ${licence}\n`);
  }
  await write('● on this machine. Others: inkstone pull NAME, or any hub id (org/name).\n');
}
