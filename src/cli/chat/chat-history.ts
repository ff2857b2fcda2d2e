/** What was typed in earlier chats, in the user's cache folder, for the arrow keys. */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { cacheFolder } from "../../node/tuning-store.ts";

const FILE = "chat-history.json";
const MOST_LINES = 500;

/** The lines, the latest first. Unreadable: none. */
export function readHistory(folder: string | undefined = cacheFolder()): string[] {
  if (folder === undefined) return [];
  try {
    const lines: unknown = JSON.parse(readFileSync(join(folder, FILE), "utf8"));
    return Array.isArray(lines) ? lines.filter((line) => typeof line === "string") : [];
  } catch {
    return [];
  }
}

/** Keeps the lines for the user alone. Returns why it could not. */
export function keepHistory(
  lines: readonly string[],
  folder: string | undefined = cacheFolder(),
): string | undefined {
  if (folder === undefined || lines.length === 0) return undefined;
  const path = join(folder, FILE);
  try {
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, JSON.stringify(lines.slice(0, MOST_LINES)), { mode: 0o600 });
    return undefined;
  } catch (error) {
    return `the history of this chat is not kept: ${String(error)}`;
  }
}
