import { createHash } from "node:crypto";
import type { CellRecord } from "../attempts/settings-file.ts";

/** Characters of a cell's name; a name of a file holds 255 bytes, a date and an ending among them. */
const MAX_CHARS = 180;

/**
 * The name of a cell as a task of lm-evaluation-harness, whose names are words: `registers_1024_less_is_more_budget_256`. Its
 * readers take the task from a file's name up to the last underscore.
 */
export function cellName({
  task,
  length,
  attention,
}: Pick<CellRecord, "task" | "length" | "attention">): string {
  const name = [task, ...(length === undefined ? [] : [length]), attention]
    .join("_")
    .replace(/[^A-Za-z0-9]+/g, "_");
  const hash = () =>
    createHash("sha256")
      .update(JSON.stringify([task, length, attention]))
      .digest("hex")
      .slice(0, 8);
  return name.length > MAX_CHARS ? `${name.slice(0, MAX_CHARS - 9)}_${hash()}` : name;
}

/** The same for people: `registers 1024, less-is-more:budget=256`. */
export function cellAlias({
  task,
  length,
  attention,
}: Pick<CellRecord, "task" | "length" | "attention">): string {
  return `${[task, ...(length === undefined ? [] : [length])].join(" ")}, ${attention}`;
}

/** A model's name in paths, as lm-evaluation-harness writes it; of a path its last part. */
export function modelFolder(model: string): string {
  const isHub = /^[\w.-]+\/[\w.-]+$/.test(model) && !model.startsWith(".");
  const name = isHub
    ? model
    : (model
        .replace(/[\\/]+$/, "")
        .split(/[\\/]/)
        .at(-1) ?? "");
  return name.replace(/["<>:/|\\?*[\]]+/g, "__") || "model";
}
