/** What a person types: messages of several lines, and commands that begin with a slash. */
import { suggest } from "../../base/check-options.ts";

/** Puts lines together: a line that ends with a backslash goes on, and `"""` begins and ends a block of lines. */
export class MessageLines {
  #lines: string[] = [];
  #isBlock = false;

  /** True if a message has begun. */
  get isOpen(): boolean {
    return this.#isBlock || this.#lines.length > 0;
  }

  /** Takes a line; returns the message once it is whole. */
  push(line: string): string | undefined {
    if (this.#isBlock) {
      const end = line.trimEnd().endsWith('"""');
      this.#lines.push(end ? line.trimEnd().slice(0, -3) : line);
      return end ? this.#take() : undefined;
    }
    if (this.#lines.length === 0 && line.trimStart().startsWith('"""')) {
      const rest = line.trimStart().slice(3);
      if (rest.trimEnd().endsWith('"""')) return rest.trimEnd().slice(0, -3).trim();
      this.#isBlock = true;
      if (rest !== "") this.#lines.push(rest);
      return undefined;
    }
    if (line.endsWith("\\")) {
      this.#lines.push(line.slice(0, -1));
      return undefined;
    }
    this.#lines.push(line);
    return this.#take();
  }

  /** Forgets a message that has begun. */
  clear(): void {
    this.#lines = [];
    this.#isBlock = false;
  }

  #take(): string {
    const message = this.#lines.join("\n").trim();
    this.clear();
    return message;
  }
}

export const CHAT_COMMANDS = {
  attention: "/attention SPEC   attention of later turns, such as full or less-is-more:budget=256",
  think: "/think on|off|N   reasoning: as much as it takes, none, or at most N tokens",
  system: "/system TEXT      the system message; without a text: none",
  reset: "/reset            forget the conversation",
  retry: "/retry            answer the last question again",
  save: "/save FILE        write the conversation and its settings to FILE, its cache to FILE.safetensors",
  load: "/load FILE        go on with a conversation of /save, and with its cache if it is there",
  help: "/help             this list",
  quit: "/quit             leave (also Ctrl-D)",
} as const;

export type ChatCommandName = keyof typeof CHAT_COMMANDS;

/** A message, or a command and the rest of its line. */
export type ChatInput =
  | { readonly kind: "message"; readonly text: string }
  | { readonly kind: "command"; readonly name: ChatCommandName; readonly rest: string }
  | { readonly kind: "unknown"; readonly advice: string };

/** Reads a message as typed. Two slashes begin a message that begins with one. */
export function readInput(text: string): ChatInput {
  if (text.startsWith("//")) return { kind: "message", text: text.slice(1) };
  if (!text.startsWith("/")) return { kind: "message", text };
  const [, name = "", rest = ""] = /^\/(\S*)\s*([\s\S]*)$/.exec(text) ?? [];
  if (isCommand(name)) return { kind: "command", name, rest: rest.trim() };
  const names = Object.keys(CHAT_COMMANDS);
  return {
    kind: "unknown",
    advice: `there is no command /${name}; ${suggest(name, names)}; /help lists them`,
  };
}

function isCommand(name: string): name is ChatCommandName {
  return Object.hasOwn(CHAT_COMMANDS, name);
}
