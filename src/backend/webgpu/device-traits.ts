/** What the device can do, as far as kernels care. */
export interface DeviceTraits {
  /** 0 where there are no subgroups. */
  readonly minSubgroupSize: number;
  readonly maxSubgroupSize: number;
  readonly maxInvocations: number;
  /** Emulated on the CPU, where a barrier costs a turn of every invocation. */
  readonly isSoftware: boolean;
  readonly workgroupBytes: number;
  /** The largest buffer that one binding reaches. */
  readonly bindingBytes: number;
  readonly hasF16: boolean;
  /** A dispatch can bring 64 bytes along. */
  readonly hasImmediates: boolean;
  /** Storage buffers of a kernel. */
  readonly storageBuffers: number;
  /**
   * How one workgroup may wait for another of its dispatch: "ordered-launch" where those of lower numbers begin first, "ticketed"
   * where all that have begun go on to their end. Undefined where neither is known.
   */
  readonly forwardProgress: "ordered-launch" | "ticketed" | undefined;
  /** f16 × f16 to f32 at 16 × 16 × 16, by subgroups of 32. */
  readonly hasSubgroupMatrices: boolean;
}

/** The prelude that reduces over teams of `lanes` invocations; by subgroups where the device has them. */
export function reducePrelude(traits: DeviceTraits, lanes: number) {
  return traits.minSubgroupSize >= 4 && lanes >= traits.maxSubgroupSize
    ? "reduce-subgroups"
    : "reduce-shared";
}

export function scanPrelude(traits: DeviceTraits) {
  return traits.minSubgroupSize >= 4 ? "scan-subgroups" : "scan-shared";
}

/** Constants of those preludes. */
export function subgroupConstants({ minSubgroupSize, maxSubgroupSize }: DeviceTraits) {
  return {
    SUBGROUP: minSubgroupSize === maxSubgroupSize ? minSubgroupSize : 0,
    MIN_SUBGROUP: Math.max(4, minSubgroupSize),
  };
}

/** Invocations of a workgroup that works alone on a large problem. */
export function wideThreads(traits: DeviceTraits): number {
  if (traits.isSoftware) return 64;
  return traits.maxInvocations >= 1024 ? 1024 : 256;
}

/** Pairs of candidates.wgsl that fit workgroup memory beside `otherBytes` and the sums of the preludes. */
export function candidateSpace({ workgroupBytes }: DeviceTraits, otherBytes: number): number {
  const sumBytes = 6144; // a float and a vec4 for every four of 1024 invocations, and some more
  return 2 ** Math.floor(Math.log2((Math.min(workgroupBytes, 49152) - otherBytes - sumBytes) / 8));
}
