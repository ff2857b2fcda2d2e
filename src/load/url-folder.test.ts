import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import fc from "fast-check";
import { afterEach, describe, expect, test } from "vitest";
import { safetensorsFile } from "../../test/golden/memory-folder.ts";
import { AbortedError, ModelFileError } from "../base/errors.ts";
import { openCheckpoint } from "./checkpoint.ts";
import { createUrlFolder, type Fetch } from "./url-folder.ts";

const BIG = Uint8Array.from({ length: 200_000 }, (_, i) => i % 253);
const STALL_MS = 200;
/** Time limit for requests that must end by themselves. */
const BRIEF_MS = 5_000;

type Serve = (request: IncomingMessage, response: ServerResponse) => void;
const closers: (() => void)[] = [];
afterEach(() => {
  for (const close of closers.splice(0)) close();
});

/** Starts a real server on a free port; returns the URL of a folder. */
async function server(serve: Serve): Promise<string> {
  const listening = createServer(serve);
  await new Promise<void>((resolve) => listening.listen(0, "127.0.0.1", resolve));
  closers.push(() => {
    listening.closeAllConnections();
    listening.close();
  });
  return `http://127.0.0.1:${(listening.address() as AddressInfo).port}/m`;
}

interface Fault {
  readonly status?: number;
  readonly headers?: Record<string, string>;
  readonly shift?: number;
  readonly extra?: number;
}

/** Serves BIG by ranges; responses after the first have the fault. */
function faulty(fault: Fault, common: Record<string, string> = {}): Serve {
  let answers = 0;
  return (request, response) => {
    const [, from, to] = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? "") ?? [];
    const isLater = answers++ > 0;
    const { status = 206, headers = {}, shift = 0, extra = 0 } = isLater ? fault : {};
    const first = Number(from) + shift;
    const last = Math.min(Number(to) + shift, BIG.length - 1);
    const body = status === 206 ? BIG.subarray(first, last + 1 + extra) : BIG;
    const range = status === 206 ? { "content-range": `bytes ${first}-${last}/${BIG.length}` } : {};
    response.writeHead(status, { ...range, ...common, "content-length": body.length, ...headers });
    response.end(body);
  };
}

async function readLater(serve: Serve, offset = 100_000, length = 1000): Promise<Uint8Array> {
  const folder = createUrlFolder(await server(serve), undefined, { stallMs: STALL_MS });
  const source = await folder.open("big.bin");
  expect(source?.sizeBytes).toBe(BIG.length);
  return source?.read(offset, length) ?? new Uint8Array(0);
}

describe("responses are checked", () => {
  test.each<[string, Serve, string]>([
    [
      "another range of the right length",
      faulty({ shift: 1000 }),
      "the server sent others (bytes 101000-101999/200000)",
    ],
    [
      "a range that begins too early",
      faulty({ headers: { "content-range": "bytes 99999-100999/200000" } }),
      "the server sent others",
    ],
    [
      "the right range of a file of another size",
      faulty({ headers: { "content-range": "bytes 100000-100999/200001" } }),
      "the server sent others",
    ],
    [
      "an invalid Content-Range",
      faulty({ headers: { "content-range": "pages 1-2" } }),
      "the server sent others",
    ],
    [
      "several ranges",
      faulty({ headers: { "content-type": "multipart/byteranges; boundary=x" } }),
      "sent others",
    ],
    [
      "more bytes than the range",
      faulty({ extra: 500 }),
      "expected at most 1000 bytes, the server sends more",
    ],
    [
      "fewer bytes than the range",
      faulty({ headers: { "content-length": "999" }, extra: -1 }),
      "expected 1000 bytes from 100000, the server sent 999",
    ],
    ["another ETag", faulty({ headers: { etag: '"b"' } }, { etag: '"a"' }), 'etag "a", then "b"'],
    [
      "another date",
      faulty(
        { headers: { "last-modified": "Fri, 02 Jan 2026 00:00:00 GMT" } },
        { "last-modified": "Thu, 01 Jan 2026 00:00:00 GMT" },
      ),
      "the file changed on the server while it was read",
    ],
    [
      "a whole file of another size",
      faulty({ status: 200, headers: { "content-length": "199999" } }),
      "sent others",
    ],
    ["status 500", faulty({ status: 500 }), "the server answered 500"],
    ["status 404", faulty({ status: 404 }), "the server answered 404"],
  ])("%s is a ModelFileError", async (_, serve, message) => {
    const reading = readLater(serve);
    await expect(reading).rejects.toThrow(ModelFileError);
    await expect(reading).rejects.toThrow(message);
  });

  test("a weak ETag matches its strong form; a whole file in place of a range is cut to the range", async () => {
    const weak = faulty({ headers: { etag: 'W/"a"' } }, { etag: '"a"' });
    expect(Buffer.compare(await readLater(weak), BIG.subarray(100_000, 101_000))).toBe(0);
    const whole = faulty({ status: 200 }, { etag: '"a"' });
    expect(Buffer.compare(await readLater(whole, 150_000, 50_000), BIG.subarray(150_000))).toBe(0);
  });

  test("a redirect is followed for every range", async () => {
    const target = await server(faulty({}));
    const from = await server((request, response) => {
      response.writeHead(302, { location: `${target}${request.url?.slice("/m".length)}` }).end();
    });
    const source = await createUrlFolder(from).open("big.bin");
    expect(
      Buffer.compare((await source?.read(70_000, 10)) ?? Buffer.of(), BIG.subarray(70_000, 70_010)),
    ).toBe(0);
  });

  test("a loop of redirects is a ModelFileError", async () => {
    const url = await server((_, response) => response.writeHead(302, { location: "/m/config.json" }).end());
    await expect(createUrlFolder(url).open("config.json")).rejects.toThrow(ModelFileError);
  });
});

