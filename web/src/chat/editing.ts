import { signal } from "@preact/signals";
import type { UserMessage } from "../conversations/conversation.ts";

/** The message that the composer edits. */
export const editing = signal<UserMessage | undefined>(undefined);
