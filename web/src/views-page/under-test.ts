/** What the page of the views leaves for tests to read. */
import type { RunRecord } from "../run/run-record.ts";
import type { Race } from "../speed/race.ts";

export interface ViewsUnderTest {
  record?: RunRecord;
  race?: Race;
  error?: string;
  /** Milliseconds of script of each frame of the strip. */
  readonly frameMs: number[];
}

declare global {
  var views: ViewsUnderTest;
}
