import type { PagePool } from "../kv/page-pool.ts";
import { PrefixIndex, type PrefixMatch } from "../kv/prefix-index.ts";
import type { ActiveRequest } from "./active-request.ts";
import { isUsableBy } from "./page-data.ts";
import { RequestPrefix } from "./request-prefix.ts";
import { CHUNK_ROWS } from "./share-rows.ts";

/** Minimum tokens for which a request waits for the prefill of another; it computes fewer in the time that it would wait. */
const MIN_FOLLOWED_TOKENS = 64;

/** Uses of the prefix index since the engine was opened, without those of replays. */
export interface PrefixCounts {
  /** Requests that looked for their prompts. */
  readonly queries: number;
  /** Requests that found a part. */
  readonly hits: number;
  /** Tokens that requests found. */
  readonly cachedTokens: number;
}

/** Lets requests share what prefill computed: finds pages for prompts, and keeps those of requests. */
export class PrefixReuse {
  readonly #pool: PagePool;
  readonly #index: PrefixIndex;
  /** Requests share multiples of so many tokens, which have the same bits in every chunk. */
  readonly #unit: number;
  readonly #prefixes = new WeakMap<ActiveRequest, RequestPrefix>();
  /** Names of policy values, whose equal settings may hide other functions. */
  readonly #lineages = new WeakMap<object, string>();
  #numLineages = 0;
  #queries = 0;
  #hits = 0;
  #cachedTokens = 0;

  constructor(pool: PagePool) {
    this.#pool = pool;
    this.#index = new PrefixIndex(pool);
    this.#unit = Math.max(pool.pageSize, CHUNK_ROWS);
  }

