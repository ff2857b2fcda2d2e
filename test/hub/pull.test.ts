import { createCipheriv } from "node:crypto";
import {
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { AbortedError, ModelFileError } from "../../src/base/errors.ts";
import type { DownloadProgress } from "../../src/load/hub/transfer-rate.ts";
import { type OpenModelOptions, openModel } from "../../src/node/hub/open-model.ts";
import { gitHash, LocalHub, refuse } from "./local-hub.ts";

const MEGABYTE = 1 << 20;
/** Pseudo-random bytes: no two ranges are alike. */
const big = (length: number) =>
  createCipheriv("aes-128-ctr", Buffer.alloc(16), Buffer.alloc(16)).update(Buffer.alloc(length));
const WEIGHTS = new Uint8Array(big(9 * MEGABYTE + 12345));
const CHECKPOINT = {
  "config.json": '{"model_type":"x"}',
  "tokenizer.json": "{}",
  "README.md": "# read me",
  "pytorch_model.bin": "pickle",
  "onnx/model.onnx": "onnx",
  "model.safetensors": WEIGHTS,
};

let hub: LocalHub;
let address: string;
let cache: string;
beforeEach(async () => {
  hub = await LocalHub.start({
    "org/model": { files: CHECKPOINT, revisions: ["v1", "refs/pr/4"] },
    "org/parts": {
      files: {
        "m-Q4_0-00001-of-00002.gguf": "one",
        "m-Q4_0-00002-of-00002.gguf": "two",
        "Q8_0/m-Q8_0.gguf": "eight",
        "mmproj-Q8_0.gguf": "eyes",
      },
    },
    "org/shards": {
      files: {
        "config.json": "{}",
        "model.safetensors.index.json": JSON.stringify({
          weight_map: { a: "model-00001-of-00002.safetensors", b: "model-00002-of-00002.safetensors" },
        }),
        "model-00001-of-00002.safetensors": "first",
        "model-00002-of-00002.safetensors": "second",
        "consolidated.safetensors": "another format's",
      },
    },
    "org/empty-file": { files: { "config.json": "{}", "chat_template.jinja": "", "model.safetensors": "w" } },
  });
  address = hub.url;
  cache = mkdtempSync(join(tmpdir(), "lessismore-hub-"));
});
afterEach(() => {
  hub.close();
  rmSync(cache, { recursive: true });
});

function open(
  text: string,
  environment: Record<string, string> = {},
  options: Partial<OpenModelOptions> = {},
) {
  const own = { HF_HUB_CACHE: cache, HF_ENDPOINT: address, HF_HOME: join(cache, "home"), ...environment };
  return openModel(text, { environment: own, retry: { pauseMs: 5, attempts: 5 }, ...options });
}

/** Paths of everything below a folder, links with their targets. */
function tree(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: "utf8" })
    .filter((path) => !lstatSync(join(folder, path)).isDirectory())
    .map((path) =>
      lstatSync(join(folder, path)).isSymbolicLink()
        ? `${path} -> ${readlinkSync(join(folder, path))}`
        : path,
    )
    .sort();
}

async function contentOf(
  opened: Awaited<ReturnType<typeof open>>,
  path: string,
): Promise<Uint8Array | undefined> {
  const source = await opened.folder.open(path);
  const bytes = await source?.read(0, source.sizeBytes);
  await source?.close?.();
  return bytes;
}

/** `toEqual` takes minutes for so many bytes. */
async function hasWeights(opened: Awaited<ReturnType<typeof open>>): Promise<boolean> {
  return Buffer.from(WEIGHTS).equals((await contentOf(opened, "model.safetensors")) ?? Buffer.alloc(0));
}

/** No blob is there that anybody could take for whole: every name is the hash of its content. */
async function expectNoFalseBlob(repo = "org/model"): Promise<void> {
  const folder = join(cache, `models--${repo.replace("/", "--")}`, "blobs");
  const { createHash } = await import("node:crypto");
  for (const name of readdirSync(folder)) {
    if (name.endsWith(".incomplete")) continue;
    const content = readFileSync(join(folder, name));
    expect(name).toBe(
      name.length === 64 ? createHash("sha256").update(content).digest("hex") : gitHash(content),
    );
  }
}

