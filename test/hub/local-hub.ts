/** A Hugging Face hub on this machine for tests: its endpoints, a store of large files on another port, and faults. */
import { createHash } from "node:crypto";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

export interface HubRepo {
  /** Contents by path. */
  readonly files: Readonly<Record<string, Uint8Array | string>>;
  /** Paths that are large files, kept behind a redirect. Default: .safetensors, .gguf and .parquet. */
  readonly large?: readonly string[];
  /** Branches and tags besides main. */
  readonly revisions?: readonly string[];
  /** Files are for this token only; lists are for all, as of the hub's gated repositories. */
  readonly token?: string;
}

/** What a request meets in place of its answer; return true when it was answered. */
export type Fault = (
  request: IncomingMessage,
  response: ServerResponse,
  at: Target,
) => boolean | Promise<boolean>;

/** What a request is for. */
export interface Target {
  readonly kind: "revision" | "tree" | "resolve" | "store" | "search" | "other";
  readonly repo: string;
  readonly path: string;
  /** Requests of this kind and path so far, this one included. */
  readonly count: number;
}

export interface Seen {
  readonly kind: Target["kind"];
  readonly method: string;
  readonly path: string;
  readonly authorization: string | undefined;
  readonly range: string | undefined;
}

/** A hub with a few repositories, by name: `org/model`, `datasets/org/set`. `close` ends it. */
export class LocalHub {
  readonly seen: Seen[] = [];
  /** Asked before every answer. */
  fault: Fault = () => false;
  /** Most files of one page of a listing. */
  pageSize = 1000;
  /** Bytes of a body in one piece, and the pause between pieces: slow servers. */
  piece = { bytes: 1 << 20, pauseMs: 0 };
  readonly #repos: Readonly<Record<string, HubRepo>>;
  readonly #hub: Server;
  readonly #store: Server;
  readonly #counts = new Map<string, number>();

