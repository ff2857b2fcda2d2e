import type { BlockGates } from "../attention/block-gates.ts";
import type { Backend, BlockGate } from "../backend/backend.ts";
import { abortable, throwIfAborted } from "../base/abort.ts";
import { RequestError } from "../base/errors.ts";
import { yieldToEventLoop } from "../base/yield.ts";
import type { PagePool } from "../kv/page-pool.ts";
import type { PrefixMatch } from "../kv/prefix-index.ts";
import { SequenceCache } from "../kv/sequence-cache.ts";
import { oneSequence } from "../kv/sequence-group.ts";
import type { ResolvedRequest } from "./active-request.ts";
import type { EngineComponents } from "./engine-components.ts";
import { isUsableBy } from "./page-data.ts";
import { lineageOfSpec, type PrefixReuse } from "./prefix-reuse.ts";
import { RequestPrefix } from "./request-prefix.ts";
import { checkSessionBytes } from "./request-schema.ts";
import { prefixRoot } from "./resolve-request.ts";
import {
  type Bind,
  type ResolvedLoad,
  type ResolvedSession,
  resolveLoad,
  resolveSession,
} from "./resolve-session.ts";
import type { ScorerHost } from "./scoring.ts";
import type { LoadedSession, SavedSession, SessionOptions, SessionRequest } from "./session.ts";
import { createSessionFile, readSessionFile, type SessionArrays, type SessionSizes } from "./session-file.ts";

/** Of a model's folder or file: a session names no path of the machine that wrote it. */
function lastPart(name: string): string {
  return name.split(/[\\/]/).findLast((part) => part !== "") ?? name;
}

/** Bytes that are copied in a turn, so that requests go on between. */
const TURN_BYTES = 4 << 20;
/** Times that a conversation is computed while other requests take its pages meanwhile. */
const MAX_RUNS = 3;

interface SessionParts {
  readonly components: EngineComponents;
  readonly pool: PagePool;
  readonly prefix: PrefixReuse;
  readonly host: Pick<ScorerHost, "load" | "checkFits" | "reserve" | "turn">;
  readonly bind: Bind;
  /** Runs a request to its end. */
  run(request: ResolvedRequest): Promise<unknown>;
}

/** Saves and loads the pages of conversations. */
export class Sessions {
  readonly #parts: SessionParts;
  readonly #backend: Backend;

  constructor(parts: SessionParts) {
    this.#parts = parts;
    this.#backend = parts.components.backend;
  }

