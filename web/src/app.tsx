import { useSignal, useSignalEffect } from "@preact/signals";
import { useRef } from "preact/hooks";
import { Composer } from "./chat/composer.tsx";
import { FollowEnd } from "./chat/follow-end.tsx";
import { Messages } from "./chat/messages.tsx";
import { ConversationList } from "./conversations/conversation-list.tsx";
import { Dialog } from "./dialog.tsx";
import { EngineLine } from "./engine/engine-line.tsx";
import { DropModel } from "./models/drop-model.tsx";
import { ModelPicker } from "./models/model-picker.tsx";
import { Notices } from "./notices.tsx";
import { chat, engines, model } from "./page-state.ts";
import { claimTab, tabState } from "./tab/one-tab.ts";
import { OtherTab } from "./tab/other-tab.tsx";
import { texts } from "./texts.ts";
import { VIEW_NAMES, type ViewName, Views } from "./views.tsx";

export function App({ start }: { readonly start: () => Promise<void> }) {
  useSignalEffect(() => {
    if (tabState.value === "taken") void chat.stop().then(() => engines.close());
  });
  switch (tabState.value) {
    case "asking":
      return null;
    case "ours":
      return <Page />;
    default:
      return <OtherTab state={tabState.value} onTake={() => claimTab(true).then(start)} />;
  }
}

function Page() {
  const part = useSignal<"chat" | "views">("chat");
  const view = useSignal<ViewName>("selection");
  const picker = useRef<HTMLDialogElement>(null);
  const list = useRef<HTMLDialogElement>(null);
  const show = (name: ViewName) => {
    view.value = name;
    part.value = "views";
  };
  return (
    <div class="page">
      <a class="skip" href="#message">
        {texts.skip}
      </a>
      <header class="header">
        <h1 class="brand">
          <img src="./icon.svg" alt="" />
          <span>{texts.title}</span>
        </h1>
        <button type="button" class="only-narrow" onClick={() => list.current?.showModal()}>
          <span aria-hidden="true">☰</span>
          <span class="word">{texts.conversations.open}</span>
        </button>
        <EngineLine />
        <button
          type="button"
          class="push model-button"
          aria-haspopup="dialog"
          onClick={() => picker.current?.showModal()}
        >
          <span class="for-readers">{texts.models.open}: </span>
          <span class="cut">{model.value.name}</span>
        </button>
      </header>
      <main class="main" data-part={part.value}>
        <aside class="sidebar" aria-label={texts.conversations.heading}>
          <ConversationList />
        </aside>
        <section class="chat" aria-label={texts.message.conversation}>
          <FollowEnd class="messages" isFollowing={chat.conversation.value.messages.length > 0}>
            <div class="messages-inner">
              <Notices />
              <Messages />
            </div>
          </FollowEnd>
          <Composer />
        </section>
        <section class="views" aria-label={texts.views.heading}>
          <Views view={view} />
        </section>
      </main>
      <nav class="tabs page-tabs" aria-label={texts.views.heading}>
        <button type="button" aria-pressed={part.value === "chat"} onClick={() => (part.value = "chat")}>
          {texts.views.chat}
        </button>
        {VIEW_NAMES.map((name) => (
          <button
            type="button"
            key={name}
            aria-pressed={part.value === "views" && view.value === name}
            onClick={() => show(name)}
          >
            {texts.views.short[name]}
          </button>
        ))}
      </nav>
      <Dialog ref={picker} heading={texts.models.heading}>
        <ModelPicker onDone={() => picker.current?.close()} />
      </Dialog>
      <Dialog ref={list} heading={texts.conversations.heading}>
        <ConversationList onDone={() => list.current?.close()} />
      </Dialog>
      <DropModel />
    </div>
  );
}
