import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { ConfigError, ModelFileError } from "../../src/node/index.ts";
import { gitHash, LocalHub } from "../../test/hub/local-hub.ts";
import { readDataOptions } from "./data-option.ts";
import { loadDataFile, loadDataset } from "./load-data.ts";
import { shuffleChoices } from "./shuffle-choices.ts";

const golden = (name: string) =>
  fileURLToPath(new URL(`../../test/golden/eval-data/${name}`, import.meta.url));
const rows: Record<"aime" | "math" | "gpqa", Record<string, unknown>[]> = JSON.parse(
  readFileSync(golden("rows.json"), "utf8"),
);
const lines = (of: readonly unknown[]) => of.map((row) => JSON.stringify(row)).join("\n");

let hub: LocalHub;
let cache: string;
beforeEach(async () => {
  hub = await LocalHub.start({
    "datasets/HuggingFaceH4/MATH-500": {
      files: { "README.md": "read me", "test.jsonl": lines(rows.math) },
      revisions: ["v1"],
    },
    "datasets/Maxwell-Jia/AIME_2024": {
      files: { "aime_2024_problems.parquet": new Uint8Array(readFileSync(golden("aime-v2.parquet"))) },
    },
    "datasets/math-ai/aime25": {
      files: {
        "data/test-00000-of-00002.parquet": new Uint8Array(readFileSync(golden("math-snappy.parquet"))),
        "data/test-00001-of-00002.parquet": new Uint8Array(readFileSync(golden("math-zstd.parquet"))),
        "data/train-00000-of-00001.parquet": "not asked for",
      },
    },
    "datasets/Idavidrein/gpqa": {
      files: {
        "gpqa_diamond.csv": readFileSync(golden("gpqa_diamond.csv"), "utf8"),
        "gpqa_main.csv": "a,b\n1,2",
      },
      token: "hf_accepted",
    },
    "datasets/org/other": { files: { "train.txt": "x", "extra.csv": "a\n1" } },
  });
  cache = mkdtempSync(join(tmpdir(), "lessismore-data-"));
});
afterEach(() => {
  hub.close();
  rmSync(cache, { recursive: true });
});

const environment = (more: Record<string, string> = {}) => ({
  ...{ HF_HUB_CACHE: join(cache, "hub"), HF_HOME: join(cache, "home"), HF_ENDPOINT: hub.url },
  ...more,
});
const load = (name: string, more: Record<string, string> = {}, from?: string) =>
  loadDataset(name, { environment: environment(more), from, retry: { attempts: 2, pauseMs: 5 } });
const fetched = () => hub.seen.filter(({ kind }) => kind === "resolve").map(({ path }) => path);

