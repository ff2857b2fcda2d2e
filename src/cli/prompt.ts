import type { ChatMessage, GenerationRequest } from "../engine/request.ts";
import { UsageError } from "./args.ts";
import { parseConversation } from "./conversation.ts";
import { nameOf, type PromptInput, readAll, readJson, readText } from "./read-text.ts";

export interface PromptOptions {
  readonly promptFile?: string;
  readonly messages?: string;
  readonly tokenIds?: string;
  readonly system?: string;
  /** Pass the text to the model without chat template. */
  readonly raw?: boolean;
  /** True for --think, false for --no-think. */
  readonly think?: boolean;
  readonly chatTemplateOption?: Readonly<Record<string, unknown>>;
  readonly startsInReasoning?: boolean;
}

/** The prompt of a request, and its interpretation. */
export type PromptSource = Pick<
  GenerationRequest,
  "messages" | "prompt" | "tokenIds" | "chatTemplateOptions" | "startsInReasoning"
>;

/**
 * Reads the prompt from its one source: the argument, --prompt-file, --messages, --token-ids, or standard input if none is
 * given; an argument or a file named "-" is standard input.
 * variables: of the chat template, if there is one and no option sets them
 * @throws UsageError on no source, on several, and on an option that does not apply to it.
 */
export async function readPrompt(
  given: string | undefined,
  options: PromptOptions,
  input: PromptInput,
  variables: Readonly<Record<string, unknown>> = {},
): Promise<PromptSource> {
  checkSources(given, options);
  const argument = given === "-" ? undefined : given;
  checkTemplateOptions(options);
  const { tokenIds, startsInReasoning } = options;
  const start = startsInReasoning ? { startsInReasoning } : {};
  if (tokenIds !== undefined) return { tokenIds: await readTokenIds(tokenIds, input), ...start };
  if (options.messages !== undefined)
    return {
      messages: await readConversation(options.messages, options, input),
      ...templateOptions(options, variables),
      ...start,
    };
  const text = await promptText(argument, options, input);
  if (options.raw) return { prompt: text, ...start };
  const messages = [...systemMessage(options), { role: "user", content: text }];
  return { messages, ...templateOptions(options, variables), ...start };
}

function checkSources(argument: string | undefined, options: PromptOptions): void {
  const given = [
    argument !== undefined && "the argument",
    options.promptFile !== undefined && "--prompt-file",
    options.messages !== undefined && "--messages",
    options.tokenIds !== undefined && "--token-ids",
  ].filter((source) => source !== false);
  if (given.length > 1) throw new UsageError(`give one prompt; got ${given.join(" and ")}`);
}

/** @throws UsageError on options of the chat template without one, and on contradictory ones. */
function checkTemplateOptions(options: PromptOptions): void {
  const { raw, tokenIds, messages, system, think, chatTemplateOption } = options;
  if (raw && tokenIds !== undefined)
    throw new UsageError("--raw is for a text; --token-ids go past the chat template anyway");
  if (raw && messages !== undefined)
    throw new UsageError("--raw leaves the chat template out, and --messages need it");
  const past = raw ? "--raw" : tokenIds === undefined ? undefined : "--token-ids";
  const ofTemplate = [
    system !== undefined && "--system",
    think !== undefined && (think ? "--think" : "--no-think"),
    chatTemplateOption !== undefined && "--chat-template-option",
  ].filter((option) => option !== false);
  if (past !== undefined && ofTemplate[0] !== undefined)
    throw new UsageError(`${ofTemplate[0]} is for the chat template, and ${past} goes past it`);
  if (think !== undefined && chatTemplateOption && "enable_thinking" in chatTemplateOption)
    throw new UsageError(
      `${think ? "--think" : "--no-think"} sets enable_thinking, and so does --chat-template-option; give one`,
    );
  if (think === false && options.startsInReasoning)
    throw new UsageError("--no-think asks for no reasoning, and --starts-in-reasoning says that it is open");
}

function templateOptions(
  { think, chatTemplateOption }: PromptOptions,
  variables: Readonly<Record<string, unknown>>,
): PromptSource {
  const thinking = think === undefined ? {} : { enable_thinking: think };
  const all = { ...variables, ...chatTemplateOption, ...thinking };
  return Object.keys(all).length === 0 && chatTemplateOption === undefined
    ? {}
    : { chatTemplateOptions: all };
}

function systemMessage({ system }: PromptOptions): ChatMessage[] {
  return system === undefined ? [] : [{ role: "system", content: system }];
}

async function promptText(
  argument: string | undefined,
  options: PromptOptions,
  input: PromptInput,
): Promise<string> {
  const { promptFile, raw } = options;
  const text =
    argument ??
    (promptFile === undefined ? await readAll(input, "standard input") : await readText(promptFile, input));
  if (raw && text !== "") return text;
  // Editors and echo append a line break that is not part of the prompt.
  const content = argument === undefined ? text.replace(/\r?\n$/, "") : text;
  if (content.trim() !== "") return content;
  if (promptFile !== undefined) throw new UsageError(`the prompt in ${nameOf(promptFile)} is empty`);
  throw new UsageError(
    "no prompt: give it as the argument, with --prompt-file, --messages or --token-ids, or on standard input",
  );
}

async function readConversation(
  path: string,
  options: PromptOptions,
  input: PromptInput,
): Promise<readonly ChatMessage[]> {
  const value = await readJson(path, input, "a JSON conversation");
  const messages = parseConversation(value, nameOf(path));
  const system = systemMessage(options);
  if (system.length > 0 && messages[0]?.role === "system")
    throw new UsageError(`${nameOf(path)} has a system message, and so has --system; give one`);
  return [...system, ...messages];
}

async function readTokenIds(path: string, input: PromptInput): Promise<readonly number[]> {
  const expected = "a JSON array of token ids such as [1, 2, 3]";
  const value = await readJson(path, input, expected);
  if (!Array.isArray(value) || value.length === 0) throw new Error(`${nameOf(path)}: expected ${expected}`);
  return value.map((id: unknown, i) => {
    if (typeof id !== "number" || !Number.isSafeInteger(id) || id < 0)
      throw new Error(`${nameOf(path)}: expected ${expected}, got ${JSON.stringify(id)} at index ${i}`);
    return id;
  });
}
