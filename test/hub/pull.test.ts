import {
  closeSync,
  cpSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { AbortedError } from "../../src/base/errors.ts";
import type { DownloadProgress } from "../../src/load/hub/transfer-rate.ts";
import { removeFromCache } from "../../src/node/hub/cached-models.ts";
import { HubCache } from "../../src/node/hub/hub-cache.ts";
import { removeModel } from "../../src/node/hub/models.ts";
import {
  CHECKPOINT,
  cache,
  contentOf,
  expectNoFalseBlob,
  hasWeights,
  hub,
  open,
  tree,
  WEIGHTS,
} from "./hub-trial.ts";
import { gitHash, LocalHub } from "./local-hub.ts";

describe("a model of the hub", () => {
  test("keeps what came when the download is interrupted, but for 256 KiB of each connection", async () => {
    hub.piece = { bytes: 64 << 10, pauseMs: 15 };
    const ending = new AbortController();
    let came = 0;
    const onDownload = ({ doneBytes }: DownloadProgress) => {
      came = doneBytes;
      if (came >= 5_000_000) ending.abort();
    };
    await expect(open("org/model", {}, { signal: ending.signal, onDownload })).rejects.toThrow(AbortedError);
    let total = 0;
    await open("org/model", {}, { onDownload: ({ totalBytes }) => (total = totalBytes) });
    expect(came).toBeGreaterThanOrEqual(5_000_000);
    expect(total).toBeLessThanOrEqual(WEIGHTS.length - came + 8 * (256 << 10) + 100);
  });

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

  test("by a file of safetensors in a folder has the texts beside it", async () => {
    const repo = { "v2/config.json": "{}", "v2/model.safetensors": "w", "config.json": '{"other":1}' };
    const inner = await LocalHub.start({ "org/inner": { files: repo } });
    try {
      const opened = await open("org/inner/v2/model.safetensors", { HF_ENDPOINT: inner.url });
      expect(opened.folder.weightFile).toBe("model.safetensors");
      expect(new TextDecoder().decode(await contentOf(opened, "config.json"))).toBe("{}");
    } finally {
      inner.close();
    }
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

  test("of which one quantisation is here is not taken for that one, unless the hub cannot be asked", async () => {
    await open("hf:org/parts:Q8_0");
    await expect(open("org/parts")).rejects.toThrow("has 2 GGUF files that it may mean");
    const commit = hub.commitOf("org/parts");
    await expect(open(`org/parts@${commit}`)).rejects.toThrow("has 2 GGUF files that it may mean");
    const { folder, notes } = await open("org/parts", { HF_HUB_OFFLINE: "1" });
    expect(folder.weightFile).toBe("Q8_0/m-Q8_0.gguf");
    expect(notes.join()).toContain("org/parts is taken as Q8_0/m-Q8_0.gguf");
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

describe("a cache", () => {
  test("of a machine without flock(1) is filled all the same, and keeps no part of a failed download", async () => {
    const { PATH } = process.env;
    process.env.PATH = cache;
    try {
      hub.fault = (_request, response, { kind }) => {
        if (kind === "store") response.end(Buffer.alloc(WEIGHTS.length));
        return kind === "store";
      };
      await expect(open("org/model")).rejects.toThrow("sha256");
      hub.fault = () => false;
      await Promise.all([open("org/model"), open("org/model")]);
    } finally {
      process.env.PATH = PATH;
    }
    expect(await hasWeights(await open("org/model"))).toBe(true);
    expectNoFalseBlob();
    expect(
      tree(join(cache, "models--org--model/blobs")).filter((name) => name.endsWith(".incomplete")),
    ).toEqual([]);
  });

  test("that may not be written to serves what it has", async () => {
    await open("org/model");
    rmSync(join(cache, "models--org--model/.no_exist"), { recursive: true });
    writeFileSync(join(cache, "models--org--model/.no_exist"), "no folder can be made here");
    hub.seen.length = 0;
    expect(await hasWeights(await open("org/model"))).toBe(true);
    expect(hub.seen.map(({ kind }) => kind)).toEqual(["revision", "tree"]);
  });

  test("with a blob of the wrong size gets it anew when all is checked", async () => {
    const opened = await open("org/model");
    truncateSync(join(opened.folder.name, "model.safetensors"), 1000);
    expect(await hasWeights(await open("org/model", {}, { isThorough: true }))).toBe(true);
    expectNoFalseBlob();
  });

  test("with parts that a crash of the machine has spoilt gets them anew", async () => {
    const stop = new AbortController();
    const isHere = ({ doneBytes }: DownloadProgress) => doneBytes > 5_000_000 && stop.abort();
    await open("org/model", {}, { signal: stop.signal, onDownload: isHere, connections: 1 }).catch(() => {});
    const blobs = join(cache, "models--org--model/blobs");
    const [partial = ""] = readdirSync(blobs).filter((name) => name.endsWith(".incomplete"));
    const file = openSync(join(blobs, partial), "r+");
    writeSync(file, "spoilt", 1000);
    closeSync(file);
    expect(await hasWeights(await open("org/model"))).toBe(true);
    expectNoFalseBlob();
  });

  test("without room says what is free and what is needed, before it fetches", async () => {
    const full = new HubCache(join(cache, "not", "yet"));
    await expect(full.checkSpace(1e18)).rejects.toThrow(
      /takes 1000000000.00 GB, and .* GB free.*HF_HUB_CACHE/,
    );
    await full.checkSpace(1000);
  });

  test("that cannot be made says so", async () => {
    writeFileSync(join(cache, "file"), "");
    await expect(open("org/model", { HF_HUB_CACHE: join(cache, "file") })).rejects.toThrow(
      /making .*HF_HUB_CACHE/,
    );
  });

  test("loses one revision, and what only that had", async () => {
    await open("org/model@v1");
    const old = hub.commitOf("org/model");
    const folder = join(cache, "models--org--model");
    const other = "c".repeat(40);
    mkdirSync(join(folder, "snapshots", other));
    cpSync(join(folder, "snapshots", old, "config.json"), join(folder, "snapshots", other, "config.json"), {
      verbatimSymlinks: true,
    });
    const { freedBytes } = await removeFromCache(cache, "org/model", "v1");
    expect(freedBytes).toBe(WEIGHTS.length + CHECKPOINT["tokenizer.json"].length);
    expect(tree(folder).filter((path) => !path.startsWith("."))).toEqual([
      `blobs/${gitHash(CHECKPOINT["config.json"])}`,
      `snapshots/${other}/config.json -> ../../blobs/${gitHash(CHECKPOINT["config.json"])}`,
    ]);
    await expect(removeFromCache(cache, "org/model", "v9")).rejects.toThrow(/no such revision.*cccccccc/);
    mkdirSync(join(folder, "snapshots", `cc${"d".repeat(38)}`));
    await expect(removeFromCache(cache, "org/model", "cc")).rejects.toThrow(/may mean cccc.* or ccdd/);
    await expect(removeModel("hf:org/model:Q4_0")).rejects.toThrow("a single file is not removed");
  });
});