describe("a data set of the hub", () => {
  test("comes once, into the layout of huggingface_hub, and names its commit", async () => {
    const data = await load("math500");
    const commit = hub.commitOf("datasets/HuggingFaceH4/MATH-500");
    expect(data.source).toEqual({
      ...{ kind: "hub", repo: "HuggingFaceH4/MATH-500", revision: "main" },
      ...{ commit, files: ["test.jsonl"] },
    });
    expect(data.problems.length).toBe(rows.math.length);
    expect(data.problems[2]).toMatchObject({
      ...{ id: "test/prealgebra/3.json", problem: rows.math[2]?.problem, answer: "\\frac{3}{4}" },
      ...{ answerKind: "math", doc: { subject: "Prealgebra", level: 4 } },
    });
    const folder = join(cache, "hub/datasets--HuggingFaceH4--MATH-500");
    expect(readdirSync(join(folder, "blobs"))).toEqual([gitHash(lines(rows.math))]);
    expect(readFileSync(join(folder, "refs/main"), "utf8")).toBe(commit);
    expect(existsSync(join(folder, "snapshots", commit, "test.jsonl"))).toBe(true);
    expect(fetched()).toEqual(["test.jsonl"]);
    await load("math500");
    expect(fetched()).toEqual(["test.jsonl"]);
  });

  test("opens offline once it is there, and says what is missing if it is not", async () => {
    await expect(load("math500", { HF_HUB_OFFLINE: "1" })).rejects.toThrow(
      /data set HuggingFaceH4\/MATH-500: it is not in the cache .*HF_HUB_OFFLINE is set/,
    );
    const online = await load("math500");
    hub.seen.length = 0;
    const offline = await load("math500", { HF_HUB_OFFLINE: "1" });
    expect(offline.identity).toEqual(online.identity);
    expect(offline.source).toEqual(online.source);
    expect(hub.seen).toEqual([]);
  });

  test("that was fetched is used with a note while the hub fails, and is an error otherwise", async () => {
    await load("math500");
    hub.fault = (_, response) => {
      response.writeHead(503).end();
      return true;
    };
    const data = await load("math500");
    expect(data.notes.join()).toMatch(
      /is used as the cache .* has it, because the hub did not answer: .* 503/,
    );
    await expect(load("aime24")).rejects.toThrow(ModelFileError);
  });

  test("has its columns in any case, of Parquet in one file or in parts, and answers of AIME as whole numbers", async () => {
    const aime = await load("aime24");
    expect(aime.problems.map(({ id, answer, answerKind }) => [id, answer, answerKind])).toEqual(
      rows.aime.map(({ ID, Answer }) => [ID, String(Answer), "integer"]),
    );
    expect(aime.notes).toEqual(["aime24 has 6 problems here; the published set has 30"]);
    const parts = await load("aime25");
    expect(parts.problems.length).toBe(2 * rows.math.length);
    expect(fetched()).not.toContain("data/train-00000-of-00001.parquet");
    expect(new Set(parts.problems.map(({ id }) => id)).size).toBe(2 * rows.math.length);
    expect(parts.notes[0]).toMatch(/40 ids come again \(such as "test\/prealgebra\/1\.json"\)/);
    expect(parts.notes[1]).toMatch(/40 problems come again/);
  });

  test("of a mirror and a revision comes from there", async () => {
    const data = await load("math500", {}, "hf:HuggingFaceH4/MATH-500@v1");
    expect(data.source).toMatchObject({ revision: "v1" });
    const commit = hub.commitOf("datasets/HuggingFaceH4/MATH-500");
    hub.seen.length = 0;
    expect((await load("math500", {}, `hf:HuggingFaceH4/MATH-500@${commit}`)).source).toMatchObject({
      commit,
    });
    expect(hub.seen.map(({ kind }) => kind)).toEqual(["tree"]);
    await expect(load("math500", {}, "hf:HuggingFaceH4/MATH-500@v9")).rejects.toThrow(/has no revision v9/);
    await expect(load("math500", {}, "hf:HuggingFaceH4/MATH-5OO")).rejects.toThrow(
      /there is no data set HuggingFaceH4\/MATH-5OO; did you mean HuggingFaceH4\/MATH-500\?/,
    );
    await expect(load("math500", {}, "hf:org/other")).rejects.toThrow(
      /none of its files .* it has extra\.csv/,
    );
    await expect(load("math500", {}, "hf:../../etc")).rejects.toThrow(ConfigError);
  });

  test("that is gated names the licence and the token, sends the token, and shows it nowhere", async () => {
    const refused = await load("gpqa-diamond").catch((error: unknown) => error);
    expect(refused).toBeInstanceOf(ModelFileError);
    expect(String(refused)).toMatch(/Idavidrein\/gpqa is gated: accept its licence .* then set HF_TOKEN/);
    const wrong = await load("gpqa-diamond", { HF_TOKEN: "hf_other" }).catch((error: unknown) => error);
    expect(String(wrong)).toMatch(/gated: accept its licence .* with the account of the token that is used/);
    expect(String(wrong)).not.toContain("hf_other");
    const data = await load("gpqa-diamond", { HF_TOKEN: "hf_accepted" });
    expect(data.problems.length).toBe(12);
    expect(JSON.stringify(data)).not.toContain("hf_accepted");
  });
});

describe("options of a choice", () => {
  const load = (seed?: number) =>
    loadDataset("gpqa-diamond", { from: golden("gpqa_diamond.csv"), ...(seed !== undefined && { seed }) });

  test("are shuffled by the seed, and the answer's letter follows the right one", async () => {
    const data = await load(1);
    for (const [index, problem] of data.problems.entries()) {
      const { choices = [], answer, question, doc } = problem;
      expect(choices[answer.charCodeAt(0) - 65]).toBe(rows.gpqa[index]?.["Correct Answer"]);
      expect(new Set(choices).size).toBe(4);
      expect(problem.problem).toBe(
        `${question}\n\n${choices.map((one, i) => `${"ABCD"[i]}) ${one}`).join("\n")}`,
      );
      expect(doc["Record ID"]).toBe(problem.id);
    }
    expect(new Set(data.problems.map(({ answer }) => answer)).size).toBe(4);
    expect(await load(1)).toEqual(data);
    const other = await load(2);
    expect(other.identity).not.toEqual(data.identity);
    expect(other.problems.map(({ answer }) => answer)).not.toEqual(data.problems.map(({ answer }) => answer));
  });

  test("put the right one at each letter a quarter of the time, within 0.02 of 4,000", () => {
    const counts = [0, 0, 0, 0];
    for (let i = 0; i < 4000; i++) {
      const { rightIndex } = shuffleChoices(["right", "a", "b", "c"], { seed: 3, id: `rec${i}` });
      counts[rightIndex] = (counts[rightIndex] ?? 0) + 1;
    }
    for (const count of counts) expect(Math.abs(count / 4000 - 0.25)).toBeLessThan(0.02);
  });

  test("do not depend on which other problems there are", async () => {
    const path = join(cache, "gpqa-diamond.json");
    writeFileSync(path, JSON.stringify(rows.gpqa.slice(5)));
    const some = await loadDataset("gpqa-diamond", { folder: cache });
    expect(some.problems).toEqual((await load(0)).problems.slice(5));
  });

  test("that stand in the question with the answer A every time get a warning", async () => {
    const path = join(cache, "gpqa.jsonl");
    writeFileSync(
      path,
      lines(rows.gpqa.map(({ Question }) => ({ question: `${Question} A) 1 B) 2`, answer: "A" }))),
    );
    const { problems, notes } = await loadDataset("gpqa-diamond", { from: path });
    expect(problems[0]).toMatchObject({ answer: "A", answerKind: "choice" });
    expect(notes.join()).toMatch(/every right answer is A, since its options are not shuffled/);
  });
});

