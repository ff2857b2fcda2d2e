/** The page in a browser: nothing is refused or fetched, and nothing wider than the window, in both schemes and on a phone. */
import { chromium } from "playwright";
import { expect, it } from "vitest";
import { chromiumLaunchOptions } from "../../scripts/chromium.mjs";
import { makeFigures, makePage, makeReportData } from "./index.ts";
import { makeSyntheticForced, makeSyntheticRun } from "./synthetic-run.ts";

const RUN = {
  ...{ tasks: ["registers"], lengths: [1024], budgets: [128, 256], problems: 20, attempts: 1, seed: 2 },
};

it("shows its figures without a refusal or a request, and scrolls tables alone sideways", async () => {
  const attempts = [...makeSyntheticRun(RUN), ...makeSyntheticForced(RUN)];
  const data = makeReportData({ folder: "x", settings: { runs: [], cells: [] }, attempts });
  const page = makePage(data, makeFigures(data));
  const browser = await chromium.launch(chromiumLaunchOptions() ?? {});
  try {
    for (const [colorScheme, width] of [
      ["light", 1280],
      ["dark", 1280],
      ["light", 360],
    ] as const) {
      const tab = await browser.newPage({ colorScheme, viewport: { width, height: 800 } });
      const complaints: string[] = [];
      tab.on("console", (message) => complaints.push(message.text()));
      tab.on("request", (request) => complaints.push(request.url()));
      await tab.setContent(page);
      const seen = await tab.evaluate(() => ({
        overflow: document.documentElement.scrollWidth - window.innerWidth,
        background: getComputedStyle(document.body).backgroundColor,
        figures: [...document.querySelectorAll("svg[role=img]")].filter((svg) => svg.clientHeight > 100)
          .length,
        widestCaption: Math.max(
          ...[...document.querySelectorAll("caption span")].map(
            (caption) => caption.getBoundingClientRect().right,
          ),
        ),
      }));
      expect(complaints).toEqual([]);
      expect(seen.overflow).toBeLessThanOrEqual(0);
      expect(seen.background).toBe(colorScheme === "light" ? "rgb(244, 244, 241)" : "rgb(15, 15, 14)");
      expect(seen.figures).toBe(19);
      expect(seen.widestCaption).toBeLessThanOrEqual(width); // Only the table below it scrolls.
      await tab.close();
    }
  } finally {
    await browser.close();
  }
});
