import { RequestError } from "../base/errors.ts";

/** Limits on a constraint. A caller of another machine writes it, so every one is an error that the caller can read. */
export const LIMITS = {
  /** Nodes of an automaton; a schema of 100 properties has about 3,000. */
  nodes: 60_000,
  /** Edges of an automaton, which large classes of characters have many of. */
  edges: 400_000,
  /** Levels of a schema, and of what refers to it before a text is between. */
  schemaDepth: 64,
  /** Characters of the name of a property. */
  nameLength: 1_000,
  /** Values in a schema. */
  schemaValues: 50_000,
  /** Open calls of rules while the output is read; a level of JSON takes at most three. */
  frames: 256,
  /** Characters of a regular expression. */
  patternLength: 10_000,
  /** Nesting of groups in a regular expression. */
  patternDepth: 100,
  /** Schemas that references and combinations of one schema lead to. */
  expansions: 5_000,
  /** Properties of characters, such as \p{L}, in one constraint; each takes some 15 ms to find. */
  properties: 8,
  /** Steps between states of patterns that hold together, in one constraint: about half a second. */
  joinSteps: 2_000_000,
  /** Ways in which anyOf, oneOf and allOf of one schema combine. */
  branches: 256,
  /** Steps of automata in one mask or one token: about 0.1 s. */
  work: 1_000_000,
  /** States and configurations that a constraint remembers; beyond them it forgets all and begins anew. */
  states: 4_000,
  configs: 100_000,
  /** Words of masks that a constraint remembers: 4 MiB, which are 220 masks of 150,000 tokens. */
  maskWords: 1_048_576,
  /** Constraints that a compiler remembers, and their nodes together: at worst some 300 MB. */
  programs: 16,
  programNodes: 240_000,
} as const;

/** Characters of a place in a message. */
const MAX_PLACE = 160;

/** Makes the error of an impossible constraint. */
export function refuse(where: string, why: string, cause?: unknown): RequestError {
  const place =
    where.length > MAX_PLACE ? `${where.slice(0, MAX_PLACE / 2)}…${where.slice(-MAX_PLACE / 2)}` : where;
  return new RequestError(`constraint: ${place}: ${why}`, cause === undefined ? undefined : { cause });
}
