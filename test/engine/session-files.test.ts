/** Files of sessions that are damaged, of another engine, or made to harm: a typed error that says what to do, and an engine that goes on. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, describe, expect, it, test } from "vitest";
import { SessionError, type SessionErrorReason } from "../../src/base/errors.ts";
import { Fingerprint } from "../../src/base/fingerprint.ts";
import type { GenerationEngine } from "../../src/engine/engine.ts";
import { openFileFolder } from "../../src/node/file-folder.ts";
import { BACKENDS, BACKENDS_AND_ROUNDED } from "../conformance/backend-table.ts";
import { memoryFolder } from "../golden/memory-folder.ts";
import { repositoryPath } from "../golden/open-fixture.ts";
import { closeAll, idle, ids, run, SEER, SIZES, SPARSE, start } from "./session-engines.ts";
import { TINY_MODEL } from "./tiny-engine.ts";

afterEach(closeAll);

const [{ open }] = BACKENDS;
const tokenIds = ids(40);

async function save(attention = "full") {
  const { engine } = await start(open);
  const { bytes } = await engine.saveSession({ tokenIds, attention });
  return { engine, bytes };
}

/** The error that a file gives; the engine is as it was. */
async function refusal(engine: GenerationEngine, bytes: Uint8Array): Promise<SessionError> {
  const { cached } = engine.stats().pages;
  const error: unknown = await engine.loadSession(bytes).catch((thrown: unknown) => thrown);
  if (!(error instanceof SessionError)) throw new Error(`expected a SessionError, got ${String(error)}`);
  expect(error.code).toBe("session");
  expect(error.message).toMatch(
    /^loading a session: .*(; | or )(it is damaged: save the conversation again, or )?(go on|open the engine)/,
  );
  expect(engine.stats().pages).toMatchObject({ held: 0, cached });
  return error;
}

interface Parts {
  readonly header: Record<string, unknown>;
  readonly metadata: Record<string, string>;
  readonly data: Uint8Array;
}

function partsOf(bytes: Uint8Array): Parts {
  const length = Number(new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true));
  const { __metadata__, ...header } = JSON.parse(new TextDecoder().decode(bytes.subarray(8, 8 + length)));
  return { header, metadata: __metadata__, data: bytes.slice(8 + length) };
}

/** A file whose checksum is right, whatever it says. */
function fileOf({ header, metadata: { checksum: _, ...metadata }, data }: Parts): Uint8Array {
  const sum = new Fingerprint().addText(JSON.stringify(metadata)).addBytes(data).toString();
  const text = new TextEncoder().encode(
    JSON.stringify({ __metadata__: { ...metadata, checksum: sum }, ...header }),
  );
  const padded = Math.ceil(text.length / 8) * 8;
  const bytes = new Uint8Array(8 + padded + data.length).fill(0x20);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(padded), true);
  bytes.set(text, 8);
  bytes.set(data, 8 + padded);
  return bytes;
}

