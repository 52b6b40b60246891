/** The cache is one with Python's huggingface_hub: each reads what the other fetched. */
import { execFile, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { hubSettings } from '../src/node/hub_settings.ts';
import { pullModel, resolveModel } from '../src/node/models.ts';
import { startHub, type TestHub } from './hub_server.ts';

const hasLibrary = spawnSync('python3', ['-c', 'import huggingface_hub']).status === 0;
const FILES = {
  'config.json': Buffer.from('{}'),
  'tokenizer.json': Buffer.from('{"a":1}'),
  'model.safetensors': randomBytes(50_000),
};
const run = promisify(execFile);
let home: string;
let hub: TestHub;

beforeEach(async () => {
  home = mkdtempSync(join(tmpdir(), 'inkstone-python-'));
  hub = await startHub('org/tiny', FILES);
});

afterEach(async () => {
  await hub.close();
  rmSync(home, { recursive: true, force: true });
});

const python = async (code: string, env: Record<string, string> = {}): Promise<string> => {
  const places = { HF_HOME: home, HF_ENDPOINT: hub.endpoint, HF_HUB_DISABLE_XET: '1', HF_HUB_DISABLE_TELEMETRY: '1' };
  return (await run('python3', ['-c', code], { env: { ...process.env, ...places, ...env } })).stdout.trim();
};

it.skipIf(!hasLibrary)('Python reads what Inkstone fetched (needs huggingface_hub)', async () => {
  const settings = hubSettings({ HF_HOME: home, HF_ENDPOINT: hub.endpoint });
  const { path } = await resolveModel('org/tiny', { settings });
  const found = await python(
    `
import json
from huggingface_hub import scan_cache_dir, try_to_load_from_cache, hf_hub_download
info = scan_cache_dir()
repo = list(info.repos)[0]
revision = list(repo.revisions)[0]
print(json.dumps([len(info.warnings), repo.repo_id, repo.size_on_disk, revision.commit_hash, sorted(revision.refs),
  sorted(f.file_name for f in revision.files), try_to_load_from_cache('org/tiny', 'config.json'),
  hf_hub_download('org/tiny', 'model.safetensors')]))`,
    { HF_HUB_OFFLINE: '1' },
  );
  const size = Object.values(FILES).reduce((sum, content) => sum + content.length, 0);
  const names = Object.keys(FILES).sort();
  const files = [join(path, 'config.json'), join(path, 'model.safetensors')];
  expect(JSON.parse(found)).toEqual([0, 'org/tiny', size, hub.commit, ['main'], names, ...files]);
});

it.skipIf(!hasLibrary)(
  'Inkstone reads what Python fetched, and fetches nothing again (needs huggingface_hub)',
  async () => {
    const names = JSON.stringify(Object.keys(FILES));
    await python(`
from huggingface_hub import hf_hub_download
for name in ${names}: hf_hub_download('org/tiny', name)`);
    const settings = hubSettings({ HF_HOME: home, HF_ENDPOINT: hub.endpoint });
    const location = await resolveModel('org/tiny', { settings, offline: true });
    expect(location).toMatchObject({ source: 'cache', kind: 'directory' });
    expect(readFileSync(join(location.path, 'model.safetensors')).equals(FILES['model.safetensors'])).toBe(true);
    const before = realpathSync(join(location.path, 'model.safetensors'));
    hub.seen.length = 0;
    await pullModel('org/tiny', { settings });
    expect(hub.seen.filter(({ host }) => host === 'storage')).toEqual([]);
    expect(realpathSync(join(location.path, 'model.safetensors'))).toBe(before);
  },
);
