/**
 * Adapters beside a model in an engine: each in a slot of stacked matrices, so that one step serves rows with different ones. Slot 0 changes
 * nothing. Ranks are padded with zeros to the largest, and scaling is part of B.
 */
import type { BackendBuffer } from '../backends/backend.ts';
import { SettingError } from '../errors.ts';
import {
  type Adapter,
  type AdapterSite,
  adapterParameters,
  layoutOfAdapter,
  type Model,
  siteWeight,
  weightSquares,
} from '../models/index.ts';
import type { AdapterSlots } from '../models/inference.ts';
import { fromFloat32 } from '../weights/index.ts';
import { Hash } from './fingerprint.ts';

/** An adapter that is there. */
interface Loaded {
  readonly slot: number;
  /** Tells its keys and values from those of any other, and of an earlier one of its name. */
  readonly key: number;
  readonly sites: ReadonlyMap<string, AdapterSite>;
  readonly values: ReadonlyMap<string, Float32Array>;
  /** By site, of DoRA: what each output is multiplied by. */
  readonly factors: ReadonlyMap<string, Float32Array>;
  /** A hash of its numbers, once somebody wants it. */
  print: string | null;
}

const RANK_STEP = 8;

export class AdapterBank {
  private readonly loaded = new Map<string, Loaded>();
  private keys = 0;
  private made: { readonly slots: AdapterSlots; readonly buffers: ReadonlyMap<string, BackendBuffer> } | null = null;

  /** @param dtype of the stacked matrices. */
  constructor(
    private readonly model: Model,
    private readonly dtype: AdapterSlots['dtype'],
  ) {}

  get names(): string[] {
    return [...this.loaded.keys()];
  }

  /**
   * Add an adapter, in the place of one of this name.
   * @throws FileFormatError for one that was made for another model; SettingError for one of the embedding or the head, which a step of many
   *   cannot have.
   */
  async set(name: string, adapter: Adapter): Promise<void> {
    const { config } = this.model;
    const layout = layoutOfAdapter(config, adapter);
    for (const site of ['embed', 'head']) {
      if (!layout.sites.has(site)) continue;
      const what = site === 'embed' ? 'embedding' : 'head';
      throw new SettingError('adapter', adapter.file, `changes the ${what}: merge it into the model (convert --merge)`);
    }
    const values = adapterParameters(layout, adapter);
    const squares = await weightSquares(this.model, layout);
    const factors = new Map<string, Float32Array>();
    if (layout.use_dora) {
      for (const site of layout.sites.values()) factors.set(site.site, await this.factor(site, values, squares));
    }
    const taken = new Set([...this.loaded].filter(([other]) => other !== name).map(([, { slot }]) => slot));
    let slot = this.loaded.get(name)?.slot ?? 1;
    while (taken.has(slot)) slot++;
    this.loaded.set(name, { slot, key: ++this.keys, sites: layout.sites, values, factors, print: null });
    try {
      this.place(slot);
    } catch (error) {
      // A value beyond float16: what stands in the slot is of no use.
      this.loaded.delete(name);
      throw error;
    }
  }

  delete(name: string): void {
    this.loaded.delete(name);
  }

  /** The slot of an adapter, 0 for none. @throws SettingError for one that is not there. */
  slotOf(name: string | null): number {
    return name === null ? 0 : this.find(name).slot;
  }

  /** What tells beginnings computed with it from others: 0 for none. @throws as `slotOf`. */
  keyOf(name: string | null): number {
    return name === null ? 0 : this.find(name).key;
  }

  /** A short text that is another for other numbers of an adapter. @throws as `slotOf`. */
  printOf(name: string): string {
    const found = this.find(name);
    if (found.print !== null) return found.print;
    const hash = new Hash();
    for (const [parameter, numbers] of found.values) {
      hash.text(`${parameter} ${numbers.length}`);
      hash.bytes(bytesOf(numbers));
    }
    for (const { site, scaling } of found.sites.values()) hash.text(`${site} ${scaling}`);
    found.print = hash.digest();
    return found.print;
  }

  /** What a plan with adapters is made for, and its buffers; null while there are none. */
  get slots(): AdapterSlots | null {
    return this.made?.slots ?? null;
  }

  get buffers(): Record<string, BackendBuffer> {
    return Object.fromEntries(this.made?.buffers ?? []);
  }

  private find(name: string): Loaded {
    const found = this.loaded.get(name);
    if (found) return found;
    const there = this.loaded.size > 0 ? `there are ${this.names.join(', ')}` : 'there are none';
    throw new SettingError('adapter', name, `is no adapter of this engine: ${there}`);
  }

