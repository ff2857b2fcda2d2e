/** The pages of examples/ on the installed package, in headless Chromium. */
import { spawnSync } from "node:child_process";
import { cpSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { type Browser, chromium, type Page } from "playwright";
import { createServer, type PreviewServer, preview, type ViteDevServer } from "vite";
import { afterAll, afterEach, beforeAll, describe, expect, inject, it } from "vitest";
import { chromiumLaunchOptions } from "../../scripts/chromium.mjs";
import { InstalledPackage } from "./installed-package.ts";

const WAIT_MS = 100_000; // SwiftShader beside a busy machine

const ISOLATED = {
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Embedder-Policy": "require-corp",
};

const launchOptions = chromiumLaunchOptions();
if (launchOptions === undefined && inject("requiresWebGpu"))
  throw new Error("LESSISMORE_REQUIRE_WEBGPU=1 and no Chromium to test in (CONTRIBUTING.md)");

describe.skipIf(launchOptions === undefined)("a page of examples/", () => {
  const servers: (PreviewServer | ViteDevServer)[] = [];
  let installed: InstalledPackage | undefined;
  let browser: Browser | undefined;

  beforeAll(async () => {
    installed = new InstalledPackage();
    browser = await chromium.launch({ ...launchOptions, timeout: WAIT_MS });
  });
  afterEach(async () => {
    for (const context of browser?.contexts() ?? []) await context.close();
    for (const server of servers.splice(0)) await server.close();
  });
  afterAll(async () => {
    await browser?.close();
    installed?.remove();
  });

  function here(): InstalledPackage {
    if (!installed) throw new Error("the package was not installed");
    return installed;
  }

  async function serve(outDir: string, headers: Record<string, string>): Promise<string> {
    const server = await preview({
      configFile: false,
      logLevel: "error",
      build: { outDir },
      preview: { host: "127.0.0.1", port: 0, headers },
    });
    servers.push(server);
    return server.resolvedUrls?.local[0] ?? "";
  }

  /** Opens a page and waits until it says that it is done, or why not. Fails on a request to another host or a missing file. */
  async function open(url: string): Promise<{ page: Page; state: string }> {
    if (!browser) throw new Error("Chromium did not start");
    const page = await browser.newPage();
    const problems: string[] = [];
    page.on("pageerror", (error) => problems.push(String(error)));
    page.on("response", (response) => {
      // a checkpoint's folder need not have every file that is looked for
      if (response.status() >= 400 && !/favicon\.ico$|\/models\//.test(response.url()))
        problems.push(`${response.url()}: ${response.status()}`);
    });
    page.on("request", (request) => {
      if (request.url().startsWith("http") && new URL(request.url()).host !== new URL(url).host)
        problems.push(`a request to ${request.url()}`);
    });
    page.setDefaultTimeout(WAIT_MS);
    await page.goto(url);
    await page.waitForFunction(() => document.getElementById("state")?.textContent !== "loading");
    expect(problems).toEqual([]);
    return { page, state: (await page.textContent("#state")) ?? "" };
  }

  async function expectAnswer(page: Page): Promise<void> {
    expect(await page.textContent("#reasoning")).toContain("io+7=26+7=33");
    expect(await page.textContent("#answer")).toBe("The answer is \\boxed{33}.");
  }

  describe("with Vite", () => {
    /** The example is the project itself, beside whose package.json npm has installed. */
    beforeAll(() => {
      const { project } = here();
      const own = readFileSync(join(project, "package.json"), "utf8");
      here().copy("examples/vite-page", ".");
      const { scripts } = JSON.parse(readFileSync(join(project, "package.json"), "utf8"));
      here().write("package.json", JSON.stringify({ ...JSON.parse(own), scripts }));
      here().link("vite");
      here().bin("vite", "bin/vite.js");
      run("model");
    });

    function run(script: string): void {
      const { status, stderr } = spawnSync("npm", ["run", script], {
        cwd: here().project,
        encoding: "utf8",
        timeout: WAIT_MS,
        shell: process.platform === "win32",
      });
      expect(status, stderr).toBe(0);
    }

    it("answers from the development server, through the worker that lies in the package", async () => {
      const server = await createServer({
        root: here().project,
        logLevel: "error",
        server: { host: "127.0.0.1", port: 0 },
      });
      servers.push(server);
      await server.listen();
      const { page, state } = await open(server.resolvedUrls?.local[0] ?? "");
      expect(state).toMatch(/^done on (wasm|webgpu)$/);
      await expectAnswer(page);
      expect(await page.evaluate(() => crossOriginIsolated)).toBe(true);
    });

    it("answers when it is built", async () => {
      run("build");
      const { page, state } = await open(await serve(join(here().project, "dist"), ISOLATED));
      expect(state).toMatch(/^done on (wasm|webgpu)$/);
      await expectAnswer(page);
    });
  });

  describe("without a bundler", () => {
    /** A static host, whose page does not stand at its root. */
    function setUp(): string {
      here().copy("examples/plain-page", "host/below");
      const target = join(here().project, "host/below/lessismore");
      cpSync(join(here().project, "node_modules/lessismore"), target, { recursive: true });
      return join(here().project, "host");
    }

    it("answers below a path of a host that sends the headers", async () => {
      const { page, state } = await open(`${await serve(setUp(), ISOLATED)}below/`);
      expect(state).toMatch(/^done on (webgpu|wasm: .*threads?\b)/);
      expect(state).not.toContain("isolated");
      await expectAnswer(page);
    });

    it("answers from a host without headers, on one thread where there is no GPU", async () => {
      const { page, state } = await open(`${await serve(setUp(), {})}below/`);
      expect(state).toMatch(/^done on (webgpu|wasm: .*, 1 thread \(the page is not cross-origin isolated)/);
      await expectAnswer(page);
    });
  });
});
