/** What the tests of `serve` with the `openai` client share. */
import OpenAI, { APIError } from "openai";
import { golden, problem } from "./command-line.ts";

export const model = "pico-reasoner";
export const messages = [{ role: "user" as const, content: problem }];
/** The golden problem. */
export const greedy = { model, messages, temperature: 0 };

/** The golden output, split as a client gets it. */
export const [reasoning = "", answer = ""] = golden.greedy_text
  .replace("<think>\n", "")
  .replace("<|im_end|>", "")
  .split("\n</think>\n\n");

export function clientOf(url: string): OpenAI {
  return new OpenAI({ baseURL: url, apiKey: "sk-test", maxRetries: 0 });
}

/** The error that a call ends with. */
export async function errorOf(call: Promise<unknown>): Promise<APIError> {
  const error = await call.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (!(error instanceof APIError)) throw new Error(`expected an APIError, got ${String(error)}`);
  return error;
}
