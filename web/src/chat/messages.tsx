import { useSignal } from "@preact/signals";
import type { AssistantMessage, Message, UserMessage } from "../conversations/conversation.ts";
import { chat, engines, model, runSettings } from "../page-state.ts";
import { FirstScreen } from "../problems/first-screen.tsx";
import { texts } from "../texts.ts";
import { AnswerText } from "./answer-text.tsx";
import { editing } from "./editing.ts";
import { Figures } from "./figures.tsx";
import type { LiveRun } from "./live-run.ts";
import { LiveThoughts, Thoughts } from "./thoughts.tsx";

/** Lines from which on a message of a person scrolls in its own box. */
const LONG_LINES = 8;

/** The conversation, or the first screen. */
export function Messages() {
  const { messages } = chat.conversation.value;
  const live = chat.live.value;
  if (messages.length === 0) return <FirstScreen />;
  const last = messages.at(-1);
  return (
    <>
      <p class="for-readers" role="status">
        {live ? texts.message.runStarted : endOf(last)}
      </p>
      {messages.map((message, i) => {
        if (message.role === "user") return <User key={message.id} message={message} />;
        if (live?.messageId === message.id) return <Live key={message.id} live={live} />;
        const asked = messages[i - 1] as UserMessage | undefined;
        return <Assistant key={message.id} message={message} asked={asked} isLast={message === last} />;
      })}
    </>
  );
}

/** What a screen reader says when a run has ended. */
function endOf(last: Message | undefined): string {
  if (last?.role !== "assistant" || last.state !== "done") return "";
  const { isRight } = last;
  const verdict = isRight === undefined ? "" : isRight ? texts.message.right : texts.message.notRight;
  return `${texts.message.runEnded(last.answer)} ${verdict}`;
}

function User({ message }: { readonly message: UserMessage }) {
  const isLong = message.content.split("\n").length > LONG_LINES;
  return (
    <article class="message user" aria-label={texts.message.you}>
      <div class={isLong ? "bubble long" : "bubble"} {...(isLong && { tabIndex: 0 })}>
        {message.content}
      </div>
      <div class="actions">
        <CopyButton text={message.content} />
        <button type="button" class="quiet" onClick={() => (editing.value = message)}>
          {texts.message.edit}
        </button>
      </div>
    </article>
  );
}

function Live({ live }: { readonly live: LiveRun }) {
  live.version.value; // shows each change
  const count = live.tokenIds.length;
  const phases = {
    waiting: engines.state.value.phase === "opening" ? texts.message.waiting : texts.message.reading,
    reading: texts.message.reading,
    replaying: texts.message.replaying(live.numKnown),
    thinking: texts.message.thinking(count),
    answering: texts.message.answering(count),
  };
  return (
    <article class="message assistant" aria-label={texts.message.model} aria-busy="true">
      <details class="reasoning" open>
        <summary>{phases[live.phase.value]}</summary>
        <LiveThoughts live={live} />
      </details>
      {live.answer !== "" && <AnswerText text={live.answer} />}
    </article>
  );
}

function Assistant({
  message,
  asked,
  isLast,
}: {
  readonly message: AssistantMessage;
  readonly asked: UserMessage | undefined;
  readonly isLast: boolean;
}) {
  const { state, reasoning, answer, error, notes = [], isRight, tokenIds, settings } = message;
  const right = asked?.problem?.answer;
  const isCut = state === "running" || state === "stopped";
  const isOtherModel = settings.model !== model.value.name;
  return (
    <article class="message assistant" aria-label={texts.message.model}>
      {reasoning !== "" && (
        <details class="reasoning" open={isCut || undefined}>
          <summary>{texts.message.reasoningOf(tokenIds.length)}</summary>
          <Thoughts text={reasoning} />
        </details>
      )}
      {answer !== "" && <AnswerText text={answer} />}
      {isRight !== undefined && right !== undefined && (
        <p>
          <span class={`badge ${isRight ? "right" : "wrong"}`}>
            {isRight ? texts.message.right : texts.message.wrong(right)}
          </span>
        </p>
      )}
      {state === "failed" && (
        <p class="notice failed" role="alert">
          {texts.message.failed} {error}
        </p>
      )}
      {isCut && <p class="notes">{state === "stopped" ? texts.message.stopped : texts.message.cut}</p>}
      <Figures message={message} />
      {notes.length > 0 && (
        <details class="notes">
          <summary>{texts.message.notes(notes.length)}</summary>
          <ul>
            {notes.map((note) => (
              <li key={note}>{note}</li>
            ))}
          </ul>
        </details>
      )}
      <div class="actions">
        {(isCut || state === "failed") && tokenIds.length > 0 && isLast && (
          <button
            type="button"
            disabled={isOtherModel}
            title={isOtherModel ? texts.message.otherModel(settings.model) : undefined}
            onClick={() => void chat.resume(message)}
          >
            {texts.message.resume}
          </button>
        )}
        {answer !== "" && <CopyButton text={answer} />}
        {isLast && (
          <button type="button" class="quiet" onClick={() => void chat.retry(runSettings())}>
            {texts.message.retry}
          </button>
        )}
        {isLast && asked?.problem && (
          <button type="button" class="quiet" onClick={() => void chat.show()}>
            {texts.problems.more}
          </button>
        )}
      </div>
    </article>
  );
}

function CopyButton({ text }: { readonly text: string }) {
  const said = useSignal<string | undefined>(undefined);
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text);
      said.value = texts.message.copied;
    } catch {
      said.value = texts.message.copyFailed;
    }
    setTimeout(() => (said.value = undefined), 2500);
  };
  return (
    <button type="button" class="quiet" onClick={() => void copy()}>
      <span aria-live="polite">{said.value ?? texts.message.copy}</span>
    </button>
  );
}