  private constructor(repos: Readonly<Record<string, HubRepo>>) {
    this.#repos = repos;
    this.#hub = createServer(
      (request, response) => void this.#answerHub(request, response).catch(() => response.destroy()),
    );
    this.#store = createServer(
      (request, response) => void this.#answerStore(request, response).catch(() => response.destroy()),
    );
  }

  static async start(repos: Readonly<Record<string, HubRepo>>): Promise<LocalHub> {
    const hub = new LocalHub(repos);
    for (const server of [hub.#hub, hub.#store])
      await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    return hub;
  }

  get url(): string {
    return addressOf(this.#hub);
  }

  get storeUrl(): string {
    return addressOf(this.#store);
  }

  close(): void {
    for (const server of [this.#hub, this.#store]) {
      server.closeAllConnections();
      server.close();
    }
  }

  /** The commit of main: a hash of the contents, so that a test can change them. */
  commitOf(repo: string): string {
    const hash = createHash("sha1");
    for (const [path, content] of Object.entries(this.#repos[repo]?.files ?? {}))
      hash.update(path).update(content);
    return hash.digest("hex");
  }

  contentOf(repo: string, path: string): Buffer {
    return Buffer.from(this.#repos[repo]?.files[path] ?? "");
  }

  #target(request: IncomingMessage, kind: Target["kind"], repo: string, path: string): Target {
    const key = `${kind} ${repo} ${path}`;
    const count = (this.#counts.get(key) ?? 0) + 1;
    this.#counts.set(key, count);
    const { authorization, range } = request.headers;
    this.seen.push({ kind, method: request.method ?? "", path: path || repo, authorization, range });
    return { kind, repo, path, count };
  }

  async #answerHub(request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (allowPages(request, response)) return;
    const url = new URL(request.url ?? "", this.url);
    const path = url.pathname; // Its parts are decoded one by one: a revision may have a slash.
    const [, model, dataset, asked = ""] =
      /^\/api\/(?:models\/([^/]+\/[^/]+)|(datasets\/[^/]+\/[^/]+))\/(?:revision|tree)\/(.+)$/.exec(path) ??
      [];
    const api = model ?? dataset;
    const [, of, at = "", file = ""] =
      /^\/((?:datasets\/)?[^/]+\/[^/]+)\/resolve\/([^/]+)\/(.+)$/.exec(path) ?? [];
    const repo = api ?? of ?? "";
    const [revision, filePath] = [
      decodeURIComponent(api === undefined ? at : asked),
      decodeURIComponent(file),
    ];
    const kind =
      api === undefined
        ? of === undefined
          ? /^\/api\/(models|datasets)$/.test(path)
            ? "search"
            : "other"
          : "resolve"
        : /\/tree\//.test(path)
          ? "tree"
          : "revision";
    const target = this.#target(request, kind, repo, filePath);
    if (await this.fault(request, response, target)) return;
    if (kind === "search") {
      const word = url.searchParams.get("search")?.toLowerCase() ?? "";
      const ids = Object.keys(this.#repos)
        .filter((id) => id.startsWith("datasets/") === path.endsWith("/datasets"))
        .map((id) => id.replace(/^datasets\//, ""))
        .filter((id) => id.toLowerCase().includes(word.slice(0, 4)));
      return json(
        response,
        ids.map((id) => ({ id })),
      );
    }
    const known = this.#repos[repo];
    // The hub does not tell a missing model from a private one.
    if (!known) return refuse(response, 401, "RepoNotFound", "Invalid username or password.");
    if (
      known.token !== undefined &&
      kind === "resolve" &&
      request.headers.authorization !== `Bearer ${known.token}`
    )
      return refuse(response, 401, "GatedRepo", `Access to ${repo} is restricted.`);
    const commit = this.commitOf(repo);
    if (![commit, "main", ...(known.revisions ?? [])].includes(revision))
      return refuse(response, 404, "RevisionNotFound", `Invalid rev id: ${revision}`);
    if (kind === "revision")
      return json(response, {
        id: repo.replace(/^datasets\//, ""),
        sha: commit,
        siblings: Object.keys(known.files).map((rfilename) => ({ rfilename })),
      });
    if (kind === "tree")
      return this.#answerTree(response, repo, Number(url.searchParams.get("cursor") ?? 0), commit);
    return this.#answerFile(request, response, { repo, file: filePath, commit });
  }

  #answerTree(response: ServerResponse, repo: string, cursor: number, commit: string): void {
    const entries = Object.entries(this.#repos[repo]?.files ?? {}).map(([path, content]) => {
      const size = Buffer.byteLength(content as Uint8Array);
      if (!this.#isLarge(repo, path)) return { type: "file", oid: gitHash(content), size, path };
      const sha256 = createHash("sha256").update(content).digest("hex");
      return {
        type: "file",
        oid: gitHash("pointer"),
        size,
        path,
        lfs: { oid: sha256, size, pointerSize: 130 },
      };
    });
    const folders = [{ type: "directory", oid: gitHash("folder"), size: 0, path: "folder" }];
    const page = [...folders, ...entries].slice(cursor, cursor + this.pageSize);
    const next = cursor + this.pageSize;
    if (next < entries.length + 1)
      response.setHeader(
        "Link",
        `<${this.url}/api/${repo.startsWith("datasets/") ? "" : "models/"}${repo}/tree/${commit}?recursive=true&cursor=${next}>; rel="next"`,
      );
    json(response, page);
  }

  async #answerFile(
    request: IncomingMessage,
    response: ServerResponse,
    { repo, file, commit }: { readonly repo: string; readonly file: string; readonly commit: string },
  ): Promise<void> {
    const content = this.#repos[repo]?.files[file];
    if (content === undefined) return refuse(response, 404, "EntryNotFound", "Entry not found");
    response.setHeader("X-Repo-Commit", commit);
    if (!this.#isLarge(repo, file)) {
      response.setHeader("ETag", `"${gitHash(content)}"`);
      return this.#send(request, response, Buffer.from(content as Uint8Array));
    }
    response.setHeader("X-Linked-Etag", `"${createHash("sha256").update(content).digest("hex")}"`);
    response.setHeader("X-Linked-Size", Buffer.byteLength(content as Uint8Array));
    response.writeHead(302, { Location: `${this.storeUrl}/${repo}/${file}?signature=x` }).end();
  }

  async #answerStore(request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (allowPages(request, response)) return;
    const [, repo = "", path = ""] =
      /^\/((?:datasets\/)?[^/]+\/[^/]+)\/([^?]+)/.exec(decodeURIComponent(request.url ?? "")) ?? [];
    const target = this.#target(request, "store", repo, path);
    if (await this.fault(request, response, target)) return;
    response.setHeader("ETag", '"of-the-store"');
    await this.#send(request, response, this.contentOf(repo, path));
  }

  async #send(request: IncomingMessage, response: ServerResponse, content: Buffer): Promise<void> {
    const [, from, to] = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? "") ?? [];
    const first = Number(from ?? 0);
    const last = Math.min(
      content.length - 1,
      to === undefined || to === "" ? content.length - 1 : Number(to),
    );
    const isRange = from !== undefined && content.length > 0;
    if (isRange && first >= content.length)
      return void response.writeHead(416, { "Content-Range": `bytes */${content.length}` }).end();
    const body = isRange ? content.subarray(first, last + 1) : content;
    const range = isRange ? { "Content-Range": `bytes ${first}-${last}/${content.length}` } : {};
    response.writeHead(isRange ? 206 : 200, {
      ...range,
      "Content-Length": body.length,
      "Accept-Ranges": "bytes",
    });
    if (request.method === "HEAD") return void response.end();
    for (let at = 0; at < body.length; at += this.piece.bytes) {
      if (response.destroyed) return;
      response.write(body.subarray(at, at + this.piece.bytes));
      if (this.piece.pauseMs > 0) await new Promise((resolve) => setTimeout(resolve, this.piece.pauseMs));
    }
    response.end();
  }

  #isLarge(repo: string, path: string): boolean {
    return this.#repos[repo]?.large?.includes(path) ?? /\.(safetensors|gguf|parquet)$/.test(path);
  }
}

/** Lets pages of other origins read, as the hub and its store do. True if the request only asked for that. */
function allowPages(request: IncomingMessage, response: ServerResponse): boolean {
  response.setHeader("Access-Control-Allow-Origin", "*");
  response.setHeader(
    "Access-Control-Expose-Headers",
    "*, Link, Content-Range, X-Linked-Etag, X-Linked-Size, X-Error-Code",
  );
  if (request.method !== "OPTIONS") return false;
  response.writeHead(204, { "Access-Control-Allow-Headers": "Authorization, Range" }).end();
  return true;
}

export function gitHash(content: Uint8Array | string): string {
  return createHash("sha1")
    .update(`blob ${Buffer.byteLength(content as Uint8Array)}\0`)
    .update(content)
    .digest("hex");
}

export function refuse(response: ServerResponse, status: number, code: string, message: string): void {
  response.writeHead(status, { "X-Error-Code": code, "X-Error-Message": message }).end(message);
}

function json(response: ServerResponse, value: unknown): void {
  response.setHeader("Content-Type", "application/json");
  response.end(JSON.stringify(value));
}

function addressOf(server: Server): string {
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}
