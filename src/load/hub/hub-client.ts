import { ModelFileError } from "../../base/errors.ts";
import { isObject } from "../../base/is-object.ts";
import { printValue } from "../../base/print-value.ts";
import type { FileFolder } from "../byte-source.ts";
import { type Fetch, HttpReader, type HttpResponse, rangeRequest } from "../http-reader.ts";
import { findExcess, JSON_LIMITS } from "../json-text.ts";
import { createUrlFolder } from "../url-folder.ts";
import { createHubFetch, type HubAccess } from "./hub-fetch.ts";
import { type About, describeRefusal } from "./hub-refusal.ts";
import { isSafePath } from "./model-location.ts";
import { apiPath, isDataset, kindOf } from "./repo-id.ts";
import { PassingError, passing, Retry, type RetryOptions, readRetryAfter } from "./retry.ts";

/** A file of a repository, as the hub lists it. */
export interface HubFile {
  readonly path: string;
  readonly sizeBytes: number;
  /** Names the content: the SHA-256 of a large file, the Git blob's SHA-1 of a small one. The name of its blob in a cache. */
  readonly etag: string;
  readonly hash: "sha256" | "git-sha1";
}

export interface HubClientOptions extends HubAccess {
  /** A request fails after this time without progress. Default 30 s. */
  readonly stallMs?: number | undefined;
  readonly retry?: RetryOptions | undefined;
}

const COMMIT = /^[0-9a-f]{40}$/;
const MAX_ANSWER_BYTES = 64 << 20;
const MAX_PAGES = 100;
const MAX_FILES = 100_000;

/** Asks a Hugging Face hub. Every request ends, and is repeated while its failure may pass. */
export class HubClient {
  readonly url: string;
  readonly hasToken: boolean;
  readonly #reader: HttpReader;
  readonly #options: HubClientOptions;

  constructor(options: HubClientOptions) {
    this.url = options.url;
    this.hasToken = options.token !== undefined;
    this.#options = options;
    this.#reader = new HttpReader(createHubFetch(options), options.stallMs ?? 30_000);
  }

  get retry(): RetryOptions {
    return this.#options.retry ?? {};
  }

  /** The commit that a revision of a repository names now. @throws ModelFileError, AbortedError */
  async commitOf(
    repo: string,
    revision: string,
    signal?: AbortSignal,
    retry: RetryOptions = this.retry,
  ): Promise<string> {
    const path = `/api/${apiPath(repo)}/revision/${encodeURIComponent(revision)}`;
    const answer = await this.#json(path, { repo, revision }, signal, retry);
    const sha = isObject(answer.body) ? answer.body.sha : undefined;
    if (typeof sha !== "string" || !COMMIT.test(sha)) throw this.#strange(path, "a commit in `sha`", sha);
    return sha;
  }

  /** Lists the files of a commit. @throws ModelFileError, AbortedError */
  async filesOf(repo: string, commit: string, signal?: AbortSignal): Promise<readonly HubFile[]> {
    const files: HubFile[] = [];
    let path: string | undefined = `/api/${apiPath(repo)}/tree/${commit}?recursive=true`;
    for (let page = 0; path !== undefined; page++) {
      if (page >= MAX_PAGES || files.length > MAX_FILES)
        throw new ModelFileError(
          `fetching ${repo}: it has more files than any ${kindOf(repo)} (${files.length} and more)`,
        );
      const answer: Answer = await this.#json(path, { repo, revision: commit }, signal);
      if (!Array.isArray(answer.body)) throw this.#strange(path, "a list of files", answer.body);
      for (const entry of answer.body) {
        const file = readEntry(entry);
        if (file) files.push(file);
      }
      path = nextPage(answer.link, this.url);
    }
    return files;
  }

