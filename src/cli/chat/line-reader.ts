/** Reads messages: from a terminal with editing and history, or from a pipe line by line. */
import { createInterface, type Interface } from "node:readline";
import { Writable } from "node:stream";
import { MessageLines } from "./chat-input.ts";

export interface LineReader {
  /** A message, or undefined at the end of the input. */
  read(): Promise<string | undefined>;
  /** Called on Ctrl-C between two reads. */
  onInterrupt: (() => void) | undefined;
  close(): void;
}

export interface ReaderStreams {
  readonly input: NodeJS.ReadStream;
  readonly output: NodeJS.WriteStream;
}

const [PROMPT, CONTINUED] = ["> ", "… "];
/** Lines that come so close together were pasted: they are one message. */
const PASTE_MS = 15;
const HISTORY_LINES = 1000;

/** history: earlier lines, the latest first; kept up to date */
export function openLineReader(streams: ReaderStreams, history: string[]): LineReader {
  return streams.input.isTTY ? new TerminalReader(streams, history) : new PipeReader(streams.input);
}

/** The editor's view of the terminal: what is typed while the model answers is not shown in the answer. */
class EditorOutput extends Writable {
  isShown = false;
  readonly #terminal: NodeJS.WriteStream;

  constructor(terminal: NodeJS.WriteStream) {
    super({ decodeStrings: false });
    this.#terminal = terminal;
  }

  get columns(): number {
    return this.#terminal.columns;
  }

  override _write(text: string, encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    if (this.isShown) this.#terminal.write(text, encoding, done);
    else done();
  }
}

/**
 * One editor for the whole chat: between editors a terminal would take keys its own way. What is typed ahead is the next message.
 */
class TerminalReader implements LineReader {
  onInterrupt: (() => void) | undefined;
  readonly #output: EditorOutput;
  readonly #editor: Interface;
  readonly #lines = new MessageLines();
  /** Whole messages that nobody has read. */
  readonly #messages: string[] = [];
  #pasted: NodeJS.Timeout | undefined;
  #isClosed = false;
  #wanted: ((message: string | undefined) => void) | undefined;

  constructor({ input, output }: ReaderStreams, history: string[]) {
    this.#output = new EditorOutput(output);
    this.#editor = createInterface({
      ...{ input, output: this.#output, terminal: true, prompt: PROMPT, historySize: HISTORY_LINES },
      ...{ history: [...history], removeHistoryDuplicates: true },
    });
    this.#editor.on("line", (line) => this.#take(line));
    this.#editor.on("SIGINT", () => this.#interrupt());
    this.#editor.on("history", (lines) => history.splice(0, history.length, ...lines));
    this.#editor.on("close", () => {
      this.#isClosed = true;
      if (this.#output.isShown) output.write("\n"); // Ctrl-D leaves the cursor behind the prompt.
      this.#give();
    });
  }

  read(): Promise<string | undefined> {
    return new Promise((resolve) => {
      this.#wanted = resolve;
      this.#output.isShown = true;
      if (!this.#isClosed) this.#prompt();
      const [typed] = this.#messages;
      if (typed !== undefined) this.#output.write(`${typed}\n`);
      this.#give();
    });
  }

  close(): void {
    clearTimeout(this.#pasted);
    this.#output.isShown = false;
    this.#editor.close();
  }

  #take(line: string): void {
    clearTimeout(this.#pasted);
    const message = this.#lines.push(line);
    if (message === undefined) {
      this.#prompt();
      return;
    }
    const isPasted = this.#pasted !== undefined;
    const last = this.#messages.pop();
    if (last !== undefined) this.#messages.push(isPasted ? `${last}\n${message}` : last);
    if (last === undefined || !isPasted) this.#messages.push(message);
    this.#pasted = setTimeout(() => {
      this.#pasted = undefined;
      this.#give();
    }, PASTE_MS);
  }

  /** Gives a message, or the end, to whoever reads. */
  #give(): void {
    if (!this.#wanted || this.#pasted !== undefined) return;
    if (this.#messages.length === 0 && !this.#isClosed) return;
    const resolve = this.#wanted;
    this.#wanted = undefined;
    this.#output.isShown = false;
    resolve(this.#messages.shift());
  }

  #interrupt(): void {
    if (!this.#wanted) {
      this.onInterrupt?.();
      return;
    }
    this.#pasted = undefined;
    const isEmpty = this.#editor.line === "" && !this.#lines.isOpen;
    this.#lines.clear();
    this.#output.write(isEmpty ? "\n(Ctrl-D or /quit leaves)\n" : "^C\n");
    for (const name of ["e", "u"]) this.#editor.write(null, { ctrl: true, name }); // Empties the line.
    this.#prompt();
  }

  #prompt(): void {
    this.#editor.setPrompt(this.#lines.isOpen ? CONTINUED : PROMPT);
    this.#editor.prompt();
  }
}

class PipeReader implements LineReader {
  onInterrupt: (() => void) | undefined;
  readonly #editor: Interface;
  readonly #lines: AsyncIterator<string>;

  constructor(input: NodeJS.ReadableStream) {
    this.#editor = createInterface({ input, terminal: false });
    this.#lines = this.#editor[Symbol.asyncIterator]();
  }

  async read(): Promise<string | undefined> {
    const lines = new MessageLines();
    for (;;) {
      const { done, value } = await this.#lines.next();
      if (done) return undefined;
      const message = lines.push(value);
      if (message !== undefined) return message;
    }
  }

  close(): void {
    this.#editor.close();
  }
}