describe("a model of the hub", () => {
  test("is fetched once, with the files that it needs and no other, into the layout of huggingface_hub", async () => {
    const opened = await open("org/model");
    expect(await hasWeights(opened)).toBe(true);
    const commit = hub.commitOf("org/model");
    const blob = (path: string) => `../../blobs/${path}`;
    const files = tree(join(cache, "models--org--model"));
    const [weights] = files.filter((path) => /^blobs\/[0-9a-f]{64}$/.test(path)).map((path) => path.slice(6));
    expect(files).toEqual(
      [
        `.no_exist/${commit}/chat_template.jinja`,
        `.no_exist/${commit}/generation_config.json`,
        `.no_exist/${commit}/special_tokens_map.json`,
        `.no_exist/${commit}/tokenizer_config.json`,
        `blobs/${gitHash(CHECKPOINT["config.json"])}`,
        `blobs/${gitHash(CHECKPOINT["tokenizer.json"])}`,
        `blobs/${weights}`,
        "refs/main",
        `snapshots/${commit}/config.json -> ${blob(gitHash(CHECKPOINT["config.json"]))}`,
        `snapshots/${commit}/model.safetensors -> ${blob(weights ?? "")}`,
        `snapshots/${commit}/tokenizer.json -> ${blob(gitHash(CHECKPOINT["tokenizer.json"]))}`,
      ].sort(),
    );
    expect(readFileSync(join(cache, "models--org--model/refs/main"), "utf8")).toBe(commit);
    hub.seen.length = 0;
    const again = await open("org/model");
    expect(again.notes).toEqual([]);
    expect(hub.seen.map(({ kind }) => kind)).toEqual(["revision"]);
  });

  test("of a commit that is here asks nothing; of another revision fetches no blob twice", async () => {
    await open("org/model");
    hub.seen.length = 0;
    await open(`org/model@${hub.commitOf("org/model")}`);
    expect(hub.seen).toEqual([]);
    await open("org/model@refs/pr/4");
    expect(hub.seen.some(({ kind }) => kind === "resolve")).toBe(false);
    expect(readFileSync(join(cache, "models--org--model/refs/refs/pr/4"), "utf8")).toBe(
      hub.commitOf("org/model"),
    );
  });

  test("goes to the store without the token, and to the hub with it", async () => {
    await open("org/model", { HF_TOKEN: "hf_secret" });
    const of = (kind: string) =>
      new Set(hub.seen.filter((one) => one.kind === kind).map((one) => one.authorization));
    expect(of("store")).toEqual(new Set([undefined]));
    for (const kind of ["revision", "tree", "resolve"])
      expect(of(kind)).toEqual(new Set(["Bearer hf_secret"]));
  });

  test("sends no token that HF_HUB_DISABLE_IMPLICIT_TOKEN withholds", async () => {
    await open("org/model", { HF_TOKEN: "hf_secret", HF_HUB_DISABLE_IMPLICIT_TOKEN: "1" });
    expect(hub.seen.every(({ authorization }) => authorization === undefined)).toBe(true);
  });

  test("comes by parallel ranges that cover each byte once", async () => {
    await open("org/model");
    const ranges = hub.seen
      .filter(({ kind }) => kind === "store")
      .map(({ range }) => /(\d+)-(\d+)/.exec(range ?? ""));
    const spans = ranges
      .map((match) => [Number(match?.[1]), Number(match?.[2])] as const)
      .sort((a, b) => a[0] - b[0]);
    expect(spans.length).toBeGreaterThan(2);
    let next = 0;
    for (const [first, last] of spans) {
      expect(first).toBe(next);
      next = last + 1;
    }
    expect(next).toBe(WEIGHTS.length);
  });

  test("tells progress from 0 to all bytes, with a rate and the time left", async () => {
    const seen: DownloadProgress[] = [];
    await open("org/model", {}, { onDownload: (progress) => seen.push(progress) });
    const total = WEIGHTS.length + CHECKPOINT["config.json"].length + CHECKPOINT["tokenizer.json"].length;
    expect(seen.at(-1)).toMatchObject({
      phase: "checking",
      doneBytes: total,
      totalBytes: total,
      secondsLeft: 0,
    });
    expect(seen.every((one, i) => one.doneBytes >= (seen[i - 1]?.doneBytes ?? 0))).toBe(true);
    expect(seen.some(({ bytesPerSecond, secondsLeft }) => bytesPerSecond > 0 && (secondsLeft ?? 0) > 0)).toBe(
      true,
    );
  });

  test("in shards has those that its index names", async () => {
    const opened = await open("org/shards");
    expect(await opened.folder.list?.()).toEqual([
      "config.json",
      "model-00001-of-00002.safetensors",
      "model-00002-of-00002.safetensors",
      "model.safetensors.index.json",
    ]);
  });

  test("with an empty file is whole", async () => {
    const opened = await open("org/empty-file");
    expect(await contentOf(opened, "chat_template.jinja")).toEqual(new Uint8Array(0));
  });

  test("by its quantisation has all parts of that file and nothing else", async () => {
    const opened = await open("hf:org/parts:q4_0");
    expect(opened.folder.weightFile).toBe("m-Q4_0-00001-of-00002.gguf");
    expect(await opened.folder.list?.()).toEqual([
      "m-Q4_0-00001-of-00002.gguf",
      "m-Q4_0-00002-of-00002.gguf",
    ]);
    const named = await open("org/parts/Q8_0/m-Q8_0.gguf");
    expect(named.folder.weightFile).toBe("Q8_0/m-Q8_0.gguf");
    expect(await contentOf(named, "Q8_0/m-Q8_0.gguf")).toEqual(new Uint8Array(Buffer.from("eight")));
  });

  test("whose list has pages is listed to the end", async () => {
    hub.pageSize = 2;
    expect(await contentOf(await open("org/model"), "model.safetensors")).toHaveLength(WEIGHTS.length);
  });

  test("is copied where links are refused, and found again", async () => {
    const environment = { HF_HUB_DISABLE_SYMLINKS: "1" };
    await open("org/model", environment);
    const commit = hub.commitOf("org/model");
    const path = join(cache, "models--org--model/snapshots", commit, "model.safetensors");
    expect(lstatSync(path).isSymbolicLink()).toBe(false);
    hub.seen.length = 0;
    await open("org/model", environment);
    expect(hub.seen.map(({ kind }) => kind)).toEqual(["revision"]);
  });
});

