import { chat } from "../page-state.ts";
import { texts } from "../texts.ts";

/** The conversations of this browser, the newest first. */
export function ConversationList({ onDone }: { readonly onDone?: () => void }) {
  const current = chat.conversation.value.id;
  const open = (work: Promise<void>) => {
    void work;
    onDone?.();
  };
  return (
    <nav aria-label={texts.conversations.heading}>
      <button type="button" class="new" onClick={() => open(chat.show())}>
        {texts.conversations.new}
      </button>
      <ul class="conversations">
        {chat.all.value.map((conversation) => {
          const title = conversation.title || texts.conversations.untitled;
          return (
            <li key={conversation.id}>
              <button
                type="button"
                aria-current={conversation.id === current ? "true" : undefined}
                onClick={() => open(chat.show(conversation.id))}
              >
                <span>{title}</span>
              </button>
              <button
                type="button"
                class="quiet"
                aria-label={texts.conversations.remove(title)}
                onClick={() => void chat.remove(conversation.id)}
              >
                ×
              </button>
            </li>
          );
        })}
      </ul>
      {chat.all.value.length === 0 && <p class="notes">{texts.conversations.none}</p>}
    </nav>
  );
}
