/** `inkstone pull` and `inkstone models`. */
import { cell } from '../display.ts';
import { listModels, pullModel } from '../node/models.ts';
import { amount } from '../node/progress.ts';
import { interruptSignal } from './interrupt.ts';
import { progress, sayAside, write, writeJson } from './terminal.ts';

export async function pullCommand(
  name: string,
  flags: { readonly revision?: string; readonly json?: boolean },
): Promise<void> {
  const { revision, json } = flags;
  const location = await pullModel(name, { revision, progress: progress(), signal: interruptSignal() });
  await (json ? writeJson(location) : write(`${location.path} (${location.source})\n`));
}

export async function modelsCommand({ json }: { readonly json?: boolean }): Promise<void> {
  const here = (installed: string | null) => (installed === null ? 1 : 0);
  const models = listModels().sort((a, b) => here(a.installed) - here(b.installed));
  if (json) {
    await writeJson(models);
    return;
  }
  for (const { name, bytes, licence, installed } of models) {
    const size = amount(bytes, 'bytes').padStart(9);
    await write(`${`${installed === null ? ' ' : '●'} ${cell(name, 34)} ${size}  ${licence}`.trimEnd()}\n`);
  }
  sayAside('● on this machine. Others: inkstone pull NAME, or any hub id (org/name).');
}
