/** Sizes of a device's subgroup matrices of f16 × f16 to f32: left ones [m, k], right ones [k, n]; multiples of 8. */
export interface MatrixShape {
  readonly m: number;
  readonly n: number;
  readonly k: number;
}

/** Capabilities of a device that kernels depend on. */
export interface DeviceTraits {
  /** 0 on a device without subgroups. */
  readonly minSubgroupSize: number;
  readonly maxSubgroupSize: number;
  readonly maxInvocations: number;
  /** True for a software adapter, on which a barrier costs one turn of every invocation. */
  readonly isSoftware: boolean;
  readonly workgroupBytes: number;
  /** Maximum size of a binding. */
  readonly bindingBytes: number;
  readonly hasF16: boolean;
  /** True if WGSL has dot4I8Packed. */
  readonly hasPackedDot: boolean;
  /** True if a dispatch can pass 64 bytes of immediates. */
  readonly hasImmediates: boolean;
  /** Maximum storage buffers of a kernel. */
  readonly storageBuffers: number;
  /**
   * The forward-progress guarantee for a workgroup that waits for another of its dispatch: "ordered-launch" if workgroups
   * start in the order of their numbers, "ticketed" if every started workgroup runs to its end. undefined if neither is known.
   */
  readonly forwardProgress: "ordered-launch" | "ticketed" | undefined;
  /** Subgroup matrices that the kernels use, with subgroups of one size; undefined if the device has none. */
  readonly subgroupMatrix: MatrixShape | undefined;
}

/** The prelude that reduces over thread groups of `lanes` invocations: by subgroups if the device has them. */
export function reducePrelude(traits: DeviceTraits, lanes: number) {
  return traits.minSubgroupSize >= 4 && lanes >= traits.maxSubgroupSize
    ? "reduce-subgroups"
    : "reduce-shared";
}

export function scanPrelude(traits: DeviceTraits) {
  return traits.minSubgroupSize >= 4 ? "scan-subgroups" : "scan-shared";
}

/** Returns the constants of the reduce and scan preludes. */
export function subgroupConstants({ minSubgroupSize, maxSubgroupSize }: DeviceTraits) {
  return {
    SUBGROUP: minSubgroupSize === maxSubgroupSize ? minSubgroupSize : 0,
    MIN_SUBGROUP: Math.max(4, minSubgroupSize),
  };
}

/** Returns the invocations of a workgroup that computes a large problem alone. */
export function wideThreads(traits: DeviceTraits): number {
  if (traits.isSoftware) return 64;
  return traits.maxInvocations >= 1024 ? 1024 : 256;
}

/** Returns the pairs of candidates.wgsl that fit workgroup memory with `otherBytes` and the sums of the preludes. */
export function candidateSpace({ workgroupBytes }: DeviceTraits, otherBytes: number): number {
  const sumBytes = 6144; // a float and a vec4 for every four of 1024 invocations, and a margin
  return 2 ** Math.floor(Math.log2((Math.min(workgroupBytes, 49152) - otherBytes - sumBytes) / 8));
}