describe("offline", () => {
  test("a model that is here opens without a request; one that is not names the way", async () => {
    await open("org/model");
    hub.seen.length = 0;
    const opened = await open("org/model", { HF_HUB_OFFLINE: "1" });
    expect(await contentOf(opened, "config.json")).toBeDefined();
    await expect(open("org/parts:Q4_0", { HF_HUB_OFFLINE: "1" })).rejects.toThrow(
      /not in the cache .*HF_HUB_OFFLINE is set.*lessismore pull org\/parts:Q4_0/,
    );
    expect(hub.seen).toEqual([]);
  });

  test("a hub that does not answer: the model that is here is used, and said", async () => {
    await open("org/model");
    hub.close();
    const opened = await open("org/model");
    expect(opened.notes.join()).toContain("the hub did not answer");
    await expect(open("org/parts:Q4_0")).rejects.toThrow("check the address and the network");
  });

  test("a snapshot without its weights is not taken for whole", async () => {
    const commit = hub.commitOf("org/model");
    const folder = join(cache, "models--org--model");
    mkdirSync(join(folder, "snapshots", commit), { recursive: true });
    mkdirSync(join(folder, "refs"));
    writeFileSync(join(folder, "refs/main"), commit);
    writeFileSync(join(folder, "snapshots", commit, "config.json"), CHECKPOINT["config.json"]);
    await expect(open("org/model", { HF_HUB_OFFLINE: "1" })).rejects.toThrow(/has 1 files.*lessismore pull/);
    expect(await contentOf(await open("org/model"), "model.safetensors")).toHaveLength(WEIGHTS.length);
  });
});

