/** What the tests of a server's faults share: requests by hand, and the shape of errors. */
import { expect } from "vitest";
import { golden, problem } from "./command-line.ts";
import type { ServeProcess } from "./serve-process.ts";

export const messages = [{ role: "user", content: problem }];
/** A stream that its reader ends. */
export const ENDLESS = { messages, temperature: 0, max_tokens: 6000, ignore_eos: true, stream: true };

/** Limit on an answer, on the slowest machine. */
const TIMEOUT_MS = 60_000;

/** Posts a body to a server; a body that is no text or bytes is sent as JSON. */
export function post(
  server: ServeProcess | string,
  body: BodyInit | object,
  { path = "/v1/chat/completions", headers = {} }: { path?: string; headers?: Record<string, string> } = {},
): Promise<Response> {
  const isRaw = typeof body === "string" || body instanceof Uint8Array;
  return fetch((typeof server === "string" ? server : server.origin) + path, {
    method: "POST",
    headers: { "Content-Type": "application/json", ...headers },
    body: isRaw ? (body as BodyInit) : JSON.stringify(body),
    signal: AbortSignal.timeout(TIMEOUT_MS),
  });
}

export interface Refusal {
  readonly message: string;
  readonly type: string;
  readonly param: string | null;
  readonly code: string | null;
}

/** Expects an error in the shape of OpenAI's API, and returns it. */
export async function refusal(response: Response, status: number): Promise<Refusal> {
  const { error } = await response.json();
  expect(response.status, JSON.stringify(error)).toBe(status);
  expect(Object.keys(error)).toEqual(["message", "type", "param", "code"]);
  return error;
}

/** Asks the golden problem's first tokens. */
export async function answersRight(server: ServeProcess, extra: object = {}): Promise<void> {
  const response = await post(server, { messages, temperature: 0, max_tokens: 10, ...extra });
  const { choices } = await response.json();
  expect(golden.greedy_text).toContain(choices[0].message.reasoning);
  expect(choices[0].message.reasoning.length).toBeGreaterThan(8);
}

/** Resolves when a condition holds. */
export async function until(condition: () => boolean | Promise<boolean>, what: string): Promise<void> {
  for (const end = Date.now() + TIMEOUT_MS; !(await condition()); ) {
    if (Date.now() > end) throw new Error(`never: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/** The data of a stream's events, [DONE] left out. */
export function eventsOf(text: string) {
  return [...text.matchAll(/^data: (\{.*\})$/gm)].map(([, json]) => JSON.parse(json ?? ""));
}

/** Text of a stream's choice. */
export function textOf(text: string, index = 0): string {
  return eventsOf(text)
    .flatMap(({ choices = [] }) => choices)
    .filter((choice) => choice.index === index)
    .map(({ delta = {} }) => (delta.reasoning ?? "") + (delta.content ?? ""))
    .join("");
}
