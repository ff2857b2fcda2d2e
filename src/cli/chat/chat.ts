/** `lessismore chat`: turns of a conversation, and the commands between them. */
import { readFile, writeFile } from "node:fs/promises";
import type { Generation, GenerationRequest, GenerationResult } from "../../engine/request.ts";
import { type Engine, formatAttention } from "../../node/index.ts";
import { attentionSpec } from "../args.ts";
import { loadAttention } from "../attention.ts";
import type { ModelOptions, SamplingOptions } from "../commands/model-options.ts";
import { openWithProgress } from "../open-with-progress.ts";
import { NoteWriter, PartWriter } from "../output.ts";
import { ProgressLine } from "../progress.ts";
import { loadCache, removeCache, saveCache } from "./chat-cache.ts";
import { keepHistory, readHistory } from "./chat-history.ts";
import { CHAT_COMMANDS, type ChatCommandName, readInput } from "./chat-input.ts";
import { ChatSession, type Thinking } from "./chat-session.ts";
import { type LineReader, openLineReader } from "./line-reader.ts";
import { StatusRow, type TerminalStream } from "./status-row.ts";

export interface ChatOptions extends ModelOptions, SamplingOptions {
  readonly attention?: string;
  readonly system?: string;
  readonly think?: Thinking;
  readonly maxTokens?: number;
  readonly load?: string;
  readonly history: boolean;
}

export interface ChatStreams {
  readonly input: NodeJS.ReadStream;
  readonly output: NodeJS.WriteStream;
  readonly notes: TerminalStream;
}

/** Runs the chat until its input ends. @returns the exit code */
export async function chat(options: ChatOptions, streams: ChatStreams): Promise<number> {
  const engine = await openWithProgress(options, new ProgressLine(streams.notes));
  const history = options.history && streams.input.isTTY ? readHistory() : [];
  const reader = openLineReader(streams, history);
  try {
    const { attention, system, think = "default" } = options;
    const session = new ChatSession({
      thinking: think,
      ...(attention !== undefined && { attention }),
      ...(system !== undefined && { system }),
    });
    const turns = new Chat(engine, session, { options, streams, reader });
    if (options.load !== undefined) await turns.load(options.load);
    turns.greet();
    while (await turns.next());
    return 0;
  } finally {
    reader.close();
    await engine.close();
    const lost = options.history && streams.input.isTTY ? keepHistory(history) : undefined;
    if (lost !== undefined) streams.notes.write(`lessismore: ${lost}\n`);
  }
}

class Chat {
  readonly #engine: Engine;
  readonly #session: ChatSession;
  readonly #options: ChatOptions;
  readonly #streams: ChatStreams;
  readonly #reader: LineReader;
  readonly #notes: NoteWriter;

  constructor(
    engine: Engine,
    session: ChatSession,
    {
      options,
      streams,
      reader,
    }: { readonly options: ChatOptions; readonly streams: ChatStreams; readonly reader: LineReader },
  ) {
    this.#engine = engine;
    this.#session = session;
    this.#options = options;
    this.#streams = streams;
    this.#reader = reader;
    this.#notes = new NoteWriter(streams.notes);
  }

  greet(): void {
    const { model, backend } = this.#engine.report();
    this.#notes.write(this.#engine.report().notes);
    this.#say(`${model.name} on ${backend.description}; /help lists the commands`);
  }

  /** Reads and does one thing. False at the end of the input. */
  async next(): Promise<boolean> {
    const text = await this.#reader.read();
    if (text === undefined) return false;
    if (text === "") return true;
    const input = readInput(text);
    if (input.kind === "unknown") this.#say(input.advice);
    else if (input.kind === "command") return this.#command(input.name, input.rest);
    else {
      this.#session.ask(input.text);
      await this.#turn();
    }
    return true;
  }