  /** Write a slot where it fits what was made, else make all anew. */
  private place(slot: number): void {
    const sites = new Map<string, { a: string; inputs: number; outputs: number; hasFactor: boolean }>();
    let [rank, most] = [0, 0];
    for (const each of this.loaded.values()) {
      most = Math.max(most, each.slot);
      for (const { site, a, inputs, outputs, rank: r } of each.sites.values()) {
        rank = Math.max(rank, r);
        const hasFactor = each.factors.has(site) || (sites.get(site)?.hasFactor ?? false);
        sites.set(site, { a, inputs, outputs, hasFactor });
      }
    }
    rank = Math.ceil(rank / RANK_STEP) * RANK_STEP;
    const before = this.made?.slots;
    const fits =
      before &&
      most < before.count &&
      rank <= before.rank &&
      [...sites].every(([name, { hasFactor }]) => {
        const known = before.sites.get(name);
        return known && (known.hasFactor || !hasFactor);
      });
    if (fits) {
      this.write(slot);
      return;
    }
    let count = 2;
    while (count <= most) count *= 2;
    const slots: AdapterSlots = { count, rank, sites, dtype: this.dtype };
    const width = this.dtype === 'f16' ? 2 : 4;
    const buffers = new Map<string, BackendBuffer>();
    const { backend } = this.model;
    for (const [name, { a, inputs, outputs, hasFactor }] of sites) {
      const A = `adapters.A.${a}`;
      if (!buffers.has(A)) buffers.set(A, backend.allocate(width * count * rank * inputs));
      buffers.set(`adapters.B.${name}`, backend.allocate(width * count * outputs * rank));
      if (!hasFactor) continue;
      const ones = new Float32Array(count * outputs).fill(1);
      buffers.set(`adapters.factor.${name}`, backend.adopt(bytesOf(ones)));
    }
    this.made = { slots, buffers };
    for (const each of this.loaded.values()) this.write(each.slot);
  }

  /** The matrices of a slot, with zeros for what its adapter does not change. */
  private write(slot: number): void {
    const { slots, buffers } = this.made!;
    const { backend } = this.model;
    const { rank } = slots;
    const one = [...this.loaded.values()].find((each) => each.slot === slot);
    const put = (name: string, values: Float32Array, dtype = this.dtype) => {
      const bytes = fromFloat32(dtype, values);
      backend.write(buffers.get(name)!, slot * bytes.byteLength, bytes);
    };
    for (const [name, { a, inputs, outputs, hasFactor }] of slots.sites) {
      const site = one?.sites.get(name);
      const B = new Float32Array(outputs * rank);
      const A = new Float32Array(rank * inputs);
      if (one && site) {
        A.set(one.values.get(`lora.A.${a}`)!);
        const own = one.values.get(`lora.B.${name}`)!;
        for (let i = 0; i < outputs; i++)
          for (let r = 0; r < site.rank; r++) B[i * rank + r] = site.scaling * own[i * site.rank + r];
      }
      // Parts of a fused module share A: whichever of them an adapter has, it is the same.
      if (site || !one || ![...one.sites.values()].some((other) => other.a === a)) put(`adapters.A.${a}`, A);
      put(`adapters.B.${name}`, B);
      if (hasFactor) put(`adapters.factor.${name}`, one?.factors.get(name) ?? new Float32Array(outputs).fill(1), 'f32');
    }
  }

  /** DoRA's magnitude / |W + s B A| of each output (Liu et al. 2024). */
  private async factor(
    { site, a, rank, inputs, outputs, scaling }: AdapterSite,
    values: ReadonlyMap<string, Float32Array>,
    squares: ReadonlyMap<string, Float32Array>,
  ): Promise<Float32Array> {
    const W = await siteWeight(this.model, site);
    const [A, B] = [values.get(`lora.A.${a}`)!, values.get(`lora.B.${site}`)!];
    const magnitude = values.get(`lora.magnitude.${site}`)!;
    const own = squares.get(`lora.squares.${site}`)!;
    const row = new Float64Array(inputs);
    return Float32Array.from({ length: outputs }, (_, i) => {
      row.fill(0);
      for (let r = 0; r < rank; r++) {
        const b = scaling * B[i * rank + r];
        for (let k = 0; k < inputs; k++) row[k] += b * A[r * inputs + k];
      }
      let change = 0;
      for (let k = 0; k < inputs; k++) change += row[k] * (2 * W[i * inputs + k] + row[k]);
      return magnitude[i] / Math.sqrt(Math.max(1e-30, own[i] + change));
    });
  }
}

function bytesOf({ buffer, byteOffset, byteLength }: Float32Array): Uint8Array {
  return new Uint8Array(buffer, byteOffset, byteLength);
}