  get counts(): PrefixCounts {
    return { queries: this.#queries, hits: this.#hits, cachedTokens: this.#cachedTokens };
  }

  /** Pages that a waiting request takes, and those that it finds. Pages that it finds held by others take none. */
  demandOf(request: ActiveRequest): { readonly pages: number; readonly found: readonly number[] } {
    const found = this.#find(request).pages;
    let pages = this.#pool.pagesFor(request.firstCache);
    for (const page of found) if (this.#pool.holders(page) > 0) pages--;
    return { pages, found };
  }

  /**
   * Gives a request that starts, with an empty cache, the pages that hold its first tokens, and a leader.
   * older: the running requests
   */
  start(request: ActiveRequest, older: readonly ActiveRequest[]): void {
    const prefix = this.#prefixOf(request);
    const match = this.#find(request);
    const decoded = match.pages.length - match.numDense;
    prefix.numStarts++;
    prefix.keptPages = 0;
    prefix.densePages = decoded > 0 ? match.numDense : Number.POSITIVE_INFINITY;
    if (prefix.numStarts === 1) {
      this.#queries++;
      if (decoded > 0) request.note(decodedNote(decoded * this.#pool.pageSize, request));
      // a replay must not find decoded pages where there were none: other tokens would follow
      else prefix.lineage = undefined;
    }
    prefix.exactTokens = 0;
    this.#adopt(request, match.pages);
    this.#follow(request, older);
  }

  /**
   * Gives requests that follow another the pages that it has completed, and another leader, or none, if theirs does nothing more
   * for them. running: oldest first
   */
  advance(running: readonly ActiveRequest[]): void {
    for (let i = 0; i < running.length; i++) {
      const request = running[i] as ActiveRequest;
      if (!request.leader || request.isDone) continue;
      this.#adopt(request, this.#find(request).pages);
      const isDone = request.cachedTokens >= this.#prefixOf(request).followedTokens;
      if (isDone || !isPrefilling(request.leader)) this.#follow(request, running.slice(0, i));
    }
  }

  /** Keeps the pages that a prefill chunk of a request has filled. The step is recorded, and later ones come after it. */
  keepPrefilled(request: ActiveRequest, firstPosition: number, numRows: number): void {
    const { cache } = request;
    if (!cache) return;
    const prefix = this.#prefixOf(request);
    // a chunk elsewhere, or of fewer rows, may have other bits
    if (firstPosition !== prefix.exactTokens || firstPosition % CHUNK_ROWS !== 0 || numRows < CHUNK_ROWS)
      return;
    prefix.exactTokens = firstPosition + numRows;
    const count = this.#exactPages(prefix);
    if (count <= prefix.keptPages) return;
    prefix.keptPages = count;
    this.#keep(request, cache.pages.slice(0, count), this.#lineageOf(request));
  }

  /** Keeps the decoded pages of a request that is over, if it asked for that. It holds its pages still. */
  keepDecoded(request: ActiveRequest): void {
    const { cache, resolved, hasFailed, tokens } = request;
    if (!cache || hasFailed || !resolved.prefix.reusesDecoded) return;
    // a backend that runs ahead may have cached tokens past the end
    const count = Math.floor(Math.min(cache.length, tokens.length) / this.#pool.pageSize);
    this.#keep(request, cache.pages.slice(0, count), this.#lineageOf(request));
  }

  /** Full pages that a session of so many tokens has. */
  sessionPages(numTokens: number): number {
    return this.#floor(numTokens) / this.#pool.pageSize;
  }

  /** Finds the first `numPages` pages of a session. */
  matchSession(path: RequestPrefix, numPages: number, isUsable: (page: number) => boolean): PrefixMatch {
    return this.#index.match(path, numPages, isUsable);
  }

  /** Keeps the pages of a session, which the caller holds. */
  keepSession(path: RequestPrefix, match: PrefixMatch, isUsable: (page: number) => boolean): void {
    this.#index.keep(path, match, (page, known) => isUsable(page) && !isUsable(known));
  }

  /** Gives up all pages that nobody holds. */
  clear(): void {
    this.#index.clear();
  }

  #keep(request: ActiveRequest, pages: readonly number[], lineage: string | undefined): void {
    const { policy } = request.resolved;
    const prefix = this.#prefixOf(request);
    const numDense = Math.min(pages.length, prefix.densePages, this.#exactPages(prefix));
    const kept = lineage === undefined ? pages.slice(0, numDense) : pages;
    const isUsable = (page: number) => isUsableBy(policy, this.#pool, page);
    this.#index.keep(
      { root: prefix.root, edge: (page) => prefix.edge(page), lineage },
      { pages: kept, numDense },
      (page, known) => isUsable(page) && !isUsable(known),
    );
  }

  /** Full pages that have the bits of any prefill. */
  #exactPages({ exactTokens }: RequestPrefix): number {
    return (Math.floor(exactTokens / this.#unit) * this.#unit) / this.#pool.pageSize;
  }

  /** Finds the pages of a request's first tokens; leaves it enough of its prompt to compute. */
  #find(request: ActiveRequest): PrefixMatch {
    const { pageSize } = this.#pool;
    const { policy } = request.resolved;
    const limit = this.#floor(request.promptTokens - CHUNK_ROWS);
    const isUsable = (page: number) => isUsableBy(policy, this.#pool, page);
    const { pages, numDense } = this.#index.match(this.#prefixOf(request), limit / pageSize, isUsable);
    const count = this.#floor(pages.length * pageSize) / pageSize;
    return { pages: pages.slice(0, count), numDense: Math.min(numDense, count) };
  }

  #floor(tokens: number): number {
    return Math.floor(Math.max(0, tokens) / this.#unit) * this.#unit;
  }

  #adopt(request: ActiveRequest, pages: readonly number[]): void {
    const before = request.cachedTokens;
    const tokens = pages.length * this.#pool.pageSize;
    if (tokens <= before || !request.cache) return;
    request.cache.adopt(pages);
    const prefix = this.#prefixOf(request);
    prefix.exactTokens = tokens;
    prefix.keptPages = pages.length;
    if (prefix.numStarts > 1) return;
    if (request.reusedTokens === 0) this.#hits++;
    request.reusedTokens += tokens - before;
    this.#cachedTokens += tokens - before;
  }

  /** Chooses the older request that computes most of a request's prompt for it. */
  #follow(request: ActiveRequest, older: readonly ActiveRequest[]): void {
    const prefix = this.#prefixOf(request);
    request.leader = undefined;
    if (prefix.densePages < Number.POSITIVE_INFINITY) return;
    let most = request.cachedTokens + MIN_FOLLOWED_TOKENS;
    for (const other of older) {
      const shared = isPrefilling(other) ? this.#sharedTokens(request, other) : 0;
      if (shared < most) continue;
      request.leader = other;
      prefix.followedTokens = shared;
      most = shared + 1;
    }
  }

  /** First tokens of a request that another request's prefill computes. */
  #sharedTokens(request: ActiveRequest, other: ActiveRequest): number {
    const { root, densePages } = this.#prefixOf(other);
    const { gates } = request.resolved.policy;
    if (root !== this.#prefixOf(request).root || (gates && gates !== other.resolved.policy.gates)) return 0;
    const [own, others] = [request.resolved.prompt, other.resolved.prompt];
    const limit = Math.min(own.length - CHUNK_ROWS, others.length, densePages * this.#pool.pageSize);
    let length = 0;
    while (length < limit && own[length] === others[length]) length++;
    return this.#floor(length);
  }

  #prefixOf(request: ActiveRequest): RequestPrefix {
    const known = this.#prefixes.get(request);
    if (known) return known;
    const { root } = request.resolved.prefix;
    const lineage = this.#lineageOf(request);
    const prefix = new RequestPrefix(request.tokens, { root, lineage, pageSize: this.#pool.pageSize });
    this.#prefixes.set(request, prefix);
    return prefix;
  }

  /** Names the policy that decodes a request's tokens, if it keeps their pages. */
  #lineageOf({ resolved: { policyKey, prefix } }: ActiveRequest): string | undefined {
    if (!prefix.reusesDecoded) return undefined;
    if (typeof policyKey !== "object" || policyKey === null) return lineageOfSpec(String(policyKey));
    const known = this.#lineages.get(policyKey);
    if (known !== undefined) return known;
    const name = `value ${++this.#numLineages}`;
    this.#lineages.set(policyKey, name);
    return name;
  }
}

/** Names a policy that a spec names, by the key that equal specs share. */
export function lineageOfSpec(policyKey: string): string {
  return `spec ${policyKey}`;
}

/** True while a request computes its prompt, step after step. */
function isPrefilling({ isDone, isPaused, cache, cachedTokens, promptTokens }: ActiveRequest): boolean {
  return !isDone && !isPaused && cache !== undefined && cachedTokens < promptTokens;
}

function decodedNote(tokens: number, { resolved: { policy } }: ActiveRequest): string {
  return (
    `reuses ${tokens} cached tokens that depend on an earlier answer, decoded under ${policy.name}: with reusesDecoded a result ` +
    "depends on what ran before"
  );
}
