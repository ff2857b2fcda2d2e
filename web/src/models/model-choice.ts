import type { WorkerEngineOptions } from "lessismore/worker";
import { groupFiles } from "./dropped-files.ts";

/** A model that the page can open. */
export interface ModelChoice {
  readonly kind: "bundled" | "hub" | "files";
  /** For people; of a hub model its name on the hub. */
  readonly name: string;
  readonly source: WorkerEngineOptions["model"];
  readonly options: Pick<WorkerEngineOptions, "hubUrl" | "hubToken">;
  /** True for a model that reads one message, and fails on a conversation. */
  readonly readsOneMessage: boolean;
}

export const BUNDLED: ModelChoice = {
  kind: "bundled",
  name: "pico-reasoner",
  source: "models/pico-reasoner",
  options: {},
  readsOneMessage: true,
};

/** `org/name`, `org/name@revision`, `org/name/file.gguf`, `hf:org/name:Q4_K_M`, or the URL of a folder or a .gguf file. */
export function hubChoice(
  name: string,
  { token, hubUrl }: { token?: string; hubUrl?: string } = {},
): ModelChoice {
  return {
    kind: "hub",
    name,
    source: name,
    options: { ...(token && { hubToken: token }), ...(hubUrl && { hubUrl }) },
    readsOneMessage: false,
  };
}

/** A checkpoint that was dropped or chosen. @throws Error with the reason if the files are none */
export function fileChoice(files: readonly File[]): ModelChoice {
  const { name, used } = groupFiles(files);
  return { kind: "files", name, source: used, options: {}, readsOneMessage: false };
}
