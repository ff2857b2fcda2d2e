import type { BackendFactory } from "../../src/backend/backend.ts";
import { createReferenceBackend } from "../../src/backend/reference/reference-backend.ts";

export interface BackendRow {
  readonly name: string;
  readonly open: BackendFactory;
}

/** Every backend the conformance suites run on; one more row is one more backend. */
export const BACKENDS: readonly BackendRow[] = [{ name: "reference", open: createReferenceBackend }];
