/**
 * Runs pages in a headless Chromium: a server on the loopback gives it the pages one after another, and each posts what came of it. No
 * library is needed for that, nor a protocol: only a browser that opens an address.
 */
import { spawn } from 'node:child_process';
import { accessSync, constants, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { rolldown } from 'rolldown';

const NAMES = ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable', 'chrome'];

/** The browser that CHROME_PATH names, or one of the PATH; null where there is none. */
export function findChromium(): string | null {
  const folders = (process.env.PATH ?? '').split(delimiter).filter(Boolean);
  const places = folders.flatMap((folder) => NAMES.map((name) => join(folder, name)));
  const given = process.env.CHROME_PATH;
  return (given ? [given] : places).find(isProgram) ?? null;
}

function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** What a page is opened with. */
export interface PageCase {
  readonly threads: number;
  /** Whether its server lets it share memory. */
  readonly isolated: boolean;
  /** Whether it works in a worker, so that it stays awake. */
  readonly worker: boolean;
}

/** test/browser/page.ts and all it stands on, as one module. */
async function bundlePage(): Promise<string> {
  const bundle = await rolldown({ input: fileURLToPath(new URL('page.ts', import.meta.url)), platform: 'browser' });
  try {
    const { output } = await bundle.generate({ format: 'esm', codeSplitting: false });
    return output[0].code;
  } finally {
    await bundle.close();
  }
}

/** As deep as src/browser, so that the module of kernels is where the package has it. */
const SCRIPT = '/src/browser/page.js';

const isolation = {
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Embedder-Policy': 'require-corp',
};

/** What the page of each case posted, in the order of the cases. @throws where the browser ends or is silent for `timeout` ms. */
export async function runPages(
  chromium: string,
  wasm: string,
  cases: readonly PageCase[],
  timeout: number,
): Promise<unknown[]> {
  const script = await bundlePage();
  const profile = mkdtempSync(join(tmpdir(), 'inkstone-chromium-'));
  const results: unknown[] = [];
  const pathOf = (i: number) => (i < cases.length ? `/page?case=${i}&threads=${cases[i].threads}` : 'about:blank');
  let finish: (error?: Error) => void = () => {};
  const finished = new Promise<void>((resolve, reject) => {
    finish = (error) => (error ? reject(error) : resolve());
  });

  const answer = async (request: IncomingMessage, response: ServerResponse) => {
    const { pathname, searchParams } = new URL(request.url!, 'http://localhost');
    const index = Number(searchParams.get('case'));
    const page = cases[index];
    const send = (type: string, body: string | Uint8Array, headers = {}) =>
      response.writeHead(200, { 'Content-Type': type, 'Cache-Control': 'no-store', ...headers }).end(body);
    const headers = page?.isolated ? isolation : {};
    if (pathname === '/page') return send('text/html', html(page, request.url!), headers);
    if (pathname === SCRIPT) return send('text/javascript', script, headers);
    if (pathname === '/prebuilt/kernels.wasm') return send('application/wasm', readFileSync(wasm));
    if (pathname !== '/result') return response.writeHead(404).end();
    results[index] = JSON.parse(await textOf(request));
    send('text/plain', pathOf(index + 1));
    if (index + 1 === cases.length) finish();
  };
  const server = createServer((request, response) => {
    answer(request, response).catch(finish);
  });
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  const { port } = server.address() as AddressInfo;

  const flags = ['--headless=new', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--no-first-run'];
  const quiet = ['--disable-background-networking', '--disable-component-update', '--disable-extensions'];
  const args = [...flags, ...quiet, `--user-data-dir=${profile}`, `http://127.0.0.1:${port}${pathOf(0)}`];
  // A group of its own: the browser is many processes, and all of them end with it.
  const browser = spawn(chromium, args, { detached: true, stdio: ['ignore', 'ignore', 'pipe'] });
  const kill = () =>
    void (browser.pid !== undefined && browser.exitCode === null && process.kill(-browser.pid, 'SIGKILL'));
  process.once('exit', kill);
  let said = '';
  browser.stderr.setEncoding('utf8').on('data', (text) => {
    said = (said + text).slice(-2000);
  });
  const ended = new Promise<void>((resolve) => {
    browser.on('close', (code) => {
      finish(new Error(`${chromium} ended with ${code}: ${said}`));
      resolve();
    });
    browser.on('error', finish);
  });
  const alarm = setTimeout(() => {
    finish(new Error(`${results.length} of ${cases.length} pages have answered in ${timeout} ms: ${said}`));
  }, timeout);
  try {
    await finished;
    return results;
  } finally {
    clearTimeout(alarm);
    process.off('exit', kill);
    kill();
    if (browser.pid !== undefined) await ended;
    server.closeAllConnections();
    server.close();
    rmSync(profile, { recursive: true, force: true, maxRetries: 5 });
  }
}

/** A page that runs the script itself or starts a worker that does. */
function html({ worker }: PageCase, url: string): string {
  const script = url.replace('/page', SCRIPT).replaceAll('&', '&amp;');
  if (!worker) return `<!doctype html><script type="module" src="${script}"></script>`;
  return `<!doctype html><script>
const worker = new Worker('${SCRIPT}' + location.search, { type: 'module' });
worker.onmessage = ({ data }) => location.assign(data);
</script>`;
}

async function textOf(request: IncomingMessage): Promise<string> {
  let text = '';
  for await (const chunk of request.setEncoding('utf8')) text += chunk;
  return text;
}
