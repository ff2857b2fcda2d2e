/** Headers of a page that may share memory with its workers. */
export const ISOLATING_HEADERS: Readonly<Record<string, string>>;

/** Builds the page into a folder, with the bundled model beside it. */
export function buildWeb(outDir: string): Promise<void>;

/** Serves a built page at a loopback address. `port` 0, the default, takes a free one. */
export function serveWeb(
  outDir: string,
  options?: {
    readonly port?: number;
    readonly headers?: Readonly<Record<string, string>>;
    /** Path under which the page lies, such as "/demo/". */
    readonly base?: string;
  },
): Promise<{ readonly url: string; close(): Promise<void> }>;