  /** @throws RequestError, OutOfPagesError, OutOfMemoryError, BackendError, AbortedError; of the policy's weights ModelFileError, ConfigError */
  async save(given: SessionRequest): Promise<SavedSession> {
    const { prefix, pool, host, components, bind } = this.#parts;
    const { request, ropeRanges } = resolveSession(given, components, bind);
    const { prompt, policy, policyKey, signal } = request;
    throwIfAborted(signal, "saveSession");
    const numPages = prefix.sessionPages(prompt.length);
    if (numPages === 0)
      throw new RequestError(
        `saveSession: the conversation has ${prompt.length} tokens, which fill no page of ${pool.pageSize}; there is nothing to save yet`,
      );
    const loading = host.load(policy);
    if (loading) await abortable(loading, signal, "saveSession");
    const isNamed = typeof policyKey === "string";
    const lineage = request.prefix.reusesDecoded && isNamed ? lineageOfSpec(policyKey) : undefined;
    const path = new RequestPrefix(prompt, { root: request.prefix.root, lineage, pageSize: pool.pageSize });
    const isUsable = (page: number) => isUsableBy(policy, pool, page);
    const find = () => prefix.matchSession(path, numPages, isUsable);
    for (let run = 0; run < MAX_RUNS && find().pages.length < numPages; run++)
      await this.#parts.run({
        ...request,
        prefix: { ...request.prefix, reusesDecoded: lineage !== undefined },
      });
    const { group, release } = host.reserve("saveSession", oneSequence(0));
    const held = new SequenceCache(pool);
    try {
      await abortable(group, signal, "saveSession");
      const match = find();
      held.adopt(match.pages);
      const notes = notesOfSave(request, { match, numPages, isNamed });
      return await this.#write({ request, ropeRanges, match, notes });
    } finally {
      held.release();
      release();
    }
  }

  async #write({
    request: { prompt, policy, policyKey, signal },
    ropeRanges,
    match: { pages, numDense },
    notes,
  }: ResolvedSession & {
    readonly match: PrefixMatch;
    readonly notes: readonly string[];
  }): Promise<SavedSession> {
    const { pool, host, components } = this.#parts;
    const backend = this.#backend;
    const { model } = components.origin;
    const { pageSize } = pool;
    const { gates } = policy;
    const [tokens, denseTokens] = [pages.length * pageSize, numDense * pageSize];
    const file = createSessionFile(
      {
        ...{
          model: model.fingerprint,
          modelName: lastPart(model.name),
          cacheDtype: backend.cacheDtype,
          pageSize,
        },
        ...{ ropeRanges, backend: backend.report().name, denseTokens },
        decodedUnder: tokens > denseTokens ? String(policyKey) : undefined,
        gate: gates?.fingerprint,
      },
      { ...this.#sizes, gate: gates && gateSizes(gates) },
      tokens,
    );
    const { arrays } = file;
    arrays.tokenIds.set(prompt.slice(0, tokens));
    const { cachePages } = backend;
    await this.#inTurns(pages.length, signal, "saveSession", (from, to) => {
      const kv = arrays.kv.subarray(from * cachePages.pageBytes, to * cachePages.pageBytes);
      return cachePages.read(pages.slice(from, to), kv);
    });
    if (gates) await host.turn(() => this.#readGates(gates, pages, arrays));
    return { bytes: file.finish(), tokens, decodedTokens: tokens - denseTokens, notes };
  }

  /**
   * @throws SessionError for a file that this engine cannot use; RequestError, OutOfPagesError, BackendError, AbortedError; of the policy's
   * weights ModelFileError, ConfigError
   */
  async load(bytes: Uint8Array, options: SessionOptions): Promise<LoadedSession> {
    const { pool, prefix, host, components, bind } = this.#parts;
    const backend = this.#backend;
    const { model } = components.origin;
    const call = resolveLoad(options, components, bind);
    const { policy, signal } = call;
    throwIfAborted(signal, "loadSession");
    const loading = host.load(policy);
    if (loading) await abortable(loading, signal, "loadSession");
    const { gates } = policy;
    const { cacheDtype, capacity } = backend;
    const file = readSessionFile(checkSessionBytes(bytes), {
      facts: {
        model: model.fingerprint,
        modelName: lastPart(model.name),
        cacheDtype,
        pageSize: pool.pageSize,
        numRopes: backend.model.numRopes,
      },
      sizes: this.#sizes,
      vocabSize: backend.model.vocabSize,
      maxTokens: capacity.maxSequenceLength,
      gateSizes: (fingerprint) => (gates?.fingerprint === fingerprint ? gateSizes(gates) : undefined),
    });
    const { facts, tokenIds } = file;
    const tokens = tokenIds.length;
    const numPages = tokens / pool.pageSize;
    const numDense = facts.denseTokens / pool.pageSize;
    const lineage = facts.decodedUnder === undefined ? undefined : lineageOfSpec(facts.decodedUnder);
    const root = prefixRoot(call.cacheSalt, facts.ropeRanges);
    const path = new RequestPrefix([...tokenIds], { root, lineage, pageSize: pool.pageSize });
    const kept = facts.gate === undefined ? undefined : gates;
    const isUsable = (page: number) => isUsableBy({ gates: kept }, pool, page);
    // without the lineage: pages that other sessions decoded stay theirs
    const dense = new RequestPrefix([...tokenIds], { root, lineage: undefined, pageSize: pool.pageSize });
    const find = () => prefix.matchSession(dense, numDense, isUsable).pages;
    host.checkFits("loadSession", oneSequence(tokens));
    // pages that are there may go while this waits for the others: then it takes pages for all
    for (let missing = numPages - find().length; ; missing = numPages) {
      const { group, release } = host.reserve("loadSession", oneSequence(missing * pool.pageSize));
      const held = new SequenceCache(pool);
      try {
        const [own] = (await abortable(group, signal, "loadSession")).fork();
        const known = find();
        if (!own || numPages - known.length > missing) continue;
        held.adopt(known);
        const pages = [...known, ...own.pages.slice(0, numPages - known.length)];
        await this.#fill(file, { pages, first: known.length, gates: kept, signal });
        prefix.keepSession(path, { pages, numDense }, isUsable);
        const notes = notesOfLoad(call, {
          ...facts,
          tokens,
          backend: facts.backend,
          own: backend.report().name,
        });
        return { tokens, decodedTokens: tokens - facts.denseTokens, notes };
      } finally {
        held.release();
        release();
      }
    }
  }

  /** Writes pages from index `first` on. */
  async #fill(
    arrays: SessionArrays,
    {
      pages,
      first,
      gates,
      signal,
    }: {
      readonly pages: readonly number[];
      readonly first: number;
      readonly gates: BlockGates | undefined;
      readonly signal: AbortSignal | undefined;
    },
  ): Promise<void> {
    const { pool, host } = this.#parts;
    const backend = this.#backend;
    const { cachePages } = backend;
    const { pageBytes } = cachePages;
    await this.#inTurns(pages.length - first, signal, "loadSession", (from, to) => {
      const [begin, end] = [first + from, first + to];
      cachePages.write(pages.slice(begin, end), arrays.kv.subarray(begin * pageBytes, end * pageBytes));
    });
    if (!gates) return;
    await host.turn(() => {
      const write = (tensor: BlockGate["pools"], page: number, data: Float32Array) =>
        backend.write(tensor, data, page * data.length);
      this.#eachGateRow(gates, pages, arrays, (tensor, page, row, index) => {
        if (index >= first) write(tensor, page, row);
      });
    });
    const data = pool.dataOf(gates);
    for (const page of pages.slice(first)) data.markValid(page, pool.pageSize);
  }

  async #readGates(gates: BlockGates, pages: readonly number[], arrays: SessionArrays): Promise<void> {
    const readback = this.#backend.readback();
    this.#eachGateRow(gates, pages, arrays, (tensor, page, row) =>
      readback.add(tensor, page * row.length, row),
    );
    await readback.arrive();
  }

  /** Calls `visit` with each tensor of a gate's data, each page, and the session's place for it. */
  #eachGateRow(
    gates: BlockGates,
    pages: readonly number[],
    { pools, blockKeys }: SessionArrays,
    visit: (tensor: BlockGate["pools"], page: number, row: Float32Array, index: number) => void,
  ): void {
    const { numKvHeads, headDim } = this.#backend.model;
    const [poolSize, keySize] = [numKvHeads * 3 * headDim, numKvHeads * gates.gateDim];
    let layer = 0;
    for (const gate of gates.layers) {
      if (!gate) continue;
      for (const [index, page] of pages.entries()) {
        const at = layer * pages.length + index;
        visit(gate.pools, page, pools.subarray(at * poolSize, (at + 1) * poolSize), index);
        visit(gate.blockKeys, page, blockKeys.subarray(at * keySize, (at + 1) * keySize), index);
      }
      layer++;
    }
  }

  get #sizes(): Omit<SessionSizes, "gate"> {
    const { pool } = this.#parts;
    const backend = this.#backend;
    const { numLayers, numKvHeads, headDim } = backend.model;
    return { numLayers, numKvHeads, headDim, cacheDtype: backend.cacheDtype, pageSize: pool.pageSize };
  }

  /** Copies pages a part at a time, in turns with requests. */
  async #inTurns(
    numPages: number,
    signal: AbortSignal | undefined,
    doing: string,
    copy: (from: number, to: number) => Promise<void> | void,
  ): Promise<void> {
    const { host } = this.#parts;
    const backend = this.#backend;
    const inTurn = Math.max(1, Math.floor(TURN_BYTES / backend.cachePages.pageBytes));
    for (let from = 0; from < numPages; from += inTurn) {
      throwIfAborted(signal, doing);
      await host.turn(() => copy(from, Math.min(numPages, from + inTurn)));
      await yieldToEventLoop();
    }
  }
}

