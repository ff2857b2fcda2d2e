import type { AssistantMessage, Message, UserMessage } from "../conversations/conversation.ts";
import { CopyButton } from "../copy-button.tsx";
import { AnswerText } from "../markdown/answer-text.tsx";
import { chat, engines, model, runSettings } from "../page-state.ts";
import { FirstScreen } from "../problems/first-screen.tsx";
import { texts } from "../texts.ts";
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
        const asked = messages[i - 1] as UserMessage | undefined;
        const run = live?.messageId === message.id ? live : undefined;
        return (
          <Assistant key={message.id} message={message} live={run} asked={asked} isLast={message === last} />
        );
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

/** The answer of a model, while it comes and after. Its text stays the same elements when the run ends. */
function Assistant({
  message,
  live,
  asked,
  isLast,
}: {
  readonly message: AssistantMessage;
  /** The run that writes it. */
  readonly live: LiveRun | undefined;
  readonly asked: UserMessage | undefined;
  readonly isLast: boolean;
}) {
  live?.version.value; // shows each change
  const answer = live?.answer ?? message.answer;
  return (
    <article class="message assistant" aria-label={texts.message.model} aria-busy={live !== undefined}>
      {live ? <LiveReasoning live={live} /> : <Reasoning message={message} />}
      {answer !== "" && <AnswerText text={answer} isStreaming={live !== undefined} />}
      {!live && <End message={message} asked={asked} isLast={isLast} />}
    </article>
  );
}

function LiveReasoning({ live }: { readonly live: LiveRun }) {
  live.version.value;
  const count = live.tokenIds.length;
  const phases = {
    waiting: engines.state.value.phase === "opening" ? texts.message.waiting : texts.message.reading,
    reading: texts.message.reading,
    replaying: texts.message.replaying(live.numKnown),
    thinking: texts.message.thinking(count),
    answering: texts.message.answering(count),
  };
  return (
    <details class="reasoning" open>
      <summary>{phases[live.phase.value]}</summary>
      <LiveThoughts live={live} />
    </details>
  );
}

function Reasoning({ message }: { readonly message: AssistantMessage }) {
  const { reasoning, tokenIds } = message;
  if (reasoning === "") return null;
  return (
    <details class="reasoning" open={isCut(message) || undefined}>
      <summary>{texts.message.reasoningOf(tokenIds.length)}</summary>
      <Thoughts text={reasoning} />
    </details>
  );
}

const isCut = ({ state }: AssistantMessage) => state === "running" || state === "stopped";

/** What follows an answer: whether it is right, what it cost, and what can be done with it. */
function End({
  message,
  asked,
  isLast,
}: {
  readonly message: AssistantMessage;
  readonly asked: UserMessage | undefined;
  readonly isLast: boolean;
}) {
  const { state, answer, error, notes = [], isRight, tokenIds, settings } = message;
  const right = asked?.problem?.answer;
  const isOtherModel = settings.model !== model.value.name;
  return (
    <>
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
      {isCut(message) && (
        <p class="notes">{state === "stopped" ? texts.message.stopped : texts.message.cut}</p>
      )}
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
        {(isCut(message) || state === "failed") && tokenIds.length > 0 && isLast && (
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
    </>
  );
}
