/** Default tokens of a page of the KV cache. */
export const DEFAULT_PAGE_SIZE = 16;
