import { describe, expect, test } from "vitest";
import { ConfigError } from "../../base/errors.ts";
import { formatHubModel, isSafePath, parseModelLocation, readPath } from "./model-location.ts";

const HUB = "https://huggingface.co";
const parse = (text: string, hub = HUB) => parseModelLocation(text, () => hub);
const hub = (repo: string, rest: object = {}) => ({ kind: "hub", repo, ...rest });

describe("parseModelLocation", () => {
  test.each<[string, object]>([
    ["Qwen/Qwen3-1.7B", hub("Qwen/Qwen3-1.7B")],
    ["Qwen/Qwen3-1.7B@v1.0", hub("Qwen/Qwen3-1.7B", { revision: "v1.0" })],
    ["a/b@refs/pr/4", hub("a/b", { revision: "refs/pr/4" })],
    ["a/b@refs/pr/4/x.gguf", hub("a/b", { revision: "refs/pr/4", file: "x.gguf" })],
    ["hf:a/b", hub("a/b")],
    ["hf://a/b", hub("a/b")],
    ["hf:a/b:Q4_K_M", hub("a/b", { quant: "Q4_K_M" })],
    ["a/b:q8_0", hub("a/b", { quant: "q8_0" })],
    ["a/b@main:Q4_0", hub("a/b", { revision: "main", quant: "Q4_0" })],
    ["a/b/model-Q4_0.gguf", hub("a/b", { file: "model-Q4_0.gguf" })],
    ["a/b/Q4_0/m-00001-of-00002.gguf", hub("a/b", { file: "Q4_0/m-00001-of-00002.gguf" })],
    ["a/b/x.gguf@v2", hub("a/b", { file: "x.gguf", revision: "v2" })],
    ["a/b@v2/x.gguf", hub("a/b", { file: "x.gguf", revision: "v2" })],
    [`${HUB}/a/b`, hub("a/b")],
    ["https://hf.co/a/b/", hub("a/b")],
    [`${HUB}/a/b/tree/v1`, hub("a/b", { revision: "v1" })],
    [`${HUB}/a/b/blob/main/x.gguf`, hub("a/b", { revision: "main", file: "x.gguf" })],
    [`${HUB}/a/b/resolve/main/x.gguf?download=true`, hub("a/b", { revision: "main", file: "x.gguf" })],
    ["https://example.org/models/m", { kind: "url", url: "https://example.org/models/m", isFile: false }],
    ["https://example.org/m.gguf", { kind: "url", url: "https://example.org/m.gguf", isFile: true }],
    [
      `${HUB}/a/b/resolve/main/config.json`,
      { kind: "url", url: `${HUB}/a/b/resolve/main/config.json`, isFile: false },
    ],
    ["./models/m", { kind: "path", path: "./models/m", isCertain: true }],
    ["../m", { kind: "path", path: "../m", isCertain: true }],
    ["/models/m", { kind: "path", path: "/models/m", isCertain: true }],
    ["~/m", { kind: "path", path: "~/m", isCertain: true }],
    ["C:\\models\\m", { kind: "path", path: "C:\\models\\m", isCertain: true }],
    ["models\\m", { kind: "path", path: "models\\m", isCertain: true }],
    ["\\\\server\\models\\m", { kind: "path", path: "\\\\server\\models\\m", isCertain: true }],
    ["file:///models/a%20b", { kind: "path", path: "/models/a b", isCertain: true }],
    ["file://localhost/models/a", { kind: "path", path: "/models/a", isCertain: true }],
    ["file:///C:/models/a%20b", { kind: "path", path: "C:/models/a b", isCertain: true }],
    ["file://server/models/a", { kind: "path", path: "//server/models/a", isCertain: true }],
    ["model.gguf", { kind: "path", path: "model.gguf", isCertain: true }],
    ["models/a/b", { kind: "path", path: "models/a/b", isCertain: true }],
    ["models--a--b", { kind: "path", path: "models--a--b", isCertain: true }],
  ])("reads %s", (text, location) => {
    expect(parse(text)).toEqual(location);
  });

  test("reads addresses of the hub that HF_ENDPOINT names, below its path", () => {
    expect(parse("http://127.0.0.1:9/hub/a/b/tree/x", "http://127.0.0.1:9/hub")).toEqual(
      hub("a/b", { revision: "x" }),
    );
    expect(parse("http://127.0.0.1:9/a/b", "http://127.0.0.1:9/hub")).toMatchObject({ kind: "url" });
    expect(parse(`${HUB}/a/b`, "http://127.0.0.1:9")).toMatchObject({ kind: "url" });
  });

  test.each([
    "",
    "  ",
    "hf:",
    "hf:name",
    "hf:a/b/c",
    "hf:a/../b.gguf",
    "hf:a/b:",
    "hf:a--x/b",
    "hf:a/b@",
  ])("refuses %j with the forms it may have", (text) => {
    expect(() => parse(text)).toThrow(ConfigError);
    expect(() => parse(text)).toThrow("hf:org/name");
  });

  test("a part of the path never leaves the repository", () => {
    for (const text of [
      "a/b/../../x.gguf",
      "a/b//x.gguf",
      "a/b/./x.gguf",
      "../b/x.gguf",
      "a/..",
      "a/b@../x.gguf",
    ])
      expect(parse(text), text).toMatchObject({ kind: "path" });
    expect(isSafePath("a/b.gguf")).toBe(true);
    for (const path of ["", "/a", "a/", "..", "a/../b", "a\\b", "a:b", "a\u0000b"])
      expect(isSafePath(path)).toBe(false);
  });

  test("formats what it reads", () => {
    for (const text of ["a/b", "a/b@v1", "a/b:Q4_0", "a/b@v1/x.gguf", "a/b/x.gguf"]) {
      const location = parse(text);
      expect(location.kind === "hub" && formatHubModel(location)).toBe(text);
    }
  });

  test("a name of the hub has a reading as a path, unless it says hf: or https:", () => {
    expect(readPath("a/b")).toBe("a/b");
    expect(readPath("hf:a/b")).toBeUndefined();
    expect(readPath(`${HUB}/a/b`)).toBeUndefined();
  });
});