describe("a local copy", () => {
  test("of a folder wins over the hub, has the same identity as the hub's, and may come from LESSISMORE_DATA", async () => {
    writeFileSync(join(cache, "math-500.jsonl"), lines(rows.math));
    const local = await loadDataset("math500", { environment: environment(), folder: cache });
    expect(local.source).toEqual({ kind: "file", path: join(cache, "math-500.jsonl") });
    expect(hub.seen).toEqual([]);
    expect(local.identity).toEqual((await load("math500")).identity);
    expect((await load("math500", { LESSISMORE_DATA: cache })).source).toEqual(local.source);
    expect((await load("aime24", { LESSISMORE_DATA: cache })).source).toMatchObject({ kind: "hub" });
    await expect(load("math500", { LESSISMORE_DATA: join(cache, "none") })).rejects.toThrow(/is no folder/);
  });

  test("takes answers as texts or numbers, of AIME without leading zeros", async () => {
    const path = join(cache, "aime.jsonl");
    writeFileSync(
      path,
      lines([
        { problem: "1+1?", answer: "002" },
        { question: "x?", answer: 70, id: 0 },
      ]),
    );
    const { problems } = await loadDataset("aime24", { from: path });
    expect(problems.map(({ id, answer }) => [id, answer])).toEqual([
      ["0", "2"],
      ["0#2", "70"],
    ]);
  });

  test.each([
    [{ problem: "1?" }, /row\.jsonl, line 1: expected "answer" or .* the row has problem$/],
    [{ answer: "1" }, /line 1: expected "problem" or "question" or "prompt"/],
    [{ problem: "1?", answer: "" }, /expected "answer"/],
    [{ problem: "1?", answer: [1] }, /"answer" holds a list; expected a number or a text/],
    [{ problem: { a: 1 }, answer: 1 }, /"problem" holds an object/],
    [{ problem: "x".repeat(1_100_000), answer: 1 }, /"problem" holds a text of 1100000 characters/],
    [{ "Incorrect Answer 1": "b", question: "q", "Correct Answer": "a" }, /expected "incorrect answer 2"/],
  ])("refuses the row %j", async (row, message) => {
    const path = join(cache, "row.jsonl");
    writeFileSync(path, lines([row]));
    await expect(loadDataFile(path)).rejects.toThrow(message);
    await expect(loadDataFile(path)).rejects.toThrow(ModelFileError);
  });

  test("keeps rows whose ids are names of an object's own members", async () => {
    const path = join(cache, "mine.jsonl");
    writeFileSync(
      path,
      '{"problem":"a","answer":1,"id":"__proto__","__proto__":{"polluted":1}}\n{"problem":"b","answer":2,"id":"constructor"}',
    );
    const { problems, name } = await loadDataFile(path);
    expect(name).toBe("mine");
    expect(problems.map(({ id }) => id)).toEqual(["__proto__", "constructor"]);
    expect("polluted" in {}).toBe(false);
  });
});

describe("--data", () => {
  test("takes NAME=FILE, NAME=hf:org/name, a folder, and files of one's own", () => {
    const mine = join(cache, "mine.jsonl");
    writeFileSync(mine, "{}");
    const options = readDataOptions([`aime24=${mine}`, "gpqa-diamond=hf:org/copy@v1", cache, mine]);
    expect([...options.named]).toEqual([
      ["aime24", mine],
      ["gpqa-diamond", "hf:org/copy@v1"],
    ]);
    expect(options.folder).toBe(cache);
    expect(options.files).toEqual([{ task: "mine", path: mine }]);
  });

  test.each<[string[], RegExp]>([
    [["aime24=none.jsonl"], /there is no file none\.jsonl/],
    [["aime2=x.jsonl"], /"aime2" is none of aime24, aime25/],
    [["none.jsonl"], /there is no such file/],
    [["package.json5"], /there is no such file/],
    [["LICENSE"], /it is no file that ends in \.jsonl/],
    [["aime24=hf:a/b", "aime24=hf:a/c"], /aime24 has a source already/],
    [[tmpdir(), tmpdir()], /is the folder already/],
  ])("refuses %j", (texts, message) => {
    expect(() => readDataOptions(texts)).toThrow(ConfigError);
    expect(() => readDataOptions(texts)).toThrow(message);
  });
});

test("a name that is no data set is refused with the names that are", async () => {
  await expect(loadDataset("aime23")).rejects.toThrow(
    /expected one of aime24, aime25, math500, gpqa-diamond/,
  );
  await expect(loadDataset("toString")).rejects.toThrow(ConfigError);
});
