import type { PrefixPath } from "../kv/prefix-index.ts";

/** What a request may share with others. */
export interface PrefixRights {
  /** Requests of different roots share nothing. */
  readonly root: string;
  /** True if it keeps the pages that it decodes, and finds those of others. */
  readonly reusesDecoded: boolean;
}

/** A request's way through the prefix index, and what it has found there. */
export class RequestPrefix implements PrefixPath {
  readonly root: string;
  /** Names the policy whose decoded pages it finds. */
  lineage: string | undefined;
  /** Times that it has started: more than one for a replay. */
  numStarts = 0;
  /** First pages with keys of prefill alone. */
  densePages = Number.POSITIVE_INFINITY;
  /** First tokens with the bits of any prefill: adopted ones, and those of aligned chunks. */
  exactTokens = 0;
  /** First pages that the index has. */
  keptPages = 0;
  /** First tokens that its leader computes for it. */
  followedTokens = 0;
  readonly #tokens: readonly number[];
  readonly #pageSize: number;
  /** Texts of pages so far. */
  readonly #edges: string[] = [];

  /** tokens: of the request; it may append to them */
  constructor(
    tokens: readonly number[],
    { pageSize, root, lineage }: { pageSize: number; root: string; lineage: string | undefined },
  ) {
    this.#tokens = tokens;
    this.#pageSize = pageSize;
    this.root = root;
    this.lineage = lineage;
  }

  edge(page: number): string {
    while (this.#edges.length <= page) {
      const from = this.#edges.length * this.#pageSize;
      this.#edges.push(this.#tokens.slice(from, from + this.#pageSize).join());
    }
    return this.#edges[page] as string;
  }
}
