import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { ConfigError } from "../../base/errors.ts";
import { readHubSettings } from "./hub-settings.ts";

const folder = mkdtempSync(join(tmpdir(), "lessismore-settings-"));
afterAll(() => rmSync(folder, { recursive: true }));
const read = (environment: Record<string, string>) => readHubSettings(environment, "/home/me");

describe("readHubSettings", () => {
  test.each<[string, Record<string, string>]>([
    ["/home/me/.cache/huggingface/hub", {}],
    ["/home/me/.cache/huggingface/hub", { HF_HOME: "", HF_HUB_CACHE: "" }],
    ["/xdg/huggingface/hub", { XDG_CACHE_HOME: "/xdg" }],
    ["/hf/hub", { HF_HOME: "/hf", XDG_CACHE_HOME: "/xdg" }],
    ["/old", { HUGGINGFACE_HUB_CACHE: "/old", HF_HOME: "/hf" }],
    ["/new", { HF_HUB_CACHE: "/new", HUGGINGFACE_HUB_CACHE: "/old", HF_HOME: "/hf" }],
    ["/home/me/models", { HF_HUB_CACHE: "~/models" }],
    ["/disk/a/$OTHER", { HF_HUB_CACHE: `$DISK/${"$"}{SUB}/$OTHER`, DISK: "/disk", SUB: "a" }],
  ])("the cache is %s for %j", (cacheFolder, environment) => {
    expect(read(environment).cacheFolder).toBe(cacheFolder);
  });

  test("the token is HF_TOKEN, else that of the token file", () => {
    writeFileSync(join(folder, "token"), "hf_file\n");
    expect(read({}).token).toBeUndefined();
    expect(read({ HF_HOME: folder }).token).toBe("hf_file");
    expect(read({ HF_TOKEN_PATH: join(folder, "token") }).token).toBe("hf_file");
    expect(read({ HF_HOME: folder, HF_TOKEN: " hf_named\n" }).token).toBe("hf_named");
    expect(read({ HUGGING_FACE_HUB_TOKEN: "hf_old" }).token).toBe("hf_old");
    expect(read({ HF_TOKEN: "hf_named", HF_HUB_DISABLE_IMPLICIT_TOKEN: "1" }).token).toBeUndefined();
    expect(() => read({ HF_TOKEN_PATH: folder }).token).toThrow(ConfigError);
  });

  test("a token that no header takes is refused without showing it", () => {
    expect(() => read({ HF_TOKEN: "hf_a b" }).token).toThrow(/HF_TOKEN: the token has characters/);
    expect(() => read({ HF_TOKEN: "hf_ä" }).token).not.toThrow("hf_ä");
  });

  test("the hub is HF_ENDPOINT, an address", () => {
    expect(read({}).url).toBe("https://huggingface.co");
    expect(read({ HF_ENDPOINT: "http://127.0.0.1:8/mirror/" }).url).toBe("http://127.0.0.1:8/mirror");
    for (const HF_ENDPOINT of ["huggingface.co", "ftp://host", "http://"])
      expect(() => read({ HF_ENDPOINT }).url, HF_ENDPOINT).toThrow(ConfigError);
  });

  test("HF_HUB_OFFLINE and TRANSFORMERS_OFFLINE forbid requests, HF_HUB_DISABLE_SYMLINKS links", () => {
    for (const value of ["1", "true", "YES", "on"])
      expect(read({ HF_HUB_OFFLINE: value }).offlineReason).toBe("HF_HUB_OFFLINE is set");
    for (const value of ["0", "", "false"])
      expect(read({ HF_HUB_OFFLINE: value }).offlineReason).toBeUndefined();
    expect(read({ TRANSFORMERS_OFFLINE: "1" }).offlineReason).toBe("TRANSFORMERS_OFFLINE is set");
    expect([read({}).usesLinks, read({ HF_HUB_DISABLE_SYMLINKS: "1" }).usesLinks]).toEqual([true, false]);
  });
});
