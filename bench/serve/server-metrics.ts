/** Figures of a server's /metrics, by vLLM's names after our prefix. */
import type { MeasuredServer } from "./server.ts";

export interface ServerFigures {
  /** The sum over all labels; undefined if there is none of that name. */
  of(name: string): number | undefined;
}

/** Reads /metrics once. Undefined for a server that has none, or has other names. */
export async function readFigures({ url, isOurs }: MeasuredServer): Promise<ServerFigures | undefined> {
  if (!isOurs) return undefined;
  const response = await fetch(`${url.replace(/\/v1$/, "")}/metrics`);
  const lines = (await response.text()).split("\n");
  return {
    of: (name) => {
      const own = lines.filter((line) => line.startsWith(`lessismore:${name}{`));
      if (own.length === 0) return undefined;
      return own.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(" ") + 1)), 0);
    },
  };
}

/** What a figure rose by. */
export function riseOf(
  name: string,
  before: ServerFigures | undefined,
  after: ServerFigures | undefined,
): number | undefined {
  const [from, to] = [before?.of(name), after?.of(name)];
  return from === undefined || to === undefined ? undefined : to - from;
}
