import { type IDBPDatabase, openDB } from "idb";
import type { Conversation } from "./conversation.ts";

/** Where conversations are kept. */
export interface ConversationStore {
  /** False if they are lost with the page. */
  readonly isLasting: boolean;
  list(): Promise<Conversation[]>;
  put(conversation: Conversation): Promise<void>;
  remove(id: string): Promise<void>;
}

const DATABASE = "lessismore";
const STORE = "conversations";

/** Opens the browser's database; where it is blocked, a list that lasts as long as the page, with the reason. */
export async function openConversations(): Promise<{
  readonly store: ConversationStore;
  readonly why?: string;
}> {
  try {
    const db = await openDB(DATABASE, 1, {
      upgrade: (opened) => void opened.createObjectStore(STORE, { keyPath: "id" }),
    });
    return { store: lasting(db) };
  } catch (error) {
    return { store: passing(), why: error instanceof Error ? error.message : String(error) };
  }
}

function lasting(db: IDBPDatabase): ConversationStore {
  return {
    isLasting: true,
    list: async () => newestFirst(await db.getAll(STORE)),
    put: async (conversation) => void (await db.put(STORE, conversation)),
    remove: (id) => db.delete(STORE, id),
  };
}

function passing(): ConversationStore {
  const all = new Map<string, Conversation>();
  return {
    isLasting: false,
    list: async () => newestFirst([...all.values()]),
    put: async (conversation) => void all.set(conversation.id, conversation),
    remove: async (id) => void all.delete(id),
  };
}

function newestFirst(list: Conversation[]): Conversation[] {
  return list.sort((a, b) => b.updatedAt - a.updatedAt);
}