  /** @returns false to leave */
  async #command(name: ChatCommandName, rest: string): Promise<boolean> {
    try {
      if (name === "quit") return false;
      if (name === "help") this.#say(Object.values(CHAT_COMMANDS).join("\n"));
      else if (name === "reset") this.#reset();
      else if (name === "retry") await this.#retry();
      else if (name === "save") await this.#save(rest);
      else if (name === "load") await this.load(rest);
      else await this.#set(name, rest);
    } catch (error) {
      this.#say(`/${name}: ${error instanceof Error ? error.message : String(error)}`);
    }
    return true;
  }

  async #set(name: "attention" | "think" | "system", rest: string): Promise<void> {
    const { settings } = this.#session;
    if (name === "system") {
      const { system: _, ...others } = settings;
      this.#session.settings = rest === "" ? others : { ...others, system: rest };
      this.#say(rest === "" ? "no system message" : "system message set");
    } else if (name === "think") {
      if (!/^(on|off|default|\d+)$/.test(rest))
        throw new Error(`expected on, off or a number of tokens, got "${rest}"`);
      const thinking = /^\d+$/.test(rest) ? Number(rest) : (rest as Thinking);
      this.#session.settings = { ...settings, thinking };
      this.#say(
        typeof thinking === "number" ? `reasoning: at most ${thinking} tokens` : `reasoning: ${thinking}`,
      );
    } else {
      if (rest === "")
        throw new Error(`expected a spec such as full, now ${settings.attention ?? "the model's own"}`);
      await loadAttention(attentionSpec(rest));
      this.#session.settings = { ...settings, attention: rest };
      this.#say(`attention: ${rest}`);
    }
  }

  #reset(): void {
    this.#session.reset();
    this.#say("the conversation is forgotten");
  }

  async #retry(): Promise<void> {
    if (!this.#session.dropAnswer()) throw new Error("there is no answer to try again");
    await this.#turn();
  }

  async #save(file: string): Promise<void> {
    if (file === "") throw new Error("expected a file");
    await writeFile(file, this.#session.toText());
    this.#say(`written to ${file}`);
    await this.#withCache(
      "the cache is not saved, so that the next chat reads the conversation anew",
      async (signal) => {
        if (this.#session.messages.length === 0) return removeCache(file);
        return saveCache(this.#engine, { ...(await this.#request("session")), signal }, file);
      },
    );
  }

  async load(file: string): Promise<void> {
    if (file === "") throw new Error("expected a file");
    this.#session.fromText(await readFile(file, "utf8"), file);
    this.#say(`${this.#session.messages.length} messages from ${file}`);
    await this.#withCache("the next turn reads the conversation anew", async (signal) => {
      const { attention } = await this.#request("session");
      return loadCache(this.#engine, file, { ...(attention !== undefined && { attention }), signal });
    });
  }

  /** Saves or loads a cache and says what was done. A failure costs time alone; without: what it means */
  async #withCache(
    without: string,
    work: (signal: AbortSignal) => Promise<string | undefined>,
  ): Promise<void> {
    try {
      const done = await this.#interruptible(work);
      if (done !== undefined) this.#say(done);
    } catch (error) {
      this.#say(`${without}: ${error instanceof Error ? error.message : String(error)}`);
    }
  }

  /** Runs work that Ctrl-C aborts. */
  async #interruptible<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const stop = new AbortController();
    const onInterrupt = () => stop.abort();
    this.#reader.onInterrupt = onInterrupt; // A terminal that edits lines sends no signal.
    process.on("SIGINT", onInterrupt);
    try {
      return await work(stop.signal);
    } finally {
      this.#reader.onInterrupt = undefined;
      process.off("SIGINT", onInterrupt);
    }
  }

  /** Answers the last question. Ctrl-C stops the answer, which stays as far as it came. */
  async #turn(): Promise<void> {
    const status = new StatusRow(this.#streams.output);
    try {
      await this.#interruptible((signal) => this.#answer(status, signal));
    } catch (error) {
      status.end();
      this.#session.takeBack();
      this.#say(error instanceof Error ? error.message : String(error));
    }
  }

  async #answer(status: StatusRow, signal: AbortSignal): Promise<void> {
    const generation = this.#engine.generate({ ...(await this.#request("turn")), signal });
    const watch = new TurnStatus(generation, this.#engine.report().model.contextLength);
    status.begin(() => watch.describe());
    const said = await this.#write(generation, signal);
    status.end();
    if (said.result) this.#say(watch.describeEnd(said.result));
    else this.#say("stopped");
    this.#notes.write(said.result?.notes ?? []);
    if (said.result || said.answer !== "") this.#session.answer(said.result ?? said);
    else this.#session.takeBack();
  }

  /** The request of a turn, or what names the conversation for its cache. */
  async #request(of: "turn" | "session"): Promise<GenerationRequest> {
    const { temperature, topP, topK, minP, repetitionPenalty, maxTokens } = this.#options;
    const given =
      of === "session" ? { maxTokens } : { temperature, topP, topK, minP, repetitionPenalty, maxTokens };
    const options = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
    const { attention, thinkingBudget, ...request } = this.#session.request();
    const chosen = typeof attention === "string" ? (await loadAttention(attention)).attention : undefined;
    return {
      ...options,
      ...request,
      ...(of === "turn" && thinkingBudget !== undefined && { thinkingBudget }),
      ...(chosen !== undefined && { attention: chosen }),
    };
  }

  async #write(
    generation: Generation,
    signal: AbortSignal,
  ): Promise<{ readonly result?: GenerationResult; readonly answer: string; readonly reasoning: string }> {
    const writer = new PartWriter(this.#streams.output);
    const said = { answer: "", reasoning: "" };
    try {
      for await (const { kind, text } of generation) {
        writer.write(kind, text);
        said[kind] += text;
      }
      return { result: await generation.result(), ...said };
    } catch (error) {
      if (!signal.aborted) throw error;
      return said;
    } finally {
      writer.end();
    }
  }

  /** Tells the person something that is not the model's. */
  #say(text: string): void {
    const { output, notes, input } = this.#streams;
    if (input.isTTY && output.isTTY) output.write(`\u001b[2m${text}\u001b[0m\n`);
    else notes.write(`${text}\n`);
  }
}