describe("a session file", () => {
  it("that was cut anywhere, or has more behind it, is damaged", async () => {
    const { engine, bytes } = await save();
    const dataStart = bytes.length - partsOf(bytes).data.length;
    const lengths = [
      0,
      1,
      7,
      8,
      9,
      100,
      dataStart - 1,
      dataStart,
      dataStart + 4,
      bytes.length - 4,
      bytes.length - 1,
    ];
    for (const length of lengths)
      expect((await refusal(engine, bytes.slice(0, length))).reason).toBe("damaged");
    const more = new Uint8Array(bytes.length + 8);
    more.set(bytes);
    expect((await refusal(engine, more)).reason).toBe("damaged");
  });

  it("with any byte changed is refused", async () => {
    const { engine, bytes } = await save(SEER);
    const { data } = partsOf(bytes);
    const dataStart = bytes.length - data.length;
    const places = [
      ...Array.from({ length: dataStart }, (_, at) => at),
      ...Array.from({ length: 200 }, (_, i) => dataStart + Math.floor((i * data.length) / 200)),
      bytes.length - 1,
    ];
    for (const at of places) {
      const changed = bytes.slice();
      changed[at] = (changed[at] as number) ^ (1 << (at % 8));
      await refusal(engine, changed);
    }
  });

  it("that lies about its sizes with a right checksum takes no memory and is damaged", async () => {
    const { engine, bytes } = await save();
    const { header, metadata, data } = partsOf(bytes);
    const kv = header.kv as { shape: number[]; data_offsets: number[] };
    const ids = header.token_ids as object;
    const huge = 2 ** 52;
    const headers: Record<string, unknown>[] = [
      { ...header, kv: { ...kv, shape: [huge, ...kv.shape.slice(1)] } },
      { ...header, kv: { ...kv, data_offsets: [0, huge] } },
      { ...header, token_ids: { ...ids, shape: [32] }, kv: { ...kv, shape: [32, ...kv.shape.slice(1)] } },
      { ...header, token_ids: { ...ids, shape: [-4] } },
      { ...header, token_ids: { ...ids, shape: ["40"] } },
      { ...header, token_ids: { ...ids, shape: [[40]] } },
      { ...header, token_ids: undefined },
      { ...header, kv: null },
      { kv, token_ids: ids },
      { ...header, gate_pools: { dtype: "F32", shape: [0], data_offsets: [0, 0] } },
    ];
    for (const one of headers)
      expect((await refusal(engine, fileOf({ header: one, metadata, data }))).reason).toBe("damaged");
    const claims: Record<string, string>[] = [
      { dense_tokens: "4000" },
      { dense_tokens: "39" },
      { dense_tokens: "-4" },
      { dense_tokens: "1e1" },
      { dense_tokens: "" },
      { rope: "[]" },
      { rope: "[1]" },
      { rope: "{" },
      { gate: "abc" },
      { more: "x" },
    ];
    for (const one of claims)
      expect(
        (await refusal(engine, fileOf({ header, metadata: { ...metadata, ...one }, data }))).reason,
      ).toBe("damaged");
  });

  it("that is no session, or has a header without end, is damaged", async () => {
    const { engine } = await save();
    const text = (content: string) => new TextEncoder().encode(content);
    const headed = (length: bigint, content: string) => {
      const bytes = new Uint8Array(8 + content.length);
      new DataView(bytes.buffer).setBigUint64(0, length, true);
      bytes.set(text(content), 8);
      return bytes;
    };
    const whole = (content: string) => headed(BigInt(content.length), content);
    for (const bytes of [
      text('{"format":"lessismore-chat-1","messages":[]}'),
      text("version https://git-lfs.github.com/spec/v1\n"),
      headed(2n ** 63n, "{}"),
      headed(1n << 20n, "x".repeat(1 << 20)),
      whole("[".repeat(60_000)),
      whole(`{"a":[${"1,".repeat(30_000)}1]}`),
      whole("{}"),
      whole('{"__metadata__":{"format":"pt"}}'),
      whole('{"__metadata__":{"format":1}}'),
      whole('{"__metadata__":[]}'),
      whole("null"),
      new Uint8Array(1000),
      new Uint8Array(1000).fill(255),
    ])
      expect((await refusal(engine, bytes)).reason).toBe("damaged");
  });

  it("may stand anywhere in memory", async () => {
    const { bytes } = await save();
    const { engine } = await start(open);
    const moved = new Uint8Array(bytes.length + 11).subarray(3, 3 + bytes.length);
    moved.set(bytes);
    expect((await engine.loadSession(moved)).tokens).toBe(40);
    expect((await run(engine, { tokenIds })).usage.cachedTokens).toBe(32);
  });

  test("numbers that are none fail the requests that find them, and no other", async () => {
    const { bytes } = await save();
    const { header, metadata, data } = partsOf(bytes);
    new Float32Array(data.buffer, 4 * 40).fill(Number.NaN);
    const { engine } = await start(open);
    await engine.loadSession(fileOf({ header, metadata, data }), { cacheSalt: "spoiled" });
    const other = run(engine, { tokenIds: ids(40, 3) });
    await expect(run(engine, { tokenIds, cacheSalt: "spoiled" })).rejects.toThrow(/decoding the token/);
    await other;
    expect((await run(engine, { tokenIds })).usage).toMatchObject({ cachedTokens: 0, completionTokens: 12 });
    // nor do pages keep them that others take
    for (let from = 10; from < 20; from++) await run(engine, { tokenIds: ids(200, from) });
    await idle(engine);
  });
});

