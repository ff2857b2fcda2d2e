import type { PageKeeper, PagePool } from "./page-pool.ts";

/** The tokens of a sequence by page, and what else its keys and values depend on. */
export interface PrefixPath {
  /** Sequences of different roots share nothing. */
  readonly root: string;
  /** The tokens of a page, as a text of digits and commas. */
  edge(page: number): string;
  /** Names the policy whose decoded pages it may share. Absent: none. */
  readonly lineage?: string | undefined;
}

/** Pages that hold the first tokens of a sequence. */
export interface PrefixMatch {
  readonly pages: readonly number[];
  /** First pages whose tokens prefill computed, all before them included. */
  readonly numDense: number;
}

/** A page of the tree. A root has no page. */
interface Node {
  readonly parent: Node | undefined;
  readonly edge: string;
  page: number;
  readonly children: Map<string, Node>;
}

const NO_PAGE = -1;

/**
 * Finds the pages that hold the first tokens of a sequence: a tree over full pages, whose edges are exact tokens. It keeps pages
 * beyond their last holder; the pool evicts the least recently used.
 */
export class PrefixIndex implements PageKeeper {
  readonly #pool: PagePool;
  readonly #roots = new Map<string, Node>();
  /** By page; undefined for pages that the tree does not have. */
  readonly #nodes: (Node | undefined)[] = [];

  constructor(pool: PagePool) {
    this.#pool = pool;
    pool.keepBy(this);
  }

  /**
   * Returns the longest match of at most `maxPages` pages. Takes none: the caller retains them before anybody takes a page.
   * isUsable: returns false for a page that the sequence cannot use
   */
  match(path: PrefixPath, maxPages: number, isUsable: (page: number) => boolean): PrefixMatch {
    const dense = this.#walk(this.#roots.get(path.root), { path, from: 0, maxPages, isUsable });
    const pages = dense.map(({ page }) => page);
    let best: PrefixMatch = { pages, numDense: pages.length };
    const { lineage } = path;
    if (lineage === undefined) return best;
    for (let from = dense.length; from >= 0; from--) {
      const start = from === 0 ? this.#roots.get(path.root) : dense[from - 1];
      const decoded = this.#walk(start, { path, from, maxPages, isUsable, lineage });
      if (from + decoded.length <= best.pages.length) continue;
      best = { pages: [...pages.slice(0, from), ...decoded.map(({ page }) => page)], numDense: from };
    }
    return best;
  }

  #walk(start: Node | undefined, { path, from, maxPages, isUsable, lineage }: WalkOptions): readonly Node[] {
    const nodes: Node[] = [];
    let node = start;
    for (let i = from; node && i < maxPages; i++) {
      node = node.children.get(edgeOf(path, i, lineage));
      if (!node || !isUsable(node.page)) break;
      nodes.push(node);
    }
    return nodes;
  }

  /**
   * Keeps the full pages of a sequence, which holds them. A page whose tokens the tree has already stays out of it, unless it
   * replaces the tree's.
   * numDense: first pages whose tokens prefill computed; the others need a lineage
   * isBetter: returns true for a page that replaces the tree's
   */
  keep(
    path: PrefixPath,
    { pages, numDense }: PrefixMatch,
    isBetter: (page: number, kept: number) => boolean,
  ): void {
    if (pages.length === 0) return;
    let node = this.#roots.get(path.root);
    if (!node) {
      node = this.#node(undefined, path.root, NO_PAGE);
      this.#roots.set(path.root, node);
    }
    for (let i = 0; i < pages.length; i++) {
      const page = pages[i] as number;
      const edge = edgeOf(path, i, i < numDense ? undefined : path.lineage);
      const known: Node | undefined = node.children.get(edge);
      if (!known) {
        this.#pool.keep(page);
        const added = this.#node(node, edge, page);
        node.children.set(edge, added);
        this.#nodes[page] = added;
        node = added;
        continue;
      }
      if (known.page !== page && isBetter(page, known.page)) this.#replace(known, page);
      node = known;
    }
  }

  #node(parent: Node | undefined, edge: string, page: number): Node {
    return { parent, edge, page, children: new Map() };
  }

  #replace(node: Node, page: number): void {
    this.#pool.keep(page);
    this.#nodes[node.page] = undefined;
    this.#pool.discard(node.page);
    node.page = page;
    this.#nodes[page] = node;
  }

  /** Discards a page and all that follow it in the tree. */
  evict(page: number): void {
    const node = this.#nodes[page];
    if (!node) throw new RangeError(`evicting page ${page}: the prefix index does not have it`);
    this.#remove(node);
  }

  /** Discards all pages. */
  clear(): void {
    for (const root of [...this.#roots.values()])
      for (const child of [...root.children.values()]) this.#remove(child);
  }

  #remove(node: Node): void {
    this.#detach(node);
    // a stack, since a chain may have as many pages as the context
    for (const left = [node]; left.length > 0; ) {
      const { page, children } = left.pop() as Node;
      this.#nodes[page] = undefined;
      this.#pool.discard(page);
      left.push(...children.values());
    }
  }

  /** A root without pages goes, so that any number of salts takes no memory. */
  #detach({ parent, edge }: Node): void {
    if (!parent) return;
    parent.children.delete(edge);
    if (parent.parent === undefined && parent.children.size === 0) this.#roots.delete(parent.edge);
  }
}

interface WalkOptions {
  readonly path: PrefixPath;
  /** Pages before the first edge. */
  readonly from: number;
  readonly maxPages: number;
  readonly isUsable: (page: number) => boolean;
  readonly lineage?: string;
}

function edgeOf(path: PrefixPath, page: number, lineage: string | undefined): string {
  const tokens = path.edge(page);
  // no edge of tokens has a bar, so that no two edges are alike
  return lineage === undefined ? tokens : `${tokens}|${lineage}`;
}
