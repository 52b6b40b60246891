import { createHash, randomBytes } from 'node:crypto';
import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { FileFormatError, InterruptedError, NotFoundError, SettingError } from '../src/errors.ts';
import {
  CATALOGUE,
  editDistance,
  type Fetch,
  HubClient,
  HubError,
  isComplete,
  isSafePath,
  nearestNames,
  type ProgressEvent,
  parseModelName,
  selectFiles,
} from '../src/hub/index.ts';
import { type HubSettings, hubSettings } from '../src/node/hub_settings.ts';
import { listModels, pullModel, type ResolveOptions, resolveModel } from '../src/node/models.ts';
import { gitSha1, startHub, type TestHub } from './hub_server.ts';

const ID = 'org/tiny';
const WEIGHTS = randomBytes(1 << 20);
const FILES = {
  'config.json': Buffer.from('{"model_type":"gpt2"}'),
  'tokenizer.json': Buffer.from('{}'),
  'additional_chat_templates/rag.jinja': Buffer.from('{{ x }}'),
  'model.safetensors': WEIGHTS,
  'onnx/model.onnx': randomBytes(2000),
  'README.md': Buffer.from('hello'),
};
const WANTED = ['additional_chat_templates/rag.jinja', 'config.json', 'model.safetensors', 'tokenizer.json'];

let folder: string;
let hub: TestHub;
let settings: HubSettings;
const retry = { attempts: 3, pause: 5 };

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'inkstone-hub-'));
  hub = await startHub(ID, FILES);
  settings = {
    ...hubSettings({ HF_HOME: folder, HF_ENDPOINT: hub.endpoint, INKSTONE_CACHE: join(folder, 'own') }),
    retry,
  };
});

afterEach(async () => {
  await hub.close();
  rmSync(folder, { recursive: true, force: true });
});

const options = (more: ResolveOptions = {}): ResolveOptions => ({
  settings,
  shipped: join(folder, 'shipped'),
  ...more,
});
const repository = (): string => join(folder, 'hub', 'models--org--tiny');
const snapshot = (): string => join(repository(), 'snapshots', hub.commit);
const blobOfWeights = (): string => join(repository(), 'blobs', createHash('sha256').update(WEIGHTS).digest('hex'));