function gateSizes({ layers, gateDim }: BlockGates): NonNullable<SessionSizes["gate"]> {
  return { numLayers: layers.filter((gate) => gate !== undefined).length, gateDim };
}

function notesOfSave(
  { prefix, policy }: ResolvedRequest,
  {
    match,
    numPages,
    isNamed,
  }: { readonly match: PrefixMatch; readonly numPages: number; readonly isNamed: boolean },
): readonly string[] {
  const notes: string[] = [];
  if (prefix.reusesDecoded && !isNamed)
    notes.push(
      `tokens decoded under ${policy.name} were computed again by prefill: the policy is a value, which a session cannot name; ` +
        "name it by a spec to save them",
    );
  if (match.pages.length < numPages)
    notes.push(
      `saved ${match.pages.length} of ${numPages} pages: other requests needed the others meanwhile; save again when fewer run`,
    );
  return notes;
}

function notesOfLoad(
  { policy, policyKey }: ResolvedLoad,
  {
    tokens,
    denseTokens,
    decodedUnder,
    gate,
    backend,
    own,
  }: {
    readonly tokens: number;
    readonly denseTokens: number;
    readonly decodedUnder?: string | undefined;
    readonly gate?: string | undefined;
    readonly backend: string;
    readonly own: string;
  },
): readonly string[] {
  const notes: string[] = [];
  if (policy.gates && gate === undefined)
    notes.push(
      `the session lacks the data of the gate of ${policy.name}: requests under it compute its ${tokens} tokens again`,
    );
  else if (decodedUnder !== undefined && decodedUnder !== policyKey)
    notes.push(
      `${tokens - denseTokens} tokens of the session were decoded under ${decodedUnder}: requests under ${policy.name} compute them again`,
    );
  if (backend !== own)
    notes.push(
      `the session was computed on the backend ${backend}, whose sums differ from those of ${own} in the last bits`,
    );
  return notes;
}