/** Sends an endless body, as fast as the client reads. */
const endless =
  (headers: Record<string, string>, status = 200): Serve =>
  (_, response) => {
    response.writeHead(status, headers);
    const chunk = Buffer.alloc(1 << 20, 32);
    const more = () => {
      while (!response.destroyed && response.write(chunk));
    };
    response.on("drain", more);
    more();
  };

describe("a server that stalls or sends too much", () => {
  const stalled = "no progress for 0.2 s";
  test.each<[string, Serve, string]>([
    ["never responds", () => {}, stalled],
    [
      "sends headers and no body",
      (_, response) => void response.writeHead(200, { "content-length": 9 }).flushHeaders(),
      stalled,
    ],
    [
      "stops midway",
      (_, response) => void response.writeHead(200, { "content-length": 9 }).write("{"),
      "only 1 bytes came in 0.2 s",
    ],
    [
      "sends a byte each 20 ms",
      (_, response) => {
        response.writeHead(200);
        const timer = setInterval(() => response.write(" "), 20);
        response.on("close", () => clearInterval(timer));
      },
      "bytes came in 0.2 s (expected at least 512 a second)",
    ],
    ["sends for ever", endless({}), "expected at most 16777216 bytes, the server sends more"],
    [
      "sends a range for ever",
      endless({ "content-range": "bytes 0-65535/99999999" }, 206),
      "the server sends more",
    ],
    [
      "claims a terabyte",
      (_, response) => void response.writeHead(200, { "content-length": 2 ** 40 }).flushHeaders(),
      "1099511627776",
    ],
    [
      "closes the connection midway",
      (_, response) =>
        void response.writeHead(200, { "content-length": 9 }).write("{", () => response.destroy()),
      "broke off",
    ],
  ])("%s: a ModelFileError", { timeout: BRIEF_MS }, async (_, serve, message) => {
    const folder = createUrlFolder(await server(serve), undefined, { stallMs: STALL_MS });
    const opening = folder.open("config.json");
    await expect(opening).rejects.toThrow(ModelFileError);
    await expect(opening).rejects.toThrow(message);
  });

  test("a body of 1100 bytes each stallMs / 2 is no stall", { timeout: BRIEF_MS }, async () => {
    const url = await server((_, response) => {
      response.writeHead(200);
      let left = 6;
      const timer = setInterval(() => {
        response.write(Buffer.alloc(1100, 32));
        if (--left > 0) return;
        clearInterval(timer);
        response.end();
      }, STALL_MS / 2);
    });
    const source = await createUrlFolder(url, undefined, { stallMs: STALL_MS }).open("config.json");
    expect(source?.sizeBytes).toBe(6600);
  });

  test("a fetch that ignores its signal: a ModelFileError", { timeout: BRIEF_MS }, async () => {
    const deaf: Fetch = () => new Promise(() => {});
    const folder = createUrlFolder("http://host/m", deaf, { stallMs: STALL_MS });
    await expect(folder.open("config.json")).rejects.toThrow(stalled);
  });
});

