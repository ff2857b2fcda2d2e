import { copyFileSync, cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, describe, expect, test } from "vitest";
import { repositoryPath } from "../../../test/golden/open-fixture.ts";
import { ConfigError, ModelFileError } from "../../base/errors.ts";
import { inspectCheckpoint } from "../index.ts";
import { openModel } from "./open-model.ts";

const PICO = repositoryPath("models/pico-reasoner");
const folder = mkdtempSync(join(tmpdir(), "lessismore-places-"));
const here = process.cwd();
afterEach(() => process.chdir(here));
afterAll(() => rmSync(folder, { recursive: true }));
const offline = { environment: { HF_HUB_OFFLINE: "1", HF_HUB_CACHE: join(folder, "cache") } };

describe("openModel", () => {
  test("a path that exists wins over a name of the hub, and errors say which it was", async () => {
    process.chdir(folder);
    mkdirSync("org/name", { recursive: true });
    const opened = await openModel("org/name", offline);
    expect(opened.takenAs).toContain("org/name was taken as the path here");
    await expect(inspectCheckpoint("org/name")).rejects.toThrow(
      /no config\.json.*hf:org\/name would be that/,
    );
    await expect(openModel("hf:org/name", offline)).rejects.toThrow("HF_HUB_OFFLINE");
    await expect(openModel("org/other", offline)).rejects.toThrow(
      /here, org\/ is a folder without other; on the hub huggingface.co: .*HF_HUB_OFFLINE/,
    );
  });

  test.each([
    "nobody",
    "./nobody",
    "models/a/b",
    "nobody.gguf",
  ])("%s: there is no such path", async (text) => {
    const opening = openModel(text, offline);
    await expect(opening).rejects.toThrow(ModelFileError);
    await expect(opening).rejects.toThrow(`${text} was taken as a path`);
  });

  test("a folder of the hub's cache opens at main, else at its newest commit", async () => {
    const [old, main] = ["a".repeat(40), "b".repeat(40)];
    const cached = join(folder, "models--org--pico");
    for (const commit of [old, main]) cpSync(PICO, join(cached, "snapshots", commit), { recursive: true });
    mkdirSync(join(cached, "refs"));
    writeFileSync(join(cached, "refs/main"), old);
    expect((await openModel(cached, offline)).folder.name).toContain(old);
    rmSync(join(cached, "refs/main"));
    expect((await openModel(cached, offline)).folder.name).toMatch(/snapshots\/(a|b){40}$/);
    expect((await inspectCheckpoint(cached)).layers).toBe(10);
  });

  test("a named .safetensors file is read in place of the folder's own", async () => {
    const own = join(folder, "own");
    mkdirSync(own);
    for (const file of ["config.json", "tokenizer.json"]) symlinkSync(join(PICO, file), join(own, file));
    symlinkSync(join(PICO, "model.safetensors"), join(own, "other.safetensors"));
    expect(await inspectCheckpoint(join(own, "other.safetensors"))).toMatchObject({
      files: ["other.safetensors"],
      layers: 10,
    });
    writeFileSync(join(own, "notes.txt"), "x");
    await expect(openModel(join(own, "notes.txt"), offline)).rejects.toThrow(
      "neither .gguf nor .safetensors",
    );
  });

  test.each(["model.bin", "model.safetensors", "model"])("a GGUF file named %s is known", async (name) => {
    writeFileSync(join(folder, name), "GGUF\u0003");
    await expect(openModel(join(folder, name), offline)).rejects.toThrow("a GGUF file under another name");
  });

  test.each(["m.bin", "m"])("a safetensors file named %s is known", async (name) => {
    copyFileSync(join(PICO, "model.safetensors"), join(folder, name));
    await expect(openModel(join(folder, name), offline)).rejects.toThrow(
      "a safetensors file under another name",
    );
  });

  test("a link whose target is missing is no name of the hub", async () => {
    process.chdir(folder);
    mkdirSync("links");
    symlinkSync("../gone.gguf", "links/m.gguf");
    await expect(openModel("links/m.gguf", offline)).rejects.toThrow(
      "it is a link to ../gone.gguf, which is not there",
    );
  });

  test.each<[string, Record<string, string>]>([
    ["HF_TOKEN", { HF_TOKEN: "hf_a b" }],
    ["HF_ENDPOINT", { HF_ENDPOINT: "no address" }],
    ["the token file", { HF_TOKEN_PATH: folder }],
    ["HF_HUB_DOWNLOAD_TIMEOUT", { HF_HUB_DOWNLOAD_TIMEOUT: "soon" }],
  ])("a bad value of %s stops only what asks the hub", async (_, bad) => {
    const environment = { HF_HUB_CACHE: join(folder, "cache"), ...bad };
    const opened = await openModel(PICO, { environment });
    expect(await opened.folder.open("config.json")).toBeDefined();
    await expect(openModel("./nobody", { environment })).rejects.toThrow("taken as a path");
    await expect(openModel("hf:org/name", { environment })).rejects.toThrow(ConfigError);
    await expect(
      openModel("hf:org/name", { environment: { ...environment, HF_HUB_OFFLINE: "1" } }),
    ).rejects.toThrow(/it is not in .*HF_HUB_OFFLINE/);
  });

  test("an address that refuses connections is told from a wrong name", async () => {
    const retry = { attempts: 1 };
    const environment = { HF_ENDPOINT: "http://127.0.0.1:1", HF_HUB_CACHE: join(folder, "cache") };
    await expect(openModel("hf:org/name", { environment, retry })).rejects.toThrow(
      /fetch failed \(.*(refused|bad port)/i,
    );
  });

  test("a URL is a folder, or a file within its folder", async () => {
    const server = createServer((request, response) => response.end(request.url));
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const opened = await openModel(`${url}/a/m-Q4_0.gguf?key=1`, offline);
    expect([opened.folder.weightFile, opened.isRemote]).toEqual(["m-Q4_0.gguf", true]);
    const source = await opened.folder.open("m-Q4_0.gguf");
    expect(new TextDecoder().decode(await source?.read(0, source.sizeBytes))).toBe("/a/m-Q4_0.gguf?key=1");
    server.close();
    expect((await openModel(`${url}/a`, offline)).folder.name).toBe(`${url}/a`);
  });
});