describe("a server at fault", () => {
  test("cuts every connection after some bytes: the download goes on where it broke off", async () => {
    hub.fault = (request, response, { kind, path }) => {
      if (kind !== "store") return false;
      const [, from, to] = /(\d+)-(\d+)/.exec(request.headers.range ?? "") ?? [];
      const content = hub.contentOf("org/model", path);
      const body = content.subarray(Number(from), Number(to) + 1);
      response.writeHead(206, {
        "Content-Range": `bytes ${from}-${to}/${content.length}`,
        "Content-Length": body.length,
      });
      response.write(body.subarray(0, 1_500_000), () => response.destroy());
      return true;
    };
    expect(await hasWeights(await open("org/model"))).toBe(true);
  });

  test.each<[string, number]>([
    ["500", 500],
    ["503", 503],
    ["408", 408],
    ["429", 429],
  ])("answers %s for a while: the request is repeated", async (_, status) => {
    hub.fault = (_request, response, { kind, count }) => {
      if (count > 2 || kind === "search") return false;
      response.writeHead(status, { "Retry-After": "0" }).end();
      return true;
    };
    expect(await hasWeights(await open("org/model"))).toBe(true);
  });

  test("answers 500 for ever: it gives up and keeps nothing that is false", async () => {
    hub.fault = (_request, response, { kind }) => {
      if (kind !== "store") return false;
      response.writeHead(500).end();
      return true;
    };
    await expect(open("org/model")).rejects.toThrow(
      /model\.safetensors.*answered 500.*gave up after 5 attempts/,
    );
    await expectNoFalseBlob();
  });

  test("asks to wait: it waits as long as Retry-After says, and not beyond reason", async () => {
    hub.fault = (_request, response, { kind, count }) => {
      if (kind !== "revision" || count > 1) return false;
      response.writeHead(429, { "Retry-After": "1" }).end();
      return true;
    };
    const startedAt = performance.now();
    await open("org/empty-file");
    expect(performance.now() - startedAt).toBeGreaterThan(950);
    hub.fault = (_request, response) => {
      response.writeHead(429, { "Retry-After": "86400" }).end();
      return true;
    };
    await expect(open("org/model")).rejects.toThrow(/429.*HF_TOKEN.*wait 86400 s/);
  });

  test.each<[string, (content: Buffer) => Buffer]>([
    ["another byte", (content) => Buffer.from(content).fill(0, 7_000_000, 7_000_010)],
    ["only zeros", (content) => Buffer.alloc(content.length)],
  ])("sends %s: the hash is wrong, the error says so, nothing is kept", async (_, change) => {
    const wrong = change(Buffer.from(WEIGHTS));
    hub.fault = (request, response, { kind }) => {
      if (kind !== "store") return false;
      const [, from = 0, to = 0] = /(\d+)-(\d+)/.exec(request.headers.range ?? "") ?? [];
      const body = wrong.subarray(Number(from), Number(to) + 1);
      response.writeHead(206, {
        "Content-Range": `bytes ${from}-${to}/${wrong.length}`,
        "Content-Length": body.length,
      });
      response.end(body);
      return true;
    };
    await expect(open("org/model")).rejects.toThrow(/sha256 .* not kept/);
    await expectNoFalseBlob();
    expect(
      readdirSync(join(cache, "models--org--model/blobs")).some((name) => name.endsWith(".incomplete")),
    ).toBe(false);
    await expect(open("org/model", { HF_HUB_OFFLINE: "1" })).rejects.toThrow(ModelFileError);
    hub.fault = () => false;
    expect(await hasWeights(await open("org/model"))).toBe(true);
  });

  test("sends a small file with another content: the Git hash is wrong", async () => {
    hub.fault = (_request, response, { path }) => {
      if (path !== "config.json") return false;
      response.end('{"model_type":"y"}');
      return true;
    };
    await expect(open("org/model")).rejects.toThrow("git-sha1");
    await expectNoFalseBlob();
  });

  const lying: [string, (from: number, to: number) => Record<string, string | number>, number][] = [
    ["another total", (from, to) => ({ "Content-Range": `bytes ${from}-${to}/${WEIGHTS.length + 1}` }), 0],
    ["another range", (from, to) => ({ "Content-Range": `bytes ${from + 1}-${to}/${WEIGHTS.length}` }), 0],
    [
      "compressed ranges",
      (from, to) => ({
        "Content-Range": `bytes ${from}-${to}/${WEIGHTS.length}`,
        "Content-Encoding": "gzip",
      }),
      0,
    ],
    [
      "more bytes than asked for",
      (from, to) => ({ "Content-Range": `bytes ${from}-${to}/${WEIGHTS.length}` }),
      100,
    ],
  ];
  test.each(lying)("lies about lengths (%s): refused at once", async (_, headers, more) => {
    hub.fault = (request, response, { kind }) => {
      if (kind !== "store") return false;
      const [, from = 0, to = 0] = /(\d+)-(\d+)/.exec(request.headers.range ?? "") ?? [];
      response.writeHead(206, headers(Number(from), Number(to)));
      response.end(Buffer.alloc(Number(to) - Number(from) + 1 + more));
      return true;
    };
    await expect(open("org/model")).rejects.toThrow(/model\.safetensors/);
    expect(hub.seen.filter(({ kind }) => kind === "store").length).toBeLessThan(20);
    await expectNoFalseBlob();
  });

  test("lists one size and links another: refused", async () => {
    hub.fault = (_request, response, { kind, path }) => {
      if (kind !== "resolve" || path !== "model.safetensors") return false;
      response.writeHead(302, { Location: `${hub.storeUrl}/org/model/${path}`, "X-Linked-Size": "5" }).end();
      return true;
    };
    await expect(open("org/model")).rejects.toThrow(/lists .* sends 5/);
  });

  test("ignores ranges: the file comes whole over one connection", async () => {
    hub.fault = (_request, response, { kind }) => {
      if (kind !== "store") return false;
      response.writeHead(200, { "Content-Length": WEIGHTS.length }).end(WEIGHTS);
      return true;
    };
    expect(await hasWeights(await open("org/model"))).toBe(true);
    expect(hub.seen.filter(({ kind }) => kind === "store")).toHaveLength(1);
  });

  test("redirects for ever, or to a place that is less safe: refused", async () => {
    hub.fault = (_request, response, { kind }) => {
      if (kind !== "resolve") return false;
      response.writeHead(302, { Location: `${hub.url}/org/model/resolve/main/config.json` }).end();
      return true;
    };
    await expect(open("org/model")).rejects.toThrow("redirects more than 10 times");
  });

  test("answers with the page of a proxy: the error names what came", async () => {
    hub.fault = (_request, response) => {
      response.end("<html>sign in</html>");
      return true;
    };
    await expect(open("org/model")).rejects.toThrow(/no JSON .*sign in.*HF_ENDPOINT/);
  });

  test("stops sending: the transfer ends when the caller aborts", async () => {
    hub.fault = (_request, response, { kind }) => {
      if (kind !== "store") return false;
      response.writeHead(206, { "Content-Range": `bytes 0-9/${WEIGHTS.length}` });
      response.write("x");
      return true;
    };
    const signal = AbortSignal.timeout(100);
    await expect(open("org/model", {}, { signal })).rejects.toThrow(AbortedError);
  });
});

