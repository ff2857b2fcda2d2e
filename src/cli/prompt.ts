import { readFile } from "node:fs/promises";
import type { ChatMessage } from "../engine/request.ts";
import { UsageError } from "./args.ts";

export interface PromptOptions {
  readonly promptFile?: string;
  readonly tokenIds?: string;
  /** The text goes to the model as it is, without chat template. */
  readonly raw?: boolean;
}

/** The part of a request that says what to go on from. */
export type PromptSource =
  | { readonly messages: readonly ChatMessage[] }
  | { readonly prompt: string }
  | { readonly tokenIds: readonly number[] };

/** Standard input as far as a prompt needs it. */
export interface PromptInput extends AsyncIterable<Uint8Array | string> {
  readonly isTTY?: boolean;
}

/**
 * The prompt from its one source: the argument, --prompt-file, --token-ids, or standard input where none is given.
 * @throws UsageError when there is none, or more than one.
 */
export async function readPrompt(
  argument: string | undefined,
  options: PromptOptions,
  input: PromptInput,
): Promise<PromptSource> {
  const given = [
    argument !== undefined && "the argument",
    options.promptFile !== undefined && "--prompt-file",
    options.tokenIds !== undefined && "--token-ids",
  ].filter((source) => source !== false);
  if (given.length > 1) throw new UsageError(`give one prompt; got ${given.join(" and ")}`);
  if (options.tokenIds !== undefined) return { tokenIds: await readTokenIds(options.tokenIds) };
  const text =
    argument ??
    (options.promptFile === undefined ? await readAll(input) : await readText(options.promptFile));
  if (options.raw && text !== "") return { prompt: text };
  // Editors and echo end a text with a line break that is not part of the prompt.
  const content = argument === undefined ? text.replace(/\r?\n$/, "") : text;
  if (content.trim() === "")
    throw new UsageError(
      "no prompt: give it as the argument, with --prompt-file or --token-ids, or on standard input",
    );
  return { messages: [{ role: "user", content }] };
}

async function readAll(input: PromptInput): Promise<string> {
  if (input.isTTY) return "";
  const decoder = new TextDecoder();
  let text = "";
  for await (const chunk of input)
    text += typeof chunk === "string" ? chunk : decoder.decode(chunk, { stream: true });
  return text + decoder.decode();
}

async function readText(path: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    throw new Error(`cannot read ${path}: ${error instanceof Error ? error.message : String(error)}`);
  }
}

async function readTokenIds(path: string): Promise<readonly number[]> {
  const text = await readText(path);
  const expected = "expected a JSON array of token ids such as [1, 2, 3]";
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new Error(`${path}: ${expected}: ${error instanceof Error ? error.message : String(error)}`);
  }
  if (!Array.isArray(value) || value.length === 0) throw new Error(`${path}: ${expected}`);
  return value.map((id: unknown) => {
    if (typeof id !== "number" || !Number.isSafeInteger(id) || id < 0)
      throw new Error(`${path}: ${expected}, got ${JSON.stringify(id)}`);
    return id;
  });
}
