/** The place these tests run in. Only its own module is loaded: each imports what the other place lacks. */
import type { TestPlace } from "./place.ts";

export const place: TestPlace =
  "document" in globalThis ? (await import("./browser.ts")).place : (await import("./node.ts")).place;
