/** Models of one's own on the demo page: dropped and chosen files, and the hub, whose download a reload cuts. */
import { readFileSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import type { Page } from "playwright";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { testModel } from "../../scripts/fetch-test-models.mjs";
import { repositoryPath } from "../golden/open-fixture.ts";
import { LocalHub } from "../hub/local-hub.ts";
import { boxedAnswer, goldens, launchOptions, PageTrial, ready, send, waitForTokens } from "./page-trial.ts";

const PICO_FILES = [
  "config.json",
  "chat_template.jinja",
  "generation_config.json",
  "model.safetensors",
  "tokenizer.json",
  "tokenizer_config.json",
];
const PICO = PICO_FILES.map((name) => repositoryPath(join("models/pico-reasoner", name)));
const [, , variables = { problem: "", answer: "" }] = goldens;

/** Drops a file on the page, as a file manager does. path: of the page's host, where the page finds the bytes to drop */
async function drop(page: Page, name: string, path: string): Promise<void> {
  await page.evaluate(
    async (file) => {
      const bytes = await (await fetch(file.path)).blob();
      const dataTransfer = new DataTransfer();
      dataTransfer.items.add(new File([bytes], file.name));
      for (const type of ["dragover", "drop"])
        document.body.dispatchEvent(new DragEvent(type, { dataTransfer, bubbles: true, cancelable: true }));
    },
    { name, path },
  );
}

describe.skipIf(launchOptions === undefined)("models on the page", () => {
  const trial = new PageTrial();
  const hubs: LocalHub[] = [];
  beforeAll(() => trial.start());
  afterEach(async () => {
    await trial.closePages();
    for (const hub of hubs.splice(0)) hub.close();
  });
  afterAll(() => trial.stop());

  test("chosen safetensors with their config and tokenizer solve a problem", async () => {
    const page = await trial.open();
    await page.getByRole("button", { name: "Model: pico-reasoner" }).click();
    await page.getByLabel("Choose files").setInputFiles(PICO.slice(3));
    await page.getByText("config.json is missing").waitFor();
    await page.getByRole("button", { name: "Model: pico-reasoner" }).click();
    await page.getByLabel("Choose files").setInputFiles(PICO);
    await page.getByRole("button", { name: "Model: model.safetensors" }).waitFor();
    await ready(page);
    await send(page, variables.problem);
    expect(await boxedAnswer(page)).toBe(variables.answer);
  });

  test("a dropped GGUF file chats, with its earlier messages; what is no model is refused by name", {
    timeout: 300_000,
  }, async () => {
    symlinkSync(testModel("smollm2.gguf"), join(trial.folder, "smollm2.gguf"));
    const page = await trial.open();
    await drop(page, "photo.png", "./icon.svg");
    await page.getByText("There is no model in photo.png").waitFor();
    await drop(page, "smollm2.gguf", "./smollm2.gguf");
    await page.getByRole("button", { name: "Model: smollm2" }).waitFor();
    await ready(page);
    await send(page, "What is the capital of France? Answer in one word.");
    await waitForTokens(page, 1);
    await page.locator(".message.assistant .figures").waitFor();
    expect(await page.locator(".answer").innerText()).toContain("Paris");
    await send(page, "Of which country is that the capital?");
    await page.locator(".message.assistant .figures").nth(1).waitFor();
    expect(await page.locator(".answer").nth(1).innerText()).toContain("France");
  });

  test("a model of the hub is fetched with its progress, goes on after a reload, and is there the next time", async () => {
    const files = Object.fromEntries(PICO_FILES.map((name, i) => [name, readFileSync(PICO[i] ?? "")]));
    const hub = await LocalHub.start({ "org/pico": { files } });
    hubs.push(hub);
    let served = 0;
    let isSlow = true;
    hub.fault = (_, response, { kind }) => {
      if (kind !== "store" || ++served < 4 || !isSlow) return false;
      setTimeout(() => response.destroy(), 20_000).unref(); // the line is dead until then
      return true;
    };
    const page = await trial.open();
    const open = async () => {
      await page.getByRole("button", { name: /^Model: / }).click();
      await page.getByText("Gated models and mirrors").click();
      await page.getByLabel("Address of another hub, such as a mirror").fill(hub.url);
      await page.getByLabel("Name on the hub, or a URL").fill("org/pico");
      await page.getByRole("button", { name: "Open", exact: true }).click();
    };
    await open();
    await page.getByText(/[1-9]\d* MB of 17 MB/).waitFor();
    await page.reload();
    await ready(page);
    isSlow = false;
    hub.seen.splice(0);
    await open();
    await page.getByRole("button", { name: "Model: org/pico" }).waitFor();
    await ready(page);
    const ranges = hub.seen.filter(({ kind, range }) => kind === "store" && range !== undefined);
    expect(ranges.some(({ range }) => !range?.startsWith("bytes=0-"))).toBe(true);
    expect(ranges.some(({ range }) => range?.startsWith("bytes=0-"))).toBe(false);
    await send(page, variables.problem);
    await page.locator(".figures").waitFor();
    hub.close();
    hubs.length = 0;
    await page.getByRole("button", { name: "Model: org/pico" }).click();
    await page
      .getByRole("dialog")
      .getByRole("button", { name: /^pico-reasoner/ })
      .click();
    await ready(page);
    await page.getByRole("button", { name: "Model: pico-reasoner" }).click();
    await page
      .getByRole("dialog")
      .getByRole("button", { name: /^org\/pico/ })
      .waitFor();
  });
});
