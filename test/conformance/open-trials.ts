/** Trials on the backend of a row; its backends close after each test. */
import { afterEach } from "vitest";
import type { Backend } from "../../src/backend/backend.ts";
import { type Sizes, sizesOf } from "../sizes.ts";
import type { BackendRow } from "./backend-table.ts";
import { Trial } from "./trial.ts";

/** Returns a function that opens a trial. Call it in a `describe` block. */
export function trialsOf({
  open,
  cacheDtype,
}: BackendRow): (sizes: Partial<Sizes>, seed?: number) => Promise<Trial> {
  const opened: Backend[] = [];
  afterEach(async () => {
    for (const backend of opened.splice(0)) await backend.close();
  });
  return async (sizes, seed = 1) => {
    const backend = await open(...sizesOf(sizes));
    opened.push(backend);
    return new Trial(backend, seed, cacheDtype);
  };
}
