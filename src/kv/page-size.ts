/** Tokens of a page of the KV cache, unless an engine is opened with another size. */
export const DEFAULT_PAGE_SIZE = 16;