describe("a refusal says what to do", () => {
  const answer = (status: number, code: string, message: string) => {
    hub.fault = (_request, response, { kind }) => {
      if (kind === "search") return false;
      refuse(response, status, code, message);
      return true;
    };
  };
  test("gated without a token, and with one", async () => {
    answer(401, "GatedRepo", "Access to model org/model is restricted.");
    await expect(open("org/model")).rejects.toThrow(/accept its licence .* set HF_TOKEN/);
    answer(403, "GatedRepo", "Access to model org/model is restricted.");
    await expect(open("org/model", { HF_TOKEN: "hf_x" })).rejects.toThrow(
      /accept its licence .* account of the token/,
    );
  });
  test("a token that is not valid", async () => {
    answer(401, "", "Invalid credentials in Authorization header");
    const failing = open("org/model", { HF_TOKEN: "hf_wrong" });
    await expect(failing).rejects.toThrow(/token is not valid/);
    await expect(failing).rejects.not.toThrow("hf_wrong");
  });
  test("403 without a reason", async () => {
    answer(403, "", "");
    await expect(open("org/model")).rejects.toThrow(/403.*HF_TOKEN/);
  });
  test("a model, a revision, a file and a quantisation that are not there, with near names", async () => {
    await expect(open("org/modell")).rejects.toThrow(
      /no model org\/modell; did you mean org\/model\?.*HF_TOKEN/,
    );
    await expect(open("org/modell")).rejects.toThrow(
      /taken as a model of the hub 127.0.0.1:\d+: there is no file or folder/,
    );
    await expect(open("org/model@v2")).rejects.toThrow("org/model has no revision v2");
    await expect(open("org/parts/m-Q4_1-00001-of-00002.gguf")).rejects.toThrow(
      /did you mean m-Q4_0-00001-of-00002.gguf/,
    );
    await expect(open("org/parts:Q5_K_M")).rejects.toThrow("no GGUF file of Q5_K_M; it has Q4_0, Q8_0");
    await expect(open("org/parts")).rejects.toThrow("name one: hf:org/parts:Q4_0");
    await expect(open("org/model:Q4_0")).rejects.toThrow("org/model has no GGUF file");
  });
});