  /** Names of the kind of `repo` that a search for a word finds; none if the hub does not answer. For messages only. */
  async search(word: string, repo: string): Promise<readonly string[]> {
    try {
      const kind = isDataset(repo) ? "datasets" : "models";
      const path = `/api/${kind}?search=${encodeURIComponent(word)}&limit=20`;
      const response = await this.#reader.request(`${this.url}${path}`, {}, AbortSignal.timeout(5000));
      const body = response.isOk ? parseAnswer(await text(response), path) : [];
      return Array.isArray(body)
        ? body.flatMap((one) =>
            isObject(one) && typeof one.id === "string" && isSafePath(one.id) ? one.id : [],
          )
        : [];
    } catch {
      return []; // The search only improves a message.
    }
  }

  /** The address of a file. */
  fileUrl(repo: string, commit: string, path: string): string {
    return `${this.url}/${repo}/resolve/${commit}/${path.split("/").map(encodeURIComponent).join("/")}`;
  }

  /**
   * Requests bytes of a file from `first` to `last`, both included. The caller must cancel the response.
   * @throws PassingError, ModelFileError, AbortedError
   */
  async openRange(
    of: { readonly repo: string; readonly commit: string; readonly path: string },
    { first, last }: { readonly first: number; readonly last: number },
    signal: AbortSignal | undefined,
  ): Promise<HttpResponse> {
    const url = this.fileUrl(of.repo, of.commit, of.path);
    const init = rangeRequest(first, last, this.#identity());
    return this.#request(url, init, { repo: of.repo, revision: of.commit, file: of.path }, signal);
  }

  /**
   * Presents a commit's files as a folder that is read by ranges. Missing files are those that the list lacks. A read whose
   * failure may pass is repeated, as in a download.
   */
  openFolder(repo: string, commit: string, files: readonly HubFile[]): FileFolder {
    const { stallMs } = this.#options;
    const limits = stallMs === undefined ? {} : { stallMs };
    const folder = createUrlFolder(`${this.url}/${repo}/resolve/${commit}`, this.#fetchUnlessBusy(), limits);
    const paths = new Set(files.map(({ path }) => path));
    return {
      ...folder,
      name: `${repo}@${commit.slice(0, 8)}`,
      open: async (path, signal) => {
        if (!paths.has(path)) return undefined;
        const source = await this.#patiently(() => folder.open(path, signal), signal);
        return (
          source && {
            ...source,
            read: (offset, length, now) => this.#patiently(() => source.read(offset, length, now), now),
          }
        );
      },
      list: async () => [...paths],
    };
  }

  /** Repeats a work whose failure may pass. Each attempt has the whole time of a request. */
  #patiently<T>(work: () => Promise<T>, signal: AbortSignal | undefined): Promise<T> {
    return new Retry(this.retry).run(() => passing(work()), signal);
  }

  /** Makes the status of a busy server a PassingError. */
  #fetchUnlessBusy(): Fetch {
    const fetchOnce = createHubFetch(this.#options);
    return async (url, init) => {
      const response = await fetchOnce(url, init);
      if (!mayPass(response.status)) return response;
      await response.body?.cancel();
      const waitMs = readRetryAfter(response.headers.get("retry-after") ?? undefined);
      throw new PassingError(`fetching ${url}: the server answered ${response.status}`, { waitMs });
    };
  }

  /** A server must not compress ranges. Browsers set the header themselves. */
  #identity(): Record<string, string> {
    return this.#options.followsRedirects ? { "Accept-Encoding": "identity" } : {};
  }

