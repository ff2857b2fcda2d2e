import type { AttentionPolicy } from "../attention/policy.ts";
import type { Backend } from "../backend/backend.ts";
import { guessNote } from "../model/selection-layers.ts";
import type { EngineReport } from "./engine-api.ts";

/** Facts about the opening of an engine, for its report. */
export interface EngineOrigin {
  readonly model: Omit<EngineReport["model"], "contextLength" | "cacheDtype">;
  /** Reason for the choice of this backend. */
  readonly why: string;
  readonly selfTestMs?: number | undefined;
  /** The source of the context if it is not max_position_embeddings. */
  readonly contextNotes: readonly string[];
  /** Notes for people about the checkpoint. */
  readonly notes: readonly string[];
  /** `performance.now()` when the opening began. */
  readonly startedAt: number;
}

/** policy: the policy of requests that name none; published: the model that the papers' selection layers are of, if it is one */
export function reportEngine(
  { model, why, selfTestMs, contextNotes, notes }: EngineOrigin,
  backend: Backend,
  {
    policy,
    published,
    loadMs,
  }: {
    readonly policy: AttentionPolicy;
    readonly published: string | undefined;
    readonly loadMs: number;
  },
): EngineReport {
  const { name, settings, selectionLayersFrom: from } = policy;
  const guess = from === "guess" ? [guessNote(policy)] : [];
  return {
    model: {
      ...model,
      contextLength: backend.capacity.maxSequenceLength,
      cacheDtype: backend.cacheDtype,
    },
    backend: { ...backend.report(), why, ...(selfTestMs !== undefined && { selfTestMs }) },
    attention: {
      ...{ name, settings },
      ...(from && { selectionLayersFrom: from }),
      ...(from === "paper" && published !== undefined && { selectionLayersOf: published }),
    },
    loadMs,
    ...(contextNotes.length > 0 && { contextNote: contextNotes.join("; ") }),
    notes: [...contextNotes, ...guess, ...notes],
  };
}