async function failure<T extends Error>(
  work: Promise<unknown>,
  kind: abstract new (...args: never[]) => T,
): Promise<T> {
  const error: unknown = await work.then(
    () => new Error('nothing was refused'),
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(kind);
  return error as T;
}

describe('from the hub', () => {
  it('fetches what is needed into the layout that Python shares', async () => {
    const events: ProgressEvent[] = [];
    const location = await resolveModel(ID, options({ progress: (event) => void events.push(event) }));
    expect(location).toEqual({ name: ID, kind: 'directory', path: snapshot(), source: 'hub' });
    expect(readdirSync(snapshot(), { recursive: true }).sort()).toEqual(
      ['additional_chat_templates', ...WANTED].sort(),
    );
    expect(readFileSync(join(snapshot(), 'model.safetensors')).equals(WEIGHTS)).toBe(true);
    expect(readFileSync(join(repository(), 'refs', 'main'), 'utf8')).toBe(hub.commit);
    expect(lstatSync(join(snapshot(), 'config.json')).isSymbolicLink()).toBe(true);
    expect(readlinkSync(join(snapshot(), 'config.json'))).toBe(`../../blobs/${gitSha1(FILES['config.json'])}`);
    expect(readlinkSync(join(snapshot(), 'additional_chat_templates', 'rag.jinja'))).toMatch(
      /^\.\.\/\.\.\/\.\.\/blobs\//,
    );
    expect(readdirSync(join(repository(), 'blobs')).filter((name) => /incomplete|lock/.test(name))).toEqual([]);
    expect(
      events
        .filter((event) => event.finished)
        .map((event) => event.label)
        .sort(),
    ).toEqual(WANTED);
    expect(events.at(-1)).toEqual({ label: 'model.safetensors', done: 1 << 20, total: 1 << 20, finished: true });
  });

  it('then needs no network', async () => {
    await resolveModel(ID, options());
    hub.seen.length = 0;
    expect(await resolveModel(ID, options())).toMatchObject({ source: 'cache', path: snapshot() });
    expect(await resolveModel(ID, options({ offline: true }))).toMatchObject({ source: 'cache' });
    expect(await resolveModel(`${ID}@${hub.commit}`, options())).toMatchObject({ source: 'cache' });
    expect(hub.seen).toEqual([]);
    await pullModel(ID, options());
    expect(hub.seen.some(({ method }) => method === 'GET')).toBe(true);
    expect(hub.seen.some(({ host }) => host === 'storage')).toBe(false);
  });

  it('takes one file by name', async () => {
    const location = await resolveModel(`hf://${ID}:README.md`, options());
    expect(location).toMatchObject({ kind: 'file', path: join(snapshot(), 'README.md') });
    const error = await failure(resolveModel(`${ID}:REEDME.md`, options()), NotFoundError);
    expect(error.nearest).toContain('README.md');
  });

  it('does not take a part of a model for the whole', async () => {
    await resolveModel(`${ID}:config.json`, options());
    const error = await failure(resolveModel(ID, options({ offline: true })), NotFoundError);
    expect(error.tried.join()).toMatch(/not all of it/);
  });

  it('sends the token to the hub and never to its storage', async () => {
    hub.faults.token = 'hf_secret';
    await resolveModel(ID, options({ settings: { ...settings, token: 'hf_secret' } }));
    const storage = hub.seen.filter(({ host }) => host === 'storage');
    expect(storage.length).toBeGreaterThan(0);
    expect(storage.every(({ authorization }) => authorization === undefined)).toBe(true);
    expect(hub.seen.filter(({ host }) => host === 'hub').every((s) => s.authorization === 'Bearer hf_secret')).toBe(
      true,
    );
  });

  it('goes on after a connection that broke, from where it broke', async () => {
    hub.faults.cutAfter = [300_000, 200_000, 100_000, 50_000];
    await resolveModel(ID, options());
    expect(readFileSync(join(snapshot(), 'model.safetensors')).equals(WEIGHTS)).toBe(true);
    const ranges = hub.seen.flatMap(({ host, range }) => (host === 'storage' ? [range] : []));
    expect(ranges).toEqual([undefined, 'bytes=300000-', 'bytes=500000-', 'bytes=600000-', 'bytes=650000-']);
  });

  it('goes on after Ctrl-C, and leaves only what can be gone on from', async () => {
    hub.faults.slow = 5;
    const controller = new AbortController();
    const progress = ({ label, done }: ProgressEvent): void => {
      if (label === 'model.safetensors' && done > 200_000) controller.abort();
    };
    await failure(resolveModel(ID, options({ progress, signal: controller.signal })), InterruptedError);
    expect(existsSync(blobOfWeights())).toBe(false);
    expect(lstatSync(`${blobOfWeights()}.incomplete`).size).toBeGreaterThan(200_000);
    expect(existsSync(join(snapshot(), 'model.safetensors'))).toBe(false);
    expect(existsSync(join(repository(), 'refs'))).toBe(false);
    expect(readdirSync(join(folder, 'hub', '.locks', 'models--org--tiny'))).toEqual([]);
    hub.faults.slow = 0;
    hub.seen.length = 0;
    await resolveModel(ID, options());
    expect(hub.seen.find(({ host }) => host === 'storage')?.range).toMatch(/^bytes=\d{6}-$/);
    expect(readFileSync(join(snapshot(), 'model.safetensors')).equals(WEIGHTS)).toBe(true);
  });

  it('starts over when the server knows no ranges, or the incomplete file is too long or whole', async () => {
    const incomplete = `${blobOfWeights()}.incomplete`;
    mkdirSync(join(repository(), 'blobs'), { recursive: true });
    hub.faults.ignoreRange = true;
    writeFileSync(incomplete, WEIGHTS.subarray(0, 1000));
    await resolveModel(ID, options());
    hub.faults.ignoreRange = false;
    for (const left of [Buffer.concat([WEIGHTS, WEIGHTS]), WEIGHTS]) {
      rmSync(blobOfWeights());
      writeFileSync(incomplete, left);
      await pullModel(ID, options());
      expect(readFileSync(join(snapshot(), 'model.safetensors')).equals(WEIGHTS)).toBe(true);
    }
  });

  it('fetches again what arrives damaged, once', async () => {
    hub.faults.corrupt = 1;
    await resolveModel(ID, options());
    expect(readFileSync(join(snapshot(), 'model.safetensors')).equals(WEIGHTS)).toBe(true);
  });

  it('fetches again when what an earlier run left is damaged', async () => {
    mkdirSync(join(repository(), 'blobs'), { recursive: true });
    writeFileSync(`${blobOfWeights()}.incomplete`, randomBytes(5000));
    await resolveModel(ID, options());
    expect(readFileSync(join(snapshot(), 'model.safetensors')).equals(WEIGHTS)).toBe(true);
  });

  it('keeps nothing that stays damaged', async () => {
    hub.faults.corrupt = 99;
    const error = await failure(resolveModel(ID, options()), NotFoundError);
    expect(error.message).toMatch(/the checksum is [0-9a-f]{64}, not/);
    expect(readdirSync(join(repository(), 'blobs')).filter((name) => name.includes('incomplete'))).toEqual([]);
    expect(existsSync(blobOfWeights())).toBe(false);
  });

  it('tries again after 500, 429 and 503', async () => {
    hub.faults.status.set(`/api/models/${ID}/revision/main`, [500, 429]);
    hub.faults.status.set(`/${ID}/resolve/${hub.commit}/config.json`, [503]);
    await resolveModel(ID, options());
    hub.faults.status.set(`/api/models/${ID}/revision/main`, [500, 500, 500, 500]);
    expect((await failure(resolveModel('org/tiny@main:README.md', options()), NotFoundError)).message).toMatch(
      /answered 500/,
    );
  });

  it('says why when the hub refuses', async () => {
    hub.faults.gated = true;
    expect((await failure(resolveModel(ID, options()), NotFoundError)).message).toMatch(
      /asks for consent \(403\).*HF_TOKEN/,
    );
    hub.faults.gated = false;
    hub.faults.token = 'other';
    expect((await failure(resolveModel(ID, options()), NotFoundError)).message).toMatch(
      /HF_TOKEN must be set.*\(401\)/,
    );
    hub.faults.token = undefined;
    expect((await failure(resolveModel('org/absent', options()), NotFoundError)).message).toMatch(/not on .*\(404\)/);
    const before = hub.seen.length;
    await failure(resolveModel('org/absent', options()), NotFoundError);
    expect(hub.seen.length).toBe(before + 1);
  });

  it('says each place that was tried when there is no network', async () => {
    await hub.close();
    const error = await failure(resolveModel(ID, options()), NotFoundError);
    expect(error.tried).toHaveLength(3);
    expect(error.tried[2]).toMatch(/^the hub http:.*cannot be reached.*ECONNREFUSED/);
    expect(error.message).not.toMatch(/\n\s+at /);
    hub = await startHub(ID, FILES);
  });

  it('asks nobody in offline mode', async () => {
    const offline = { ...settings, ...pick(hubSettings({ HF_HUB_OFFLINE: '1' })) };
    const error = await failure(resolveModel('gpt2', options({ settings: offline })), NotFoundError);
    expect(error.tried.at(-1)).toMatch(/offline/);
    expect(hub.seen).toEqual([]);
  });

  it('fetches a blob once when two ask for it at a time', async () => {
    hub.faults.slow = 5;
    await Promise.all([resolveModel(ID, options()), resolveModel(ID, options())]);
    expect(hub.seen.filter(({ host }) => host === 'storage')).toHaveLength(1);
  });

  it('takes over the lock of a process that died', async () => {
    const locks = join(folder, 'hub', '.locks', 'models--org--tiny');
    mkdirSync(locks, { recursive: true });
    const lock = join(locks, `${gitSha1(FILES['config.json'])}.inkstone.lock`);
    writeFileSync(lock, 'whoever');
    utimesSync(lock, 1, 1);
    await resolveModel(ID, options());
    expect(existsSync(lock)).toBe(false);
  });

  it('refuses what is no hub', async () => {
    const answer = (body: string, init?: ResponseInit): HubSettings => ({
      ...settings,
      fetch: async () => new Response(body, init),
    });
    for (const body of ['<html>', '{}', '{"sha":"../../x","siblings":[]}', 'null']) {
      const error = await failure(resolveModel(ID, options({ settings: answer(body) })), NotFoundError);
      expect(error.message).toMatch(/not JSON|not that of a model hub/);
    }
    const endless = answer('', { status: 302, headers: { location: '/again' } });
    expect((await failure(resolveModel(ID, options({ settings: endless })), NotFoundError)).message).toMatch(
      /redirects/,
    );
    const elsewhere = answer('', { status: 302, headers: { location: 'file:///etc/passwd' } });
    expect((await failure(resolveModel(ID, options({ settings: elsewhere })), NotFoundError)).message).toMatch(
      /redirects to file:/,
    );
  });

  it('stops at once on Ctrl-C while a server answers nothing', async () => {
    const silent: HubSettings = {
      ...settings,
      retry: { attempts: 1, pause: 1 },
      fetch: (_url, init) =>
        new Promise((_resolve, reject) => init.signal?.addEventListener('abort', () => reject(init.signal?.reason))),
    };
    const controller = new AbortController();
    setTimeout(() => controller.abort(), 50);
    await failure(resolveModel(ID, options({ settings: silent, signal: controller.signal })), InterruptedError);
  });
});

describe('a server that falls silent', () => {
  const client = (fetch: Fetch): HubClient =>
    new HubClient({ endpoint: 'http://hub.test', fetch, timeout: 40, retry: { attempts: 2, pause: 1 } });

  it('counts as out of reach before its answer', async () => {
    let calls = 0;
    const silent = client((_url, init) => {
      calls++;
      return new Promise((_resolve, reject) =>
        init.signal?.addEventListener('abort', () => reject(init.signal?.reason)),
      );
    });
    const error = await failure(silent.list(ID, 'main'), HubError);
    expect(error).toMatchObject({ failure: 'unreachable', message: expect.stringMatching(/no answer for 40 ms/) });
    expect(calls).toBe(2);
  });

  it('and in the middle of a file', async () => {
    const stalls = client(async (_url, init) => {
      const body = new ReadableStream<Uint8Array>({
        start(controller) {
          controller.enqueue(new Uint8Array(3));
          init.signal?.addEventListener('abort', () => controller.error(init.signal?.reason));
        },
      });
      return new Response(body);
    });
    const file = { id: ID, path: 'x', commit: 'c0ffee0', etag: 'a'.repeat(64), size: 9 };
    const { chunks } = await stalls.open(file, 0);
    const received: number[] = [];
    const read = (async () => {
      for await (const chunk of chunks) received.push(chunk.length);
    })();
    expect((await failure(read, HubError)).message).toMatch(/no data for 40 ms/);
    expect(received).toEqual([3]);
  });
});

const pick = ({ isOffline }: HubSettings): { isOffline: boolean } => ({ isOffline });

describe('on this machine', () => {
  it('prefers what ships, then a path', async () => {
    const shipped = join(folder, 'shipped', 'gpt2');
    mkdirSync(shipped, { recursive: true });
    writeFileSync(join(shipped, 'config.json'), '{}');
    expect(await resolveModel('gpt2', options())).toMatchObject({
      source: 'shipped',
      kind: 'directory',
      path: shipped,
    });
    const file = join(folder, 'm.gguf');
    writeFileSync(file, 'x');
    expect(await resolveModel(file, options())).toMatchObject({ source: 'path', kind: 'file', path: file });
    const error = await failure(resolveModel(join(folder, 'n.gguf'), options()), NotFoundError);
    expect(error.nearest).toContain(file);
    expect(hub.seen).toEqual([]);
  });

  it('lists what is there and what there could be', async () => {
    await resolveModel(ID, options());
    const models = listModels(options());
    const tiny = models.find(({ name }) => name === ID);
    const bytes = WANTED.reduce((sum, path) => sum + FILES[path as keyof typeof FILES].length, 0);
    expect(tiny).toEqual({ name: ID, hub: ID, licence: 'see its card', bytes, installed: snapshot() });
    expect(models.filter(({ installed }) => installed === null).map(({ name }) => name)).toEqual(
      CATALOGUE.map(({ name }) => name),
    );
  });

  it('offers the names that may be meant', async () => {
    const error = await failure(resolveModel('gtp2-medium', options()), NotFoundError);
    expect(error.nearest[0]).toBe('gpt2-medium');
    expect(error.message).toMatch(/Did you mean gpt2-medium/);
    expect(hub.seen).toEqual([]);
  });
});

describe('names', () => {
  it('are read in every form', () => {
    expect(parseModelName('GPT2')).toMatchObject({ hub: { id: 'openai-community/gpt2' }, entry: { name: 'gpt2' } });
    expect(parseModelName('a/b').hub).toEqual({ id: 'a/b' });
    expect(parseModelName('a/b@v1:x/y.gguf').hub).toEqual({ id: 'a/b', revision: 'v1', file: 'x/y.gguf' });
    expect(parseModelName('hf://a/b').hub).toEqual({ id: 'a/b' });
    expect(parseModelName('https://huggingface.co/a/b/').hub).toEqual({ id: 'a/b' });
    expect(parseModelName('nothing-such')).toEqual({});
    expect(parseModelName('a/b/c')).toEqual({});
    for (const name of ['hf://a', 'a/b:../c', 'a/b@../../x', 'a/b:/etc/passwd', 'hf://a/b..c']) {
      expect(() => parseModelName(name).hub ?? unreadable(), name).toThrow();
    }
    expect(() => parseModelName('a/b:../c')).toThrow(SettingError);
  });

  it('are safe as paths or refused', () => {
    for (const path of ['a', 'a/b.c', 'refs/pr/1']) expect(isSafePath(path), path).toBe(true);
    for (const path of ['', '/a', 'a/', '../a', 'a/../b', 'a\\b', 'C:a', 'a\0', './a', 'a./b', 'a//b']) {
      expect(isSafePath(path), path).toBe(false);
    }
  });

  it('have a distance', () => {
    expect(editDistance('kitten', 'sitting')).toBe(3);
    expect(editDistance('', 'abc')).toBe(3);
    expect(
      nearestNames(
        'qwen-0.5b',
        CATALOGUE.map(({ name }) => name),
      )[0],
    ).toMatch(/^qwen2\.5-0\.5b/);
    expect(nearestNames('zzzzzzzzzz', ['gpt2'])).toEqual([]);
  });

  it('of the catalogue are unique and point to a hub id', () => {
    expect(new Set(CATALOGUE.map(({ name }) => name)).size).toBe(CATALOGUE.length);
    for (const { hub: id, bytes, wheel } of CATALOGUE) {
      expect(parseModelName(id).hub).toEqual({ id });
      expect(bytes).toBeGreaterThan(1e7);
      if (wheel) expect(wheel.parts.reduce((sum, part) => sum + part.bytes, 0)).toBe(wheel.bytes);
    }
  });
});

describe('the files of a model', () => {
  it('are the best of those there are', () => {
    const shards = ['model-00001-of-00002.safetensors', 'model-00002-of-00002.safetensors'];
    expect(
      selectFiles([
        'config.json',
        ...shards,
        'model.safetensors.index.json',
        'pytorch_model.bin',
        'consolidated.safetensors',
      ]),
    ).toEqual({
      kind: 'files',
      files: ['config.json', 'model.safetensors.index.json', ...shards],
    });
    expect(selectFiles(['config.json', 'pytorch_model.bin', 'tf_model.h5'])).toMatchObject({
      files: ['config.json', 'pytorch_model.bin'],
    });
    expect(selectFiles(['a.gguf'])).toEqual({ kind: 'files', files: ['a.gguf'] });
    expect(selectFiles(['a.gguf', 'b.gguf', 'mmproj-a.gguf'])).toEqual({ kind: 'choose', among: ['a.gguf', 'b.gguf'] });
    expect(selectFiles(['x.onnx'])).toEqual({ kind: 'none' });
  });

  it('are all there or not', () => {
    expect(isComplete(['config.json', 'model.safetensors'], null)).toBe(true);
    expect(isComplete(['model.safetensors'], null)).toBe(false);
    const index = ['config.json', 'model.safetensors.index.json', 'model-00001-of-00002.safetensors'];
    expect(isComplete(index, ['model-00001-of-00002.safetensors', 'model-00002-of-00002.safetensors'])).toBe(false);
    expect(isComplete(index, ['model-00001-of-00002.safetensors'])).toBe(true);
    expect(isComplete(index, null)).toBe(false);
  });
});

describe('the environment', () => {
  it('has the names that Python’s library reads', () => {
    writeFileSync(join(folder, 'token'), 'hf_file\n');
    expect(hubSettings({ HF_HOME: folder })).toMatchObject({
      cache: join(folder, 'hub'),
      token: 'hf_file',
      isOffline: false,
    });
    expect(hubSettings({ HF_HOME: folder, HF_TOKEN: 'hf_env', HF_HUB_CACHE: '/c' })).toMatchObject({
      cache: '/c',
      token: 'hf_env',
    });
    expect(hubSettings({ HF_HOME: folder, HF_HUB_DISABLE_IMPLICIT_TOKEN: '1' }).token).toBeUndefined();
    expect(hubSettings({ XDG_CACHE_HOME: '/x' }).cache).toBe(join('/x', 'huggingface', 'hub'));
    expect(hubSettings({ HF_HUB_OFFLINE: 'true' }).isOffline).toBe(true);
    expect(() => hubSettings({ HF_ENDPOINT: 'nonsense' })).toThrow(/HF_ENDPOINT = "nonsense"/);
  });
});

function unreadable(): never {
  throw new FileFormatError('', '', 'unreadable');
}
