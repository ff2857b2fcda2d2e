import { CallReader, ValueReader } from "./call-reader.ts";
import { MARKERS, type ToolStyle } from "./tool-style.ts";

/**
 * A piece of an answer: text for people, the start of a call, or a piece of its arguments. `end` follows the last piece; a call that
 * the output left open is not whole.
 */
export type ToolEvent =
  | { readonly kind: "text"; readonly text: string }
  | { readonly kind: "call"; readonly index: number; readonly name: string; readonly id?: string }
  | { readonly kind: "arguments"; readonly index: number; readonly text: string }
  | { readonly kind: "end"; readonly index: number; readonly isWhole: boolean };

/** text: outside of calls. opening: behind a marker. call: in an object. after: behind one. head, tail: the name, the arguments of `name[ARGS]{…}`. */
type State = "text" | "opening" | "call" | "after" | "head" | "tail";

const ARGS = "[ARGS]";
const CALL_ID = "[CALL_ID]";
const NAME = /^[\w.-]{0,256}$/;

/**
 * Splits a streamed answer into text and calls of tools. What turns out to be no call is text, every character of it: nothing is lost,
 * and nothing is added but the arguments "{}" of a call without any. White space beside the markers belongs to the calls.
 */
export class ToolCallParser {
  readonly #style: ToolStyle;
  readonly #names: ReadonlySet<string>;
  #state: State = "text";
  /** Text that may still become a marker. */
  #held = "";
  /** White space that a marker may still claim. */
  #space = "";
  /** Text since the marker, until its first call is known to be one. */
  #raw = "";
  #reader = new CallReader();
  #value = new ValueReader();
  /** Name, or what stands behind a call, as far as it came. */
  #word = "";
  #isAnnounced = false;
  #isInList = false;
  /** True for calls without a marker. */
  #isBare = false;
  /** True while only white space came since the last call. */
  #isBehindCall = false;
  #numCalls = 0;
  /** True while the answer has only white space. */
  #isAtStart = true;
  #events: ToolEvent[] = [];

  /** names: of the tools that the model may call. An answer of bare JSON is a call only if it names one. */
  constructor(style: ToolStyle, names: Iterable<string>) {
    this.#style = style;
    this.#names = new Set(names);
  }

  /** Calls that began so far. */
  get numCalls(): number {
    return this.#numCalls;
  }

  /** Takes a piece of the answer; returns what it completes. */
  push(text: string): readonly ToolEvent[] {
    let rest = text;
    while (rest !== "") rest = this.#step(rest);
    return this.#take();
  }

  /** Ends the answer; returns the last pieces. */
  finish(): readonly ToolEvent[] {
    if (this.#isAnnounced) this.#end(false);
    else if (this.#state === "text") this.#write(this.#held);
    else if (this.#state === "after") this.#write(this.#word);
    else this.#giveUp();
    if (!this.#isBehindCall) this.#flushSpace();
    this.#held = "";
    this.#word = "";
    this.#state = "text";
    return this.#take();
  }

  #take(): readonly ToolEvent[] {
    const events = this.#events;
    this.#events = [];
    return events;
  }

  /** Takes one character, or all text up to a marker; returns the rest. */
  #step(text: string): string {
    if (this.#state === "text") return this.#text(text);
    const [character = ""] = text;
    const rest = text.slice(character.length);
    switch (this.#state) {
      case "opening":
        return this.#opening(character) ? rest : text;
      case "call":
        return this.#call(character) ? rest : text;
      case "head":
        return this.#head(character) ? rest : text;
      case "tail":
        return this.#tail(character) ? rest : text;
      default:
        return this.#after(character) ? rest : text;
    }
  }

  #text(text: string): string {
    const { open } = MARKERS[this.#style];
    const all = this.#held + text;
    this.#held = "";
    const bare = this.#style === "llama3" && this.#isAtStart ? /^\s*\{/.exec(all) : undefined;
    if (bare) {
      this.#begin(this.#space + bare[0].slice(0, -1), true);
      return all.slice(bare[0].length - 1);
    }
    const at = all.indexOf(open);
    if (at >= 0) {
      this.#write(all.slice(0, at));
      this.#begin(this.#space + open);
      return all.slice(at + open.length);
    }
    const hold = overlap(all, open);
    this.#write(all.slice(0, all.length - hold));
    this.#held = all.slice(all.length - hold);
    return "";
  }

  #begin(raw: string, isBare = false): void {
    this.#isBare = isBare;
    this.#raw = raw;
    this.#space = "";
    this.#isAtStart = false;
    this.#state = "opening";
    this.#isInList = false;
    this.#word = "";
  }

  #write(text: string): void {
    if (text === "") return;
    const body = text.trimEnd();
    if (body === "") {
      this.#space += text;
      return;
    }
    this.#isAtStart = false;
    this.#emit(this.#space + body);
    this.#space = text.slice(body.length);
  }

  #emit(text: string): void {
    if (text === "") return;
    this.#isBehindCall = false;
    const last = this.#events[this.#events.length - 1];
    if (last?.kind === "text")
      this.#events[this.#events.length - 1] = { kind: "text", text: last.text + text };
    else this.#events.push({ kind: "text", text });
  }

