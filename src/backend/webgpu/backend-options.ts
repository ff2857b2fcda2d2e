import type { CacheDtype } from "../backend.ts";
import type { Buffers } from "./buffers.ts";
import type { DeviceTraits } from "./device-traits.ts";
import type { DeviceWatch } from "./device-watch.ts";
import type { Tuning } from "./tuning.ts";

export interface WebGpuBackendOptions {
  readonly device: GPUDevice;
  /** True if others use the device too, so that it outlives the backend. */
  readonly isShared: boolean;
  /** The backend owns them from here on. */
  readonly buffers: Buffers;
  readonly watch: DeviceWatch;
  readonly description: string;
  readonly traits: DeviceTraits;
  readonly tuning: Tuning;
  /** Those of `tuning` that were chosen on this GPU. Absent: none were. */
  readonly chosen?: Partial<Tuning>;
  readonly cacheDtype: CacheDtype;
}