test("a read from a random server returns the bytes requested or throws a ModelFileError", async () => {
  const header = fc.constantFrom(
    "content-range",
    "content-length",
    "content-type",
    "etag",
    "last-modified",
    "content-encoding",
  );
  const value = fc.constantFrom(
    ...[
      "bytes 0-65535/200000",
      "bytes 0-9/10",
      "bytes */0",
      "bytes 5-1/3",
      "0",
      "-1",
      "10",
      "65536",
      "1e99",
      "x",
      "identity",
      "gzip",
    ],
  );
  const answer = fc.record({
    status: fc.constantFrom(200, 200, 206, 206, 206, 302, 401, 403, 404, 416, 500),
    headers: fc.dictionary(header, value, { maxKeys: 3 }),
    size: fc.constantFrom(0, 1, 10, 1000, 65536, 65537),
  });
  await fc.assert(
    fc.asyncProperty(
      fc.array(answer, { minLength: 1, maxLength: 4 }),
      fc.nat(70_000),
      async (answers, offset) => {
        let next = 0;
        const serve: Fetch = async () => {
          const { status, headers, size } = answers[next++ % answers.length];
          return new Response(new Uint8Array(size), { status, headers });
        };
        try {
          const source = await createUrlFolder("http://host/m", serve, { stallMs: STALL_MS }).open(
            "config.json",
          );
          const bytes = source && (await source.read(Math.min(offset, source.sizeBytes), 0));
          expect(bytes?.length ?? 0).toBe(0);
          const rest = source && Math.min(10, source.sizeBytes - Math.min(offset, source.sizeBytes));
          if (source && rest) expect(await source.read(source.sizeBytes - rest, rest)).toHaveLength(rest);
        } catch (error) {
          if (!(error instanceof ModelFileError)) throw error;
          expect(error.message).toContain("http://host/m/config.json");
        }
      },
    ),
    { numRuns: 1000 },
  );
});

test("the signal ends a pending request and its connection", { timeout: BRIEF_MS }, async () => {
  let closed: () => void = () => {};
  const left = new Promise<void>((resolve) => {
    closed = resolve;
  });
  const stop = new AbortController();
  const url = await server((request) => {
    request.socket.on("close", () => closed());
    stop.abort();
  });
  await expect(openCheckpoint(createUrlFolder(url), { signal: stop.signal })).rejects.toThrow(AbortedError);
  await left;
});

const SHARD = safetensorsFile({ a: { dtype: "F32", shape: [1], data_offsets: [0, 4] } }, 4);

/** A bucket, which responds to missing files with `status`. */
const bucket =
  (files: Record<string, Uint8Array | string>, status: number): Serve =>
  (request, response) => {
    const body = files[request.url?.slice("/m/".length) ?? ""];
    response.writeHead(body === undefined ? status : 200).end(body ?? "<Error/>");
  };

describe.each([401, 403, 404, 410])("a server that responds %i to missing files", (status) => {
  test("opens a checkpoint without the optional files; its notes name the refused ones", async () => {
    const url = await server(bucket({ "config.json": "{}", "model.safetensors": SHARD }, status));
    const checkpoint = await openCheckpoint(createUrlFolder(url));
    expect(checkpoint.tokenizer).toBeUndefined();
    expect([...checkpoint.tensors.keys()]).toEqual(["a"]);
    const notes = checkpoint.notes.join("\n");
    if (status > 403) expect(notes).toBe("");
    else expect(notes).toMatch(new RegExp(`tokenizer.json: the server answered ${status}`));
  });

  test("causes an error with both readings of the status when the file is required", async () => {
    const noConfig = openCheckpoint(createUrlFolder(await server(bucket({}, status))));
    await expect(noConfig).rejects.toThrow("there is no config.json");
    const noWeights = openCheckpoint(createUrlFolder(await server(bucket({ "config.json": "{}" }, status))));
    await expect(noWeights).rejects.toThrow("neither model.safetensors nor model.safetensors.index.json");
    const index = JSON.stringify({ weight_map: { a: "s1.safetensors" } });
    const files = { "config.json": "{}", "model.safetensors.index.json": index };
    const noShard = openCheckpoint(createUrlFolder(await server(bucket(files, status))));
    await expect(noShard).rejects.toThrow("names s1.safetensors, but there is no such file");
    for (const opening of status > 403 ? [] : [noConfig, noWeights, noShard]) {
      await expect(opening).rejects.toThrow(`the server answered ${status}`);
      await expect(opening).rejects.toThrow(
        "either the file is not there, or it may not be read without credentials",
      );
    }
  });
});
