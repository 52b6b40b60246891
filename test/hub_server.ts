/** A model hub and its storage on two ports of this machine, with the faults that a test asks for. */
import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface Seen {
  readonly host: 'hub' | 'storage';
  readonly method: string;
  readonly url: string;
  readonly authorization?: string;
  readonly range?: string;
}

export interface Faults {
  /** Answers to give before the true one, by path: each is used once. */
  status: Map<string, number[]>;
  /** Break the connection after so many bytes of a body, once each. */
  cutAfter: number[];
  /** Send other bytes, so many times. */
  corrupt: number;
  /** Ignore Range and send everything. */
  ignoreRange: boolean;
  /** Wait so long between the pieces of a body, in milliseconds. */
  slow: number;
  /** Needs this token. */
  token?: string;
  gated: boolean;
}

export interface TestHub {
  readonly endpoint: string;
  readonly seen: Seen[];
  readonly faults: Faults;
  readonly commit: string;
  close(): Promise<void>;
}

const sha256 = (content: Buffer): string => createHash('sha256').update(content).digest('hex');
export const gitSha1 = (content: Buffer): string =>
  createHash('sha1').update(`blob ${content.length}\0`).update(content).digest('hex');

/** Serves `files` as the model `id`; those of 1,000 bytes and more lie in the storage, as large files do. */
export async function startHub(id: string, files: Readonly<Record<string, Buffer>>): Promise<TestHub> {
  const commit = 'c0ffee'.repeat(7).slice(0, 40);
  const seen: Seen[] = [];
  const faults: Faults = { status: new Map(), cutAfter: [], corrupt: 0, ignoreRange: false, slow: 0, gated: false };
  const note = (host: Seen['host'], request: IncomingMessage): void => {
    const { method = '', url = '', headers } = request;
    seen.push({ host, method, url, authorization: headers.authorization, range: headers.range });
  };

  const storage = await listen(async (request, response) => {
    note('storage', request);
    const content = files[decodeURIComponent((request.url ?? '').slice(1))];
    await sendBody(request, response, content, faults);
  });

  const hub = await listen(async (request, response) => {
    note('hub', request);
    const url = decodeURIComponent(request.url ?? '');
    const status = faults.status.get(url)?.shift();
    if (status !== undefined) return void response.writeHead(status).end();
    if (faults.gated) return void response.writeHead(403, { 'x-error-code': 'GatedRepo' }).end();
    if (faults.token && request.headers.authorization !== `Bearer ${faults.token}`)
      return void response.writeHead(401).end();
    if (url === `/api/models/${id}/revision/main`) {
      const siblings = Object.keys(files).map((rfilename) => ({ rfilename }));
      return void response.end(JSON.stringify({ sha: commit, siblings: [...siblings, { rfilename: '../../evil' }] }));
    }
    const path = /^\/org\/[^/]+\/resolve\/(?:main|[0-9a-f]{40})\/(.+)$/.exec(url)?.[1] ?? '';
    const content = files[path];
    if (!content) return void response.writeHead(404).end();
    if (content.length < 1000) {
      const headers = { etag: `"${gitSha1(content)}"`, 'content-length': content.length, 'x-repo-commit': commit };
      if (request.method === 'HEAD') return void response.writeHead(200, headers).end();
      return void response.writeHead(200, headers).end(content);
    }
    response.writeHead(302, {
      location: `${origin(storage)}/${encodeURIComponent(path)}`,
      'x-linked-etag': `"${sha256(content)}"`,
      'x-linked-size': content.length,
      'x-repo-commit': commit,
      etag: '"of-the-redirect"',
    });
    response.end();
  });

  const close = async (): Promise<void> => {
    for (const server of [hub, storage]) {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    }
  };
  return { endpoint: origin(hub), seen, faults, commit, close };
}

async function sendBody(
  request: IncomingMessage,
  response: ServerResponse,
  content: Buffer,
  faults: Faults,
): Promise<void> {
  const from = faults.ignoreRange ? 0 : Number(/^bytes=(\d+)-/.exec(request.headers.range ?? '')?.[1] ?? 0);
  if (from >= content.length) return void response.writeHead(416).end();
  let body = content.subarray(from);
  if (faults.corrupt > 0) {
    faults.corrupt--;
    body = Buffer.from(body.map((byte) => byte ^ 1));
  }
  const range = { 'content-range': `bytes ${from}-${content.length - 1}/${content.length}` };
  response.writeHead(from > 0 ? 206 : 200, { 'content-length': body.length, ...(from > 0 ? range : {}) });
  const cut = faults.cutAfter.shift();
  if (cut !== undefined) {
    response.write(body.subarray(0, cut), () => setTimeout(() => response.destroy(), 20));
    return;
  }
  const piece = 64 << 10;
  for (let at = 0; at < body.length && !response.destroyed; at += piece) {
    response.write(body.subarray(at, at + piece));
    if (faults.slow > 0) await new Promise((resolve) => setTimeout(resolve, faults.slow));
  }
  response.end();
}

function listen(
  handler: (request: IncomingMessage, response: ServerResponse) => void | Promise<void>,
): Promise<Server> {
  return new Promise((resolve) => {
    const server = createServer((request, response) => void handler(request, response));
    server.listen(0, '127.0.0.1', () => resolve(server));
  });
}

const origin = (server: Server): string => `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
