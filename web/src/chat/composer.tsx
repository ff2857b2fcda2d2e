import { useSignal, useSignalEffect } from "@preact/signals";
import { useRef } from "preact/hooks";
import { chat, model, runSettings } from "../page-state.ts";
import { settings } from "../settings.ts";
import { texts } from "../texts.ts";
import { faultOf } from "./attention-choice.ts";
import { AttentionPicker } from "./attention-picker.tsx";
import { editing } from "./editing.ts";
import { ThinkingPicker } from "./thinking-picker.tsx";

/** The field of the next message, with how the model is to attend and to think. */
export function Composer() {
  const draft = useSignal("");
  const showsOptions = useSignal(false);
  const field = useRef<HTMLTextAreaElement>(null);
  const isRunning = chat.live.value !== undefined;
  const isSendable = draft.value.trim() !== "" && faultOf(settings.value.attention) === undefined;
  useSignalEffect(() => {
    if (!editing.value) return;
    draft.value = editing.value.content;
    field.current?.focus();
  });
  const send = () => {
    if (!isSendable || isRunning) return;
    const content = draft.value.trim();
    const { id, problem } = editing.value ?? {};
    const isSame = content === editing.value?.content; // the answer of another problem is not known
    void chat.send(content, runSettings(), { replaces: id, ...(isSame && { problem }) });
    draft.value = "";
    editing.value = undefined;
  };
  return (
    <div class="composer">
      <form
        onSubmit={(event) => {
          event.preventDefault();
          send();
        }}
      >
        {editing.value && (
          <p class="notes">
            {texts.composer.editing}{" "}
            <button
              type="button"
              class="quiet"
              onClick={() => {
                editing.value = undefined;
                draft.value = "";
              }}
            >
              {texts.composer.cancelEdit}
            </button>
          </p>
        )}
        <div class="write">
          <textarea
            ref={field}
            id="message"
            rows={1}
            aria-label={texts.composer.label}
            placeholder={
              model.value.readsOneMessage ? texts.composer.placeholderPico : texts.composer.placeholder
            }
            value={draft.value}
            onInput={({ currentTarget }) => (draft.value = currentTarget.value)}
            onKeyDown={(event) => {
              if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
              event.preventDefault();
              send();
            }}
          />
          {isRunning ? (
            <button type="button" onClick={() => void chat.stop()}>
              {texts.composer.stop}
            </button>
          ) : (
            <button type="submit" class="primary" disabled={!isSendable}>
              {texts.composer.send}
            </button>
          )}
        </div>
        <button
          type="button"
          class="quiet only-phone"
          aria-expanded={showsOptions.value}
          aria-controls="options"
          onClick={() => (showsOptions.value = !showsOptions.value)}
        >
          {texts.composer.options}: {texts.composer.attentionName(settings.value.attention.kind)}
        </button>
        <div id="options" class={showsOptions.value ? "options" : "options not-on-phone"}>
          <AttentionPicker />
          <ThinkingPicker />
        </div>
      </form>
    </div>
  );
}
