import { signal } from "@preact/signals";
import { AbortedError, type GenerationResult } from "lessismore";
import {
  type AssistantMessage,
  type Conversation,
  emptyConversation,
  type KnownProblem,
  type Message,
  type RunSettings,
  titleOf,
  type UserMessage,
} from "../conversations/conversation.ts";
import type { ConversationStore } from "../conversations/conversation-store.ts";
import type { EngineHost } from "../engine/engine-host.ts";
import { runRequest } from "../engine/run-request.ts";
import { isRight } from "../problems/problem-maker.ts";
import { RunRecord } from "../run/run-record.ts";
import { texts } from "../texts.ts";
import { buildRequest } from "./build-request.ts";
import { LiveRun } from "./live-run.ts";

/** A run in progress is saved so often, so that a reload loses little. */
const SAVE_EVERY_MS = 1500;

/** The conversation on the page, and the run in it. */
export class Chat {
  readonly conversation = signal<Conversation>(emptyConversation());
  readonly all = signal<readonly Conversation[]>([]);
  /** The run in progress. */
  readonly live = signal<LiveRun | undefined>(undefined);
  /** The record of the newest run, for the views. */
  readonly record = signal<RunRecord | undefined>(undefined);
  /** Why the last save failed. */
  readonly saveError = signal<string | undefined>(undefined);
  readonly #engines: EngineHost;
  #store: ConversationStore | undefined;
  #stopping = new AbortController();
  #savedAt = 0;

  constructor(engines: EngineHost) {
    this.#engines = engines;
  }

  /** Takes the store and shows its newest conversation. */
  async useStore(store: ConversationStore): Promise<void> {
    this.#store = store;
    this.all.value = await store.list();
    const [newest] = this.all.value;
    if (newest && this.conversation.value.messages.length === 0) this.conversation.value = newest;
  }

  /** Shows another conversation, or a new one. The run in progress is stopped. */
  async show(id?: string): Promise<void> {
    await this.stop();
    this.record.value = undefined;
    this.conversation.value = this.all.value.find((one) => one.id === id) ?? emptyConversation();
  }

  async remove(id: string): Promise<void> {
    if (this.conversation.value.id === id) await this.show();
    await this.#store?.remove(id);
    this.all.value = this.all.value.filter((one) => one.id !== id);
  }

  /** Sends a message and runs the answer. replaces: the message that is edited; it and all after it are dropped. */
  async send(
    content: string,
    settings: RunSettings,
    { problem, replaces }: { problem?: KnownProblem | undefined; replaces?: string | undefined } = {},
  ): Promise<void> {
    await this.stop();
    const { messages } = this.conversation.value;
    const at = messages.findIndex(({ id }) => id === replaces);
    const user: UserMessage = { role: "user", id: crypto.randomUUID(), content, problem };
    this.#put([...(at < 0 ? messages : messages.slice(0, at)), user]);
    await this.#answer(settings);
  }

  /** Runs the answer to the last message of a person again. */
  async retry(settings: RunSettings): Promise<void> {
    await this.stop();
    const { messages } = this.conversation.value;
    const last = messages.findLastIndex(({ role }) => role === "user");
    this.#put(messages.slice(0, last + 1));
    await this.#answer(settings);
  }

