/** Saved sessions: after loading, a turn computes what is new alone, and gives the tokens that the conversation would have given. */
import { afterEach, describe, expect, test } from "vitest";
import type { GenerationRequest } from "../../src/engine/request.ts";
import { lessIsMore } from "../../src/index.ts";
import { openFileFolder } from "../../src/node/file-folder.ts";
import { BACKENDS, CACHE_BACKENDS } from "../conformance/backend-table.ts";
import { repositoryPath } from "../golden/open-fixture.ts";
import {
  closeAll,
  expectSameTurn,
  firstTurn,
  idle,
  ids,
  POLICIES,
  QUEST,
  run,
  SEER,
  SIZES,
  SPARSE,
  start,
} from "./session-engines.ts";
import type { TinyOptions } from "./tiny-engine.ts";

afterEach(closeAll);

// WebGPU: test/webgpu/sessions.system.test.ts
describe.each(CACHE_BACKENDS.filter(({ name }) => !name.startsWith("webgpu")))("$name", ({ open }) => {
  test.each(
    POLICIES,
  )("a turn after loading computes what is new alone, and gives the same tokens: %s", async (attention) => {
    await expectSameTurn(open, attention);
  });
});

describe("on the reference backend", () => {
  const [{ open }] = BACKENDS;

  async function saved(request: GenerationRequest = {}, options: TinyOptions = {}) {
    const { engine } = await start(open, options);
    const conversation = await firstTurn(engine, request);
    const { attention, cacheSalt, reusesDecoded } = request;
    const session = await engine.saveSession({
      tokenIds: conversation,
      ...(attention !== undefined && { attention }),
      ...(cacheSalt !== undefined && { cacheSalt }),
      ...(reusesDecoded !== undefined && { reusesDecoded }),
    });
    return { engine, conversation, turn: [...conversation, ...ids(20, 7)], ...session };
  }

  test("a session serves every policy that has no gate, whatever the one it was saved under", async () => {
    const { bytes, turn } = await saved({ attention: SPARSE });
    const { engine } = await start(open);
    expect((await engine.loadSession(bytes, { attention: QUEST })).notes).toEqual([]);
    for (const attention of [QUEST, "full", SPARSE]) {
      const { engine: fresh } = await start(open);
      const expected = await run(fresh, { tokenIds: turn, attention });
      const result = await run(engine, { tokenIds: turn, attention });
      expect(result.tokenIds).toEqual(expected.tokenIds);
      expect(result.usage.cachedTokens).toBeGreaterThanOrEqual(64);
    }
  });

  test("without the data of its gate a policy computes the tokens again, and the notes say so", async () => {
    const { bytes, turn } = await saved({ attention: "full" });
    const { engine } = await start(open);
    const { notes } = await engine.loadSession(bytes, { attention: SEER });
    expect(notes).toEqual([expect.stringContaining("lacks the data of the gate of seer-attention-r")]);
    expect((await run(engine, { tokenIds: turn, attention: SEER })).usage.cachedTokens).toBe(0);
    // a session with the data takes the places of the pages without
    const gated = await saved({ attention: SEER });
    expect((await engine.loadSession(gated.bytes, { attention: SEER })).notes).toEqual([]);
    expect((await run(engine, { tokenIds: gated.turn, attention: SEER })).usage.cachedTokens).toBe(64);
    const other = await engine.loadSession(gated.bytes, {
      attention: "seer-attention-r:gate=blocks-of-4,budget=8",
    });
    expect(other.notes).toEqual([expect.stringContaining("lacks the data of the gate")]);
  });

  test("decoded tokens are saved if the conversation reuses them, for their policy alone", async () => {
    const decoded = { attention: SPARSE, reusesDecoded: true };
    const { engine: first, bytes, turn, decodedTokens } = await saved(decoded);
    expect(decodedTokens).toBe(24);
    const expected = await run(first, { tokenIds: turn, ...decoded });
    const { engine } = await start(open);
    const loaded = await engine.loadSession(bytes, { attention: SPARSE });
    expect(loaded).toEqual({ tokens: 64, decodedTokens: 24, notes: [] });
    const result = await run(engine, { tokenIds: turn, ...decoded });
    expect([result.usage.cachedTokens, result.tokenIds]).toEqual([64, expected.tokenIds]);
    expect(result.notes).toEqual([
      expect.stringMatching(/^reuses 24 cached tokens that depend on an earlier/),
    ]);
    for (const request of [{ attention: QUEST, reusesDecoded: true }, { attention: SPARSE }]) {
      const { engine: other } = await start(open);
      const { notes } = await other.loadSession(bytes, { attention: QUEST });
      expect(notes).toEqual([
        expect.stringMatching(/^24 tokens of the session were decoded under less-is-more:/),
      ]);
      expect((await run(other, { tokenIds: turn, ...request })).usage.cachedTokens).toBe(40);
    }
  });

  test("a policy value has no name for its decoded tokens: they are computed by prefill, and the notes say so", async () => {
    const attention = lessIsMore({ tokenBudget: 12, selectionLayers: [0] }) as never;
    const { decodedTokens, notes } = await saved({ attention, reusesDecoded: true });
    expect([decodedTokens, notes]).toEqual([0, [expect.stringContaining("the policy is a value")]]);
  });

  test("requests of another salt do not find a session", async () => {
    const { bytes, turn } = await saved({ cacheSalt: "a" });
    const { engine } = await start(open);
    await engine.loadSession(bytes, { cacheSalt: "b" });
    const cached = async (request: GenerationRequest) =>
      (await run(engine, { tokenIds: turn, maxTokens: 1, ...request })).usage.cachedTokens;
    expect([await cached({}), await cached({ cacheSalt: "a" }), await cached({ cacheSalt: "b" })]).toEqual([
      0, 0, 64,
    ]);
  });

  test("a session belongs to the RoPE of its requests, which their length chooses", async () => {
    const folder = await openFileFolder(repositoryPath("test/golden/hf/phi3-longrope"));
    const options = { folder, sizes: { ...SIZES, maxSequenceLength: 300 } };
    const tokenIds = ids(60).map((id) => id % 90);
    const { engine: first } = await start(open, options);
    const [long, short] = [
      await first.saveSession({ tokenIds }),
      await first.saveSession({ tokenIds, maxTokens: 20 }),
    ];
    // up to 128 positions take other factors
    for (const [{ bytes }, cached] of [
      [long, [0, 48]],
      [short, [48, 0]],
    ] as const) {
      const { engine } = await start(open, options);
      await engine.loadSession(bytes);
      const found = [];
      for (const maxTokens of [20, 90]) {
        const result = await run(engine, { tokenIds, maxTokens });
        found.push(result.usage.cachedTokens);
        const { engine: fresh } = await start(open, options);
        expect(result.tokenIds).toEqual((await run(fresh, { tokenIds, maxTokens })).tokenIds);
      }
      expect(found).toEqual(cached);
    }
  });

  test("all pages come back, and a session that is there takes no more", async () => {
    const { bytes } = await saved();
    const { engine } = await start(open);
    for (let i = 0; i < 3; i++) await engine.loadSession(bytes);
    await idle(engine);
    const { pages } = engine.stats();
    expect([pages.held, pages.cached, pages.free + pages.cached]).toEqual([0, 16, pages.total]);
  });

  test.each([
    "full",
    SEER,
  ])("of a session whose beginning is there the rest is added: %s", async (attention) => {
    const { bytes, turn } = await saved({ attention });
    const { engine: fresh } = await start(open);
    const expected = (await run(fresh, { tokenIds: turn, attention })).tokenIds;
    const { engine } = await start(open);
    await run(engine, { tokenIds: [...turn.slice(0, 24), ...ids(10, 3)], attention });
    await idle(engine);
    const before = engine.stats().pages.cached;
    await engine.loadSession(bytes, { attention });
    await idle(engine);
    expect(engine.stats().pages.cached).toBe(before + 16 - 6);
    const { tokenIds, usage } = await run(engine, { tokenIds: turn, attention });
    expect([usage.cachedTokens, tokenIds]).toEqual([64, expected]);
  });

  test("sessions are saved and loaded beside requests, whose pages they wait for", async () => {
    const { bytes, turn } = await saved();
    const plan = { sizes: { ...SIZES, maxSequenceLength: 128, maxPages: 36 } };
    const requests = [1, 2, 3].map((from) => ({ tokenIds: ids(48, from), maxTokens: 40 }));
    const expected = [];
    for (const request of requests) {
      const { engine: alone } = await start(open, plan);
      expected.push((await run(alone, request)).tokenIds);
    }
    const { engine } = await start(open, plan);
    const results = requests.map((request) => run(engine, request));
    const [loaded, other] = await Promise.all([
      engine.loadSession(bytes),
      engine.saveSession({ tokenIds: ids(70, 9) }),
    ]);
    expect((await Promise.all(results)).map(({ tokenIds }) => tokenIds)).toEqual(expected);
    expect([loaded.tokens, other.tokens]).toEqual([64, 64]);
    const { engine: fresh } = await start(open, plan);
    const tokens = (await run(fresh, { tokenIds: turn })).tokenIds;
    expect((await run(engine, { tokenIds: turn })).tokenIds).toEqual(tokens);
    await idle(engine);
    const { pages } = engine.stats();
    expect([pages.held, pages.free + pages.cached]).toEqual([0, pages.total]);
  });

  test("a call that cannot be is refused, one that is aborted ends, and the engine goes on", async () => {
    const { engine, bytes } = await saved();
    const refused: readonly (readonly [Promise<unknown>, RegExp])[] = [
      [engine.saveSession({}), /saveSession: give exactly one of messages, prompt and tokenIds; got none/],
      [engine.saveSession({ tokenIds: ids(3) }), /has 3 tokens, which fill no page of 4/],
      [engine.saveSession({ tokenIds: ids(30), seed: 1 } as never), /saveSession: unknown.*seed/],
      [engine.loadSession("bytes" as never), /expected the bytes of a session \(Uint8Array\), got "bytes"/],
      [engine.loadSession(bytes, { attention: "nonsense" }), /unknown attention "nonsense"/],
      [engine.saveSession({ tokenIds: ids(30), signal: AbortSignal.abort() }), /saveSession was aborted/],
      [engine.loadSession(bytes, { signal: AbortSignal.abort() }), /loadSession was aborted/],
    ];
    for (const [call, reason] of refused) await expect(call).rejects.toThrow(reason);
    const controller = new AbortController();
    const waiting = engine.saveSession({ tokenIds: ids(200, 8), signal: controller.signal });
    controller.abort();
    await expect(waiting).rejects.toMatchObject({ code: "aborted" });
    await idle(engine);
    const ending = [engine.saveSession({ tokenIds: ids(200, 9) }), engine.loadSession(bytes)];
    const ended = ending.map((call) => expect(call).rejects.toMatchObject({ code: "aborted" }));
    await engine.close();
    await Promise.all(ended);
    await expect(engine.loadSession(bytes)).rejects.toThrow("the engine is closed");
  });
});
