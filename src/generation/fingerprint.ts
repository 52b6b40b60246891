/** What an answer depends on besides prompt, settings and seed, as a short text: software, processor, precision and weights. */
import type { Engine } from './engine.ts';

const VERSION = '1';
const known = new WeakMap<Engine, Promise<string>>();

/** The same for the same build, instruction set, precision and weights: equal ones promise equal answers. */
export function fingerprintOf(engine: Engine): Promise<string> {
  let fingerprint = known.get(engine);
  if (!fingerprint) {
    fingerprint = compute(engine);
    known.set(engine, fingerprint);
  }
  return fingerprint;
}

async function compute({ model, backend, precision }: Engine): Promise<string> {
  const { name, variant } = backend.info;
  const hash = new Hash();
  hash.text(
    JSON.stringify(model.config, (_, value) => (ArrayBuffer.isView(value) ? Array.from(value as Float32Array) : value)),
  );
  for (const [parameter, { dtype, shape, buffer }] of model.parameters) {
    hash.text(`${parameter} ${dtype} ${shape.join()}`);
    // A few bytes of each tell models apart; reading all would cost more than an answer.
    const size = Math.min(SAMPLE, buffer.byteLength);
    for (const part of [0, 1, 2]) {
      hash.bytes(await backend.read(buffer, Math.floor(((buffer.byteLength - size) * part) / 2), size));
    }
  }
  return `ink${VERSION}-${name}-${variant.replaceAll(/\W+/g, '_')}-${precision}-${hash.digest()}`;
}

const SAMPLE = 64;

/** FNV-1a over 32 bits, twice with different starts: names, not secrets. */
export class Hash {
  private a = 0x811c9dc5;
  private b = 0x01000193;

  bytes(bytes: Uint8Array): void {
    for (const byte of bytes) {
      this.a = Math.imul(this.a ^ byte, 0x01000193) >>> 0;
      this.b = Math.imul(this.b ^ byte, 0x85ebca6b) >>> 0;
    }
  }

  text(text: string): void {
    this.bytes(new TextEncoder().encode(text));
  }

  digest(): string {
    return [this.a, this.b].map((part) => part.toString(16).padStart(8, '0')).join('');
  }
}