  async #json(
    path: string,
    about: About,
    signal: AbortSignal | undefined,
    retry: RetryOptions = this.retry,
  ): Promise<Answer> {
    const url = path.startsWith("http") ? path : `${this.url}${path}`;
    return new Retry(retry).run(async () => {
      const response = await this.#request(url, {}, about, signal);
      try {
        return { body: parseAnswer(await passing(text(response)), url), link: response.header("link") };
      } finally {
        response.cancel();
      }
    }, signal);
  }

  async #request(
    url: string,
    init: RequestInit,
    about: About,
    signal: AbortSignal | undefined,
  ): Promise<HttpResponse> {
    const response = await passing(this.#reader.request(url, init, signal));
    const { status } = response;
    if (response.isOk) return response;
    const doing = `fetching ${about.file === undefined ? about.repo : `${about.repo}/${about.file}`}`;
    const answer = `${doing}: the hub ${new URL(this.url).host} answered ${response.statusText}`;
    const waitMs = readRetryAfter(response.header("retry-after"));
    const [code, said] = [response.header("x-error-code"), response.header("x-error-message")];
    response.cancel();
    if (mayPass(status))
      throw new PassingError(status === 429 ? `${answer}, too many requests${this.#advice()}` : answer, {
        waitMs,
      });
    throw new ModelFileError(
      await describeRefusal({ answer, status, code, said, about, hasToken: this.hasToken }, (word) =>
        this.search(word, about.repo),
      ),
    );
  }

  #advice(): string {
    return this.hasToken ? "" : " (a token in HF_TOKEN allows more)";
  }

  #strange(path: string, expected: string, got: unknown): ModelFileError {
    return new ModelFileError(
      `fetching ${this.url}${path}: expected ${expected}, got ${printValue(got)}; is this address a Hugging Face hub?`,
    );
  }
}

/** Statuses of a busy server, or of one that is being mended. */
function mayPass(status: number): boolean {
  return status === 429 || status === 408 || status >= 500;
}

interface Answer {
  readonly body: unknown;
  readonly link: string | undefined;
}

async function text(response: HttpResponse): Promise<string> {
  return new TextDecoder().decode(await response.bytes(MAX_ANSWER_BYTES));
}

/** @throws ModelFileError when the answer is no JSON, such as the page of a proxy. */
function parseAnswer(json: string, url: string): unknown {
  const excess = findExcess(json, JSON_LIMITS);
  if (excess !== undefined) throw new ModelFileError(`fetching ${url}: unusable answer: ${excess}`);
  try {
    return JSON.parse(json);
  } catch (cause) {
    throw new ModelFileError(
      `fetching ${url}: the answer is no JSON (it begins ${printValue(json.slice(0, 60))}); is this address a Hugging ` +
        "Face hub (HF_ENDPOINT), and does a proxy answer in its place?",
      { cause },
    );
  }
}

/** Reads an entry of a listing; undefined for folders and for files whose names no cache should have. */
function readEntry(entry: unknown): HubFile | undefined {
  if (!isObject(entry) || entry.type !== "file" || typeof entry.path !== "string") return undefined;
  const { path, lfs } = entry;
  if (!isSafePath(path)) return undefined;
  const [etag, size] = isObject(lfs) ? [lfs.oid, lfs.size] : [entry.oid, entry.size];
  if (typeof etag !== "string" || typeof size !== "number" || !Number.isSafeInteger(size) || size < 0)
    return undefined;
  if (/^[0-9a-f]{64}$/.test(etag)) return { path, sizeBytes: size, etag, hash: "sha256" };
  if (/^[0-9a-f]{40}$/.test(etag)) return { path, sizeBytes: size, etag, hash: "git-sha1" };
  return undefined;
}

/** The path of the next page by a Link header, if it is on the same hub. */
function nextPage(link: string | undefined, hubUrl: string): string | undefined {
  const [, target] = /<([^>]+)>\s*;\s*rel="?next"?/.exec(link ?? "") ?? [];
  if (target === undefined) return undefined;
  if (!URL.canParse(target, `${hubUrl}/`))
    throw new ModelFileError(
      `fetching ${hubUrl}: its Link header names ${printValue(target)}, which is no address; is this address a Hugging Face hub?`,
    );
  const next = new URL(target, `${hubUrl}/`);
  return next.origin === new URL(hubUrl).origin ? next.href : undefined;
}