describe("a session of", () => {
  async function expectReason(
    engine: GenerationEngine,
    bytes: Uint8Array,
    reason: SessionErrorReason,
    says: RegExp,
  ) {
    const error = await refusal(engine, bytes);
    expect([error.reason, error.message]).toEqual([reason, expect.stringMatching(says)]);
  }

  it("another version of the format says so", async () => {
    const { engine, bytes } = await save();
    const { header, metadata, data } = partsOf(bytes);
    const later = fileOf({ header, metadata: { ...metadata, version: "2" }, data });
    await expectReason(engine, later, "version", /version "2" of the format, this package reads version 1/);
  });

  it("other weights, another config or another model says so", async () => {
    const { bytes } = await save();
    const says = /it is of the model "tiny" .* in other weights or another precision/;
    const file = async (name: string) => new Uint8Array(await readFile(join(TINY_MODEL, name)));
    const config = new TextDecoder().decode(await file("config.json"));
    const weights = await file("model.safetensors");
    const changed = weights.slice();
    const dataStart = 8 + Number(new DataView(weights.buffer).getBigUint64(0, true));
    // the last bit of a mantissa, in one row of one matrix
    for (let at = dataStart + 4096; at < dataStart + 4096 + 256; at += 4)
      changed[at] = (changed[at] as number) ^ 1;
    const folders = [
      memoryFolder({ "config.json": config, "model.safetensors": changed }),
      memoryFolder({
        "config.json": JSON.stringify({ ...JSON.parse(config), rms_norm_eps: 0.01 }),
        "model.safetensors": weights,
      }),
      await openFileFolder(repositoryPath("test/golden/hf/qwen3-untied")),
    ];
    for (const folder of folders)
      await expectReason((await start(open, { folder })).engine, bytes, "model", says);
    const same = memoryFolder({ "config.json": config, "model.safetensors": weights });
    expect((await (await start(open, { folder: same })).engine.loadSession(bytes)).tokens).toBe(40);
  });

  it("another type of the cache, other pages or a longer context says so", async () => {
    const { bytes } = await save();
    const rounded = BACKENDS_AND_ROUNDED.find(({ name }) => name === "wasm, q8 cache");
    if (!rounded) throw new Error("there is no backend with a q8 cache");
    const { engine: q8 } = await start(rounded.open);
    await expectReason(
      q8,
      bytes,
      "cache",
      /it has cacheDtype "f32" and pages of "4" tokens, this engine cacheDtype q8/,
    );
    const { engine: paged } = await start(open, { sizes: { ...SIZES, pageSize: 8 } });
    await expectReason(paged, bytes, "cache", /this engine cacheDtype f32 and pages of 8 tokens/);
    const { engine: small } = await start(open, { sizes: { ...SIZES, maxSequenceLength: 36 } });
    await expectReason(
      small,
      bytes,
      "cache",
      /it has 40 tokens, the context holds 36; open the engine with a larger/,
    );
  });

  it("another backend is used, and a note says so", async () => {
    const { bytes } = await save(SPARSE);
    const [, wasm] = BACKENDS;
    if (!wasm) throw new Error("there is one backend alone");
    const { engine } = await start(wasm.open);
    const { notes } = await engine.loadSession(bytes);
    expect(notes).toEqual([
      expect.stringMatching(/computed on the backend reference, whose sums differ from those of wasm/),
    ]);
    expect((await run(engine, { tokenIds })).usage.cachedTokens).toBe(32);
  });
});
