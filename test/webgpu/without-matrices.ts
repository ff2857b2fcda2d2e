const FEATURE = "chromium-experimental-subgroup-matrix";

/** A GPU whose devices lack subgroup matrices, which round the factors of products to f16. */
export function withoutSubgroupMatrices(gpu: GPU): GPU {
  const requestAdapter: GPU["requestAdapter"] = async (options) => {
    const adapter = await gpu.requestAdapter(options);
    return adapter && new Proxy(adapter, { get: readAdapter });
  };
  return new Proxy(gpu, {
    get: (target, key) => (key === "requestAdapter" ? requestAdapter : readOf(target, key)),
  });
}

function readAdapter(target: GPUAdapter, key: string | symbol): unknown {
  if (key !== "features") return readOf(target, key);
  return new Set([...target.features].filter((feature: string) => feature !== FEATURE));
}

/** Native objects want to be the receiver of their own getters and methods. */
function readOf(target: object, key: string | symbol): unknown {
  const value: unknown = Reflect.get(target, key, target);
  return typeof value === "function" ? value.bind(target) : value;
}