  #flushSpace(): void {
    this.#emit(this.#space);
    this.#space = "";
  }

  /** Gives back as text what was no call. */
  #giveUp(): void {
    this.#emit(this.#raw);
    this.#raw = "";
    this.#state = "text";
  }

  /** Takes a character between a marker and its call. Returns false if the character belongs to what follows. */
  #opening(character: string): boolean {
    const isMistral = this.#style === "mistral" || this.#style === "mistral-args";
    if (/\s/.test(character)) this.#raw += character;
    else if (character === "{") {
      this.#reader = new CallReader();
      this.#state = "call";
      return false;
    } else if (isMistral && character === "[" && !this.#isInList) {
      this.#isInList = true;
      this.#raw += character;
    } else if (isMistral && !this.#isInList && NAME.test(character)) {
      this.#state = "head";
      return false;
    } else {
      this.#giveUp();
      return false;
    }
    return true;
  }

  #call(character: string): boolean {
    const reader = this.#reader;
    const state = reader.take(character);
    if (state === "failed") {
      this.#fail();
      return false;
    }
    if (!this.#isAnnounced) this.#raw += character;
    if (!this.#isAnnounced && reader.name !== undefined && !this.#announce(reader.name, reader.id)) {
      this.#giveUp();
      return true;
    }
    this.#giveArguments(this.#isAnnounced ? reader.takeArguments() : "");
    if (state === "more") return true;
    if (!this.#isAnnounced) this.#giveUp();
    else {
      if (!reader.hasArguments) this.#giveArguments("{}");
      this.#end(true);
      this.#state = "after";
    }
    return true;
  }

  /** Starts a call. Returns false for bare JSON that names no tool. */
  #announce(name: string, id: string | undefined): boolean {
    if (this.#isBare && !this.#names.has(name)) return false;
    this.#raw = "";
    this.#isAnnounced = true;
    this.#events.push({ kind: "call", index: this.#numCalls++, name, ...(id !== undefined && { id }) });
    return true;
  }

  #giveArguments(text: string): void {
    if (text === "") return;
    const index = this.#numCalls - 1;
    const last = this.#events[this.#events.length - 1];
    if (last?.kind === "arguments")
      this.#events[this.#events.length - 1] = { ...last, text: last.text + text };
    else this.#events.push({ kind: "arguments", index, text });
  }

  #end(isWhole: boolean): void {
    this.#events.push({ kind: "end", index: this.#numCalls - 1, isWhole });
    this.#isAnnounced = false;
    this.#isBehindCall = true;
    this.#word = "";
    this.#raw = "";
  }

  #fail(): void {
    if (!this.#isAnnounced) {
      this.#giveUp();
      return;
    }
    this.#end(false);
    this.#state = "text";
  }

  /** Takes a character of `name[ARGS]` or `name[CALL_ID]id[ARGS]`. */
  #head(character: string): boolean {
    const [name = "", ...more] = this.#word.split("[");
    const isNameOpen = more.length === 0;
    if (isNameOpen && character === "{" && name !== "") return this.#beginTail(name, undefined);
    const word = this.#word + character;
    const mark = word.slice(name.length);
    const id = mark.startsWith(CALL_ID) ? mark.slice(CALL_ID.length) : undefined;
    const isRight = isNameOpen && character !== "[" ? NAME.test(word) : isHeadMark(mark);
    if (!isRight) {
      this.#giveUp();
      return false;
    }
    this.#word = word;
    this.#raw += character;
    if (mark.endsWith(ARGS)) {
      this.#beginTail(name, id?.slice(0, -ARGS.length));
      return true;
    }
    return true;
  }

  /** Begins the arguments behind a name. Always returns false: the character that led here is theirs. */
  #beginTail(name: string, id: string | undefined): false {
    this.#announce(name, id);
    this.#value = new ValueReader();
    this.#word = "";
    this.#state = "tail";
    return false;
  }

  #tail(character: string): boolean {
    if (this.#value.text === "" && /\s/.test(character)) return true;
    const isObject = this.#value.text !== "" || character === "{";
    const state = isObject ? this.#value.take(character) : "failed";
    if (state === "failed" || state === "before") {
      this.#fail();
      return false;
    }
    this.#giveArguments(character);
    if (state === "end") {
      this.#end(true);
      this.#state = "text";
    }
    return true;
  }

  /** Takes a character behind a call: its closing marker, or what leads to the next call. */
  #after(character: string): boolean {
    const { close } = MARKERS[this.#style];
    const word = this.#word + character;
    const visible = word.trimStart();
    if (visible === "") {
      this.#word = word;
      return true;
    }
    if (close?.startsWith(visible)) {
      this.#word = visible === close ? "" : word;
      if (visible === close) this.#state = "text";
      return true;
    }
    const isNext = this.#isInList ? visible === "," : this.#style === "llama3" && visible === ";";
    if (isNext) {
      this.#raw = word;
      this.#word = "";
      this.#state = "opening";
      return true;
    }
    if (this.#isInList && visible === "]") {
      this.#word = "";
      this.#state = "text";
      return true;
    }
    this.#state = "text";
    this.#write(this.#word);
    this.#word = "";
    return false;
  }
}

/** True if a text begins the marks between a name and its arguments. */
function isHeadMark(text: string): boolean {
  if (ARGS.startsWith(text) || CALL_ID.startsWith(text)) return true;
  if (!text.startsWith(CALL_ID)) return false;
  const [id = "", ...marks] = text.slice(CALL_ID.length).split("[");
  return NAME.test(id) && (marks.length === 0 || (marks.length === 1 && ARGS.startsWith(`[${marks[0]}`)));
}

/** Returns the length of the longest suffix of `text` that is a proper prefix of `marker`. */
function overlap(text: string, marker: string): number {
  for (let n = Math.min(text.length, marker.length - 1); n > 0; n--)
    if (text.endsWith(marker.slice(0, n))) return n;
  return 0;
}
