export function prepareVulkan(): string | undefined;
export function hasRealGpu(): boolean;
export function hasSwiftShader(): boolean;
