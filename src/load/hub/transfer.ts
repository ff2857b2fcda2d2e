import { throwIfAborted } from "../../base/abort.ts";
import { ModelFileError } from "../../base/errors.ts";
import { fetchParts } from "./fetch-parts.ts";
import type { HubClient, HubFile } from "./hub-client.ts";
import type { ModelStore, Snapshot } from "./model-store.ts";
import { type DownloadProgress, TransferRate } from "./transfer-rate.ts";

export interface TransferOptions {
  readonly signal?: AbortSignal | undefined;
  /** Receives the progress, some ten times a second. */
  readonly onDownload?: ((progress: DownloadProgress) => void) | undefined;
  /** Requests at a time for one file. Default 8. */
  readonly connections?: number | undefined;
}

/** A transfer outlives some fifty seconds without a network: much is here already, or on its way. */
const PATIENT = { attempts: 8 };
/** Progress is reported at most this often. */
const REPORT_MS = 100;

/** Files of one commit on their way into the store. */
export class Transfer {
  readonly #client: HubClient;
  readonly #store: ModelStore;
  readonly #snapshot: Snapshot;
  readonly #options: TransferOptions;
  readonly #rate = new TransferRate();
  readonly #name: string;
  #reported: { readonly phase: DownloadProgress["phase"] | ""; readonly at: number } = { phase: "", at: 0 };
  #done = 0;
  #total = 0;

  /** name: what is fetched, for progress and messages. */
  constructor(
    { client, store }: { readonly client: HubClient; readonly store: ModelStore },
    snapshot: Snapshot,
    { name, ...options }: TransferOptions & { readonly name: string },
  ) {
    this.#client = client;
    this.#store = store;
    this.#snapshot = snapshot;
    this.#options = options;
    this.#name = name;
  }

  /** Fetches the files that the store lacks, in their order. @throws ModelFileError, AbortedError */
  async fetchAll(files: readonly HubFile[]): Promise<void> {
    const snapshot = this.#snapshot;
    const missing: HubFile[] = [];
    for (const file of files) if (!(await this.#store.has(snapshot, file))) missing.push(file);
    let needed = 0;
    for (const file of missing) needed += file.sizeBytes - (await this.#store.partlyHere(snapshot, file));
    if (needed > 0) await this.#store.checkSpace(needed);
    this.#total += needed;
    for (const file of missing) {
      throwIfAborted(this.#options.signal, `fetching ${this.#name}`);
      await this.#fetch(file);
    }
  }

  async #fetch(file: HubFile): Promise<void> {
    const snapshot = this.#snapshot;
    const { signal, connections = 8 } = this.#options;
    const report = (phase: DownloadProgress["phase"]) => this.#report(phase, file);
    const of = { ...snapshot, path: file.path };
    await this.#store.receive(snapshot, file, {
      signal,
      onWait: () => report("waiting"),
      onCheck: () => report("checking"),
      fill: async (partial) => {
        report("fetching");
        await fetchParts(partial, async (range, ending) => this.#openRange(of, file, range, ending), {
          name: `${snapshot.repo}/${file.path}`,
          connections,
          retry: { ...PATIENT, ...this.#client.retry },
          signal,
          onBytes: (bytes) => {
            this.#done += bytes;
            this.#rate.add(bytes);
            report("fetching");
          },
        });
      },
    });
  }

  /** Opens a range, and checks that the hub means the file of its own list. */
  async #openRange(
    of: Snapshot & { readonly path: string },
    file: HubFile,
    range: { readonly first: number; readonly last: number },
    signal: AbortSignal,
  ) {
    const response = await this.#client.openRange(of, range, signal);
    const etag = response.header("x-linked-etag")?.replace(/^W\//, "").replaceAll('"', "");
    const size = response.header("x-linked-size");
    if ((etag === undefined || etag === file.etag) && (size === undefined || Number(size) === file.sizeBytes))
      return response;
    response.cancel();
    throw new ModelFileError(
      `fetching ${of.repo}/${of.path}: the hub lists ${file.sizeBytes} bytes of ${file.etag.slice(0, 12)}…, and sends ` +
        `${size ?? "some"} of ${etag?.slice(0, 12) ?? "unknown"}…; try again`,
    );
  }

  #report(phase: DownloadProgress["phase"], file: HubFile): void {
    const { onDownload } = this.#options;
    if (!onDownload) return;
    const now = performance.now();
    const isDue =
      phase !== this.#reported.phase || this.#done === this.#total || now - this.#reported.at >= REPORT_MS;
    if (!isDue) return;
    this.#reported = { phase, at: now };
    const [doneBytes, totalBytes] = [this.#done, Math.max(this.#total, this.#done)];
    const bytesPerSecond = this.#rate.perSecond;
    const secondsLeft = this.#rate.secondsFor(totalBytes - doneBytes);
    onDownload({
      model: this.#name,
      phase,
      file: file.path,
      doneBytes,
      totalBytes,
      bytesPerSecond,
      secondsLeft,
    });
  }
}