/** What the status row says of a turn. */
class TurnStatus {
  readonly #generation: Generation;
  readonly #contextLength: number;
  #first: { readonly at: number; readonly tokens: number } | undefined;

  constructor(generation: Generation, contextLength: number) {
    this.#generation = generation;
    this.#contextLength = contextLength;
  }

  describe(): string {
    const { phase, promptTokens, cachedTokens, generatedTokens, waitsFor } = this.#generation.progress;
    const context = `context ${cachedTokens} of ${this.#contextLength}`;
    if (phase === "waiting") return `waiting${waitsFor === undefined ? "" : ` for ${waitsFor}`}`;
    if (phase === "prefill")
      return `reading: ${Math.min(cachedTokens, promptTokens)} of ${promptTokens} tokens`;
    this.#first ??= { at: performance.now(), tokens: generatedTokens };
    const since = generatedTokens - this.#first.tokens;
    const pace = since > 0 ? `, ${((performance.now() - this.#first.at) / since).toFixed(1)} ms a token` : "";
    return `${generatedTokens} tokens${pace}; ${context}`;
  }

  describeEnd({ usage, timings, attention, finishReason, thinking }: GenerationResult): string {
    const { promptTokens, cachedTokens, completionTokens } = usage;
    const cached =
      cachedTokens > 0 ? `; ${cachedTokens} of ${promptTokens} tokens before it were cached` : "";
    const pace = completionTokens > 1 ? `, ${timings.msPerToken.toFixed(1)} ms a token` : "";
    const read = `${formatAttention(attention)} read ${(100 * attention.attendedFraction).toFixed(0)} % of the cache`;
    const cut = thinking?.isCut === true ? ", reasoning ended by its budget" : "";
    const ended = finishReason === "length" ? `${cut} (cut at the limit)` : cut;
    return `[${completionTokens} tokens${pace}${ended}${cached}; ${read}; context ${promptTokens + completionTokens} of ${this.#contextLength}]`;
  }
}
