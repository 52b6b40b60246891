/** Runs in the browser, as the script of a page or of a worker: learns with so many threads and sends what came of it to the server. */
import { openWasmBackend } from '../../src/browser/index.ts';
import { learn } from './learn.ts';

const { searchParams } = new URL(location.href);
const threads = Number(searchParams.get('threads'));

async function answer(): Promise<unknown> {
  try {
    return await learn(await openWasmBackend({ threads }));
  } catch (error) {
    return { error: String(error), stack: (error as Error).stack };
  }
}

const next = await fetch(`/result${location.search}`, { method: 'POST', body: JSON.stringify(await answer()) });
// The server names the page that comes next. A worker leaves that to whoever started it.
if (typeof document === 'undefined') postMessage(await next.text());
else location.assign(await next.text());