  /** Goes on with an answer that was stopped or cut by a reload, from its tokens, under its own settings. */
  async resume(message: AssistantMessage): Promise<void> {
    await this.stop();
    const { messages } = this.conversation.value;
    this.#put(
      messages.slice(
        0,
        messages.findIndex(({ id }) => id === message.id),
      ),
    );
    await this.#answer(message.settings, message);
  }

  /** Stops the run in progress and waits for its end. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#running;
  }

  /** Saves the run in progress as far as it is: the page may be about to go. */
  async saveNow(): Promise<void> {
    if (this.live.value) await this.#saveLive(this.live.value);
  }

  #running: Promise<void> = Promise.resolve();

  #answer(settings: RunSettings, from?: AssistantMessage): Promise<void> {
    this.#running = this.#run(settings, from);
    return this.#running;
  }

  async #run(settings: RunSettings, from: AssistantMessage | undefined): Promise<void> {
    this.#stopping = new AbortController();
    const { signal: stopped } = this.#stopping;
    const before = this.conversation.value.messages;
    const { reasoning = "", answer = "", tokenIds = [] } = from ?? {};
    const message: AssistantMessage = {
      ...{ role: "assistant", id: from?.id ?? crypto.randomUUID(), settings, state: "running" },
      ...{ reasoning, answer, tokenIds },
    };
    const live = new LiveRun(message.id, message);
    this.live.value = live;
    this.#put([...before, message]);
    let end: Partial<AssistantMessage>;
    try {
      const result = await this.#generate(before, live, settings, stopped, tokenIds);
      live.record.value?.finish(result);
      end = this.#ended(before, live, result);
    } catch (error) {
      const { reasoning, answer, tokenIds } = live;
      const isStop = stopped.aborted || error instanceof AbortedError;
      const told = error instanceof Error ? error.message : String(error);
      live.record.value?.fail(isStop ? texts.message.stopped : told);
      end = {
        reasoning,
        answer,
        tokenIds,
        state: isStop ? "stopped" : "failed",
        ...(!isStop && { error: told }),
      };
    }
    this.#replace({ ...message, ...end });
    this.live.value = undefined;
    await this.#save();
  }

  #generate(
    before: readonly Message[],
    live: LiveRun,
    settings: RunSettings,
    stopped: AbortSignal,
    known: readonly number[],
  ): Promise<GenerationResult> {
    return runRequest(
      this.#engines,
      {
        onStart: async (engine, numReplays) => {
          const model = this.#engines.wanted?.model;
          if (!model) throw new RangeError(texts.errors.noModel);
          const hasTemplate = engine.chatTemplates.length > 0;
          const request = buildRequest(model, before, settings, hasTemplate);
          live.notes = hasTemplate ? [] : [texts.message.noTemplate];
          const { messages, prompt, chatTemplateOptions } = request;
          const { tokenIds } = await engine.tokenizePrompt({
            ...(messages ? { messages } : { prompt: prompt ?? "" }),
            ...(chatTemplateOptions && { chatTemplateOptions }),
          });
          if (numReplays > 0 || known.length > 0) live.restart();
          live.phase.value = live.numKnown > 0 ? "replaying" : "reading";
          const record = new RunRecord({
            promptTokenIds: tokenIds,
            textOf: (id) => engine.tokenizer.decode([id]),
            attention: settings.attention,
            engine: engine.report(),
          });
          live.record.value = record;
          this.record.value = record;
          return { ...request, observer: record.observer };
        },
        onPart: (part) => {
          live.add(part);
          // a record has every token at its position
          live.record.value?.add({ ...part, tokenIds: [...(part.markerTokenIds ?? []), ...part.tokenIds] });
          if (performance.now() - this.#savedAt > SAVE_EVERY_MS) void this.#saveLive(live);
        },
        onLost: () => {
          live.phase.value = "waiting";
        },
      },
      stopped,
      known,
    );
  }

  #ended(before: readonly Message[], live: LiveRun, result: GenerationResult): Partial<AssistantMessage> {
    const { value } = this.#engines.state;
    const problem = (before.at(-1) as UserMessage | undefined)?.problem;
    return {
      state: "done",
      reasoning: result.reasoning,
      answer: result.answer,
      tokenIds: result.tokenIds,
      notes: [...live.notes, ...result.notes],
      ...(problem && { isRight: isRight(problem.answer, result.answer) }),
      figures: {
        promptTokens: result.usage.promptTokens,
        tokens: result.usage.completionTokens,
        msPerToken: result.timings.msPerToken,
        attendedFraction: result.attention.attendedFraction,
        backend: value.phase === "ready" ? value.report.backend.name : "",
        finishReason: result.finishReason,
      },
    };
  }

  async #saveLive(live: LiveRun): Promise<void> {
    const { messageId, reasoning, answer, tokenIds } = live;
    this.#savedAt = performance.now();
    const { value } = this.conversation;
    const messages = value.messages.map((message) =>
      message.id === messageId ? { ...message, reasoning, answer, tokenIds: [...tokenIds] } : message,
    );
    await this.#keep({ ...value, messages });
  }

  #put(messages: readonly Message[]): void {
    const { value } = this.conversation;
    this.conversation.value = { ...value, messages, title: titleOf(messages), updatedAt: Date.now() };
    void this.#save();
  }

  #replace(message: Message): void {
    this.#put(this.conversation.value.messages.map((one) => (one.id === message.id ? message : one)));
  }

  async #save(): Promise<void> {
    const { value } = this.conversation;
    if (value.messages.length === 0) return;
    this.all.value = [value, ...this.all.value.filter(({ id }) => id !== value.id)];
    await this.#keep(value);
  }

  async #keep(conversation: Conversation): Promise<void> {
    try {
      await this.#store?.put(conversation);
      this.saveError.value = undefined;
    } catch (error) {
      this.saveError.value = error instanceof Error ? error.message : String(error);
    }
  }
}
