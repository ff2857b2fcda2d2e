/** The place that these tests run in. Loads only its own module, whose imports may not exist in the other place. */
import type { TestPlace } from "./place.ts";

export const place: TestPlace =
  "document" in globalThis ? (await import("./browser.ts")).place : (await import("./node.ts")).place;
