import type { ModelFileError } from "../../src/node/index.ts";

/** A row, and where it stands, for messages. */
export interface DataRecord {
  readonly fields: Readonly<Record<string, unknown>>;
  /** "line 3", "row 3". */
  readonly place: string;
}

/** Makes the error that a file is refused with. */
export type Refuse = (what: string, cause?: unknown) => ModelFileError;

const MAX_RECORDS = 1_000_000;

/** @throws what `refuse` makes, of more rows than any set of problems has */
export function checkCount(count: number, refuse: Refuse): void {
  if (count > MAX_RECORDS) throw refuse(`it has more than ${MAX_RECORDS} rows`);
}
