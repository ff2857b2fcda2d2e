export function prepareVulkan(): string | undefined;
