/** Serves the built demo page and drives it in headless Chromium, as a person would. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Browser, type BrowserContext, chromium, type Page } from "playwright";
import { inject } from "vitest";
import { chromiumLaunchOptions } from "../../scripts/chromium.mjs";
import { buildWeb, ISOLATING_HEADERS, serveWeb } from "../../scripts/web.mjs";
import { repositoryPath } from "../golden/open-fixture.ts";

/** Longest wait for anything on the page: emulated kernels compile beside a busy machine. */
export const WAIT_MS = 100_000;

export const launchOptions = chromiumLaunchOptions();
if (launchOptions === undefined && inject("requiresWebGpu"))
  throw new Error("LESSISMORE_REQUIRE_WEBGPU=1 and no Chromium to test in (CONTRIBUTING.md)");

export interface Golden {
  readonly task: string;
  readonly prompt: string;
  readonly answer: string;
}

/** The problems of the golden file, two of each kind, as a person writes them. */
export const goldens: readonly {
  readonly problem: string;
  readonly task: string;
  readonly answer: string;
}[] = (JSON.parse(readFileSync(repositoryPath("test/golden/pico-reasoner.json"), "utf8")) as Golden[]).map(
  ({ task, prompt, answer }) => ({
    task,
    answer,
    problem: /^<\|im_start\|>user\n([\s\S]*?)<\|im_end\|>/.exec(prompt)?.[1] ?? "",
  }),
);

export interface OpenOptions {
  /** Default: those under which workers share memory. */
  readonly headers?: Readonly<Record<string, string>>;
  /** Path of the page on its host. Default "/". */
  readonly base?: string;
  readonly viewport?: { readonly width: number; readonly height: number };
  readonly colorScheme?: "light" | "dark";
  /** What the page finds among its kept settings. */
  readonly settings?: Readonly<Record<string, unknown>>;
  readonly serviceWorkers?: "allow" | "block";
  readonly reducedMotion?: "reduce";
  /** Longest wait. Default: WAIT_MS. */
  readonly waitMs?: number;
  /** Runs before the page loads. */
  readonly prepare?: (context: BrowserContext) => Promise<unknown>;
}

/** A host with the page, and a browser. */
export class PageTrial {
  readonly folder = mkdtempSync(join(tmpdir(), "lessismore-web-"));
  readonly #servers: { close(): Promise<void> }[] = [];
  #browser: Browser | undefined;
  /** URLs that pages have asked for, those of their workers included. */
  readonly requests: string[] = [];
  /** Uncaught errors of pages, and what their consoles say of errors. */
  readonly errors: string[] = [];

  /** Builds the page; `start` does it, too. */
  async build(): Promise<void> {
    await buildWeb(this.folder);
  }

  /** Builds the page and starts the browser. */
  async start(args: readonly string[] = []): Promise<void> {
    await this.build();
    this.#browser = await chromium.launch({
      ...launchOptions,
      args: [...(launchOptions?.args ?? []), ...args],
      timeout: WAIT_MS,
    });
  }

  get browser(): Browser {
    if (!this.#browser) throw new Error("Chromium did not start");
    return this.#browser;
  }

  async serve({ headers = ISOLATING_HEADERS, base = "/" }: OpenOptions = {}): Promise<string> {
    const server = await serveWeb(this.folder, { headers, base });
    this.#servers.push(server);
    return server.url;
  }

  /** A context of its own, as a person's browser with nothing kept. */
  async context(options: OpenOptions = {}): Promise<BrowserContext> {
    const { viewport = { width: 1440, height: 900 }, colorScheme = "light", settings, prepare } = options;
    const context = await this.browser.newContext({
      ...{ viewport, colorScheme, serviceWorkers: options.serviceWorkers ?? "allow" },
      ...(options.reducedMotion && { reducedMotion: options.reducedMotion }),
    });
    context.setDefaultTimeout(options.waitMs ?? WAIT_MS);
    context.on("request", (request) => this.requests.push(request.url()));
    context.on("weberror", (error) => this.errors.push(error.error().message));
    if (settings)
      await context.addInitScript((kept) => {
        if (location.protocol === "about:") return; // the empty page before, which has no storage
        if (localStorage.getItem("lessismore settings") === null)
          localStorage.setItem("lessismore settings", kept);
      }, JSON.stringify(settings));
    await prepare?.(context);
    return context;
  }

  /** Opens the page and waits until the model is there. */
  async open(options: OpenOptions = {}): Promise<Page> {
    const context = await this.context(options);
    const page = await context.newPage();
    await page.goto(await this.serve(options));
    await ready(page);
    return page;
  }

  /** From here on the host does not answer. */
  async stopServers(): Promise<void> {
    for (const server of this.#servers.splice(0)) await server.close();
  }

  async closePages(): Promise<void> {
    for (const context of this.#browser?.contexts() ?? []) await context.close();
    await this.stopServers();
    this.requests.length = 0;
    this.errors.length = 0;
  }

  async stop(): Promise<void> {
    await this.closePages();
    await this.#browser?.close();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** Waits until the model is open; tells the reason where it is not. */
export async function ready(page: Page): Promise<void> {
  await page.locator(".dot.ready, .dot.failed").first().waitFor();
  if ((await page.locator(".dot.failed").count()) > 0)
    throw new Error(await page.locator(".header").innerText());
}

/** Sends a message. */
export async function send(page: Page, text: string): Promise<void> {
  await page.getByRole("textbox", { name: "Message" }).fill(text);
  await page.getByRole("button", { name: "Send" }).click();
}

/** The last answer, once its run has ended. */
export async function lastAnswer(page: Page): Promise<string> {
  await page.locator(".message.assistant").last().locator(".figures, .notice.failed").first().waitFor();
  const last = page.locator(".message.assistant").last();
  if ((await last.locator(".notice.failed").count()) > 0) throw new Error(await last.innerText());
  return (await last.locator(".answer").innerText()).replaceAll(/\s+/g, " ");
}

/** What a box of the answer says: TeX keeps it beside the typeset maths for screen readers. */
export async function boxedAnswer(page: Page): Promise<string> {
  await lastAnswer(page);
  const box = page.locator(".message.assistant").last().locator(".answer annotation");
  const tex = (await box.textContent()) ?? "";
  return /\\boxed\{(.*)\}/.exec(tex)?.[1] ?? tex;
}

/** Starts a long example problem: some thousands of tokens of thought. */
export async function startExample(page: Page, task: string, length: number): Promise<void> {
  const card = page.locator(".problem");
  await card.getByText(task, { exact: true }).click();
  await card.getByRole("combobox").selectOption(String(length));
  await page.waitForTimeout(100); // the problem is drawn in the next task
  await card.getByRole("button", { name: "Solve it" }).click();
}

/** Tokens that the running answer says it has. */
export async function tokensSoFar(page: Page): Promise<number> {
  const text = await page.locator(".message.assistant summary").last().innerText();
  return Number(/([\d,]+) tokens?/.exec(text)?.[1]?.replaceAll(",", "") ?? 0);
}

/** Waits until the running answer has so many tokens. */
export async function waitForTokens(
  page: Page,
  count: number,
  { pollMs = 50, limitMs = WAIT_MS }: { readonly pollMs?: number; readonly limitMs?: number } = {},
): Promise<void> {
  for (
    const until = Date.now() + limitMs;
    (await tokensSoFar(page)) < count;
    await page.waitForTimeout(pollMs)
  )
    if (Date.now() > until) throw new Error(`${await tokensSoFar(page)} tokens, waited for ${count}`);
}
