/** The pages of parts of the demo page, built and served for tests. */
import { symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { build } from "vite";
import { serveWeb } from "../../scripts/web.mjs";
import type { Recording } from "../../web/src/views-page/recording.ts";
import { repositoryPath } from "../golden/open-fixture.ts";

/** Builds a page of the folder `web` into a folder. */
async function buildPart(outDir: string, page: string): Promise<void> {
  await build({
    ...{ root: repositoryPath("web"), configFile: false, logLevel: "error", base: "./", publicDir: false },
    worker: { format: "es" },
    oxc: { jsx: { runtime: "automatic", importSource: "preact" } },
    build: { outDir, target: "es2022", rollupOptions: { input: repositoryPath(`web/${page}`) } },
  });
}

/** Builds `web/answers.html` into a folder and serves it. */
export async function serveAnswers(
  outDir: string,
): Promise<{ readonly url: string; close(): Promise<void> }> {
  await buildPart(outDir, "answers.html");
  const { url, close } = await serveWeb(outDir);
  return { url: `${url}answers.html`, close };
}

/** Builds `web/views.html` into a folder, with the models and a recording beside it, and serves it. */
export async function serveViews(
  outDir: string,
  recording?: Recording,
): Promise<{ readonly url: string; close(): Promise<void> }> {
  await buildPart(outDir, "views.html");
  symlinkSync(repositoryPath("models"), join(outDir, "models"));
  if (recording) writeFileSync(join(outDir, "recording.json"), JSON.stringify(recording));
  const { url, close } = await serveWeb(outDir);
  return { url: `${url}views.html`, close };
}
