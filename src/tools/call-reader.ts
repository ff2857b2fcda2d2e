/** Reads the JSON object of a call, character by character. */

/** Keys under which models write the arguments. */
const ARGUMENTS: ReadonlySet<string> = new Set(["arguments", "parameters"]);
/** Keys that an object of a call may have; another one tells that it is something else. */
const OTHERS: ReadonlySet<string> = new Set(["id", "type"]);

/** Follows one JSON value to its end. It checks brackets and strings, and leaves the rest to those who parse the text. */
export class ValueReader {
  #open = "";
  #isInString = false;
  #isEscaped = false;
  text = "";
  /** True if the value is a string, false for others, undefined before its first character. */
  isString: boolean | undefined;

  /** Takes a character. "end": the value ends with it; "before": the value ended before it. */
  take(character: string): "more" | "end" | "before" | "failed" {
    if (this.#isInString) return this.#inString(character);
    const isFirst = this.isString === undefined;
    if (isFirst) this.isString = character === '"';
    if (character === '"') {
      if (!isFirst && this.#open === "") return "failed";
      this.#isInString = true;
      this.text += character;
      return "more";
    }
    if (this.#open === "" && !isFirst && /[\s,}\]]/.test(character)) return "before";
    if ("}]".includes(character)) return this.#close(character);
    if ("{[".includes(character)) {
      if (this.#open === "" && !isFirst) return "failed";
      this.#open += character === "{" ? "}" : "]";
    } else if (this.#open === "" && !/[-+.\w]/.test(character)) return "failed";
    this.text += character;
    return "more";
  }

  #inString(character: string): "more" | "end" {
    this.text += character;
    if (this.#isEscaped) this.#isEscaped = false;
    else if (character === "\\") this.#isEscaped = true;
    else if (character === '"') {
      this.#isInString = false;
      if (this.#open === "") return "end";
    }
    return "more";
  }

  #close(character: string): "more" | "end" | "failed" {
    if (!this.#open.endsWith(character)) return "failed";
    this.#open = this.#open.slice(0, -1);
    this.text += character;
    return this.#open === "" ? "end" : "more";
  }
}

type Place = "key" | "colon" | "value" | "comma";

/** Reads an object such as `{"name": "f", "arguments": {…}}`, or the arguments alone. */
export class CallReader {
  name: string | undefined;
  id: string | undefined;
  /** Text of the arguments that nobody took yet. */
  #arguments = "";
  hasArguments = false;
  #place: Place = "key";
  #key: string | undefined;
  #value: ValueReader | undefined;
  /** Characters of the value that went into `#arguments`. */
  #taken = 0;
  #isOpen = false;
  /** True if a key must follow, behind a comma. */
  #needsKey = false;

  /** Returns the arguments that came since the last call. */
  takeArguments(): string {
    const text = this.#arguments;
    this.#arguments = "";
    return text;
  }

  /** Takes a character of the object. "failed": the object cannot be a call; the character is no part of it. */
  take(character: string): "more" | "end" | "failed" {
    if (this.#value) return this.#takeValue(this.#value, character);
    if (/\s/.test(character)) return "more";
    if (!this.#isOpen) {
      this.#isOpen = character === "{";
      return this.#isOpen ? "more" : "failed";
    }
    switch (this.#place) {
      case "key":
        if (character === "}") return this.#needsKey ? "failed" : "end";
        if (character !== '"') return "failed";
        return this.#begin(character);
      case "colon":
        this.#place = "value";
        return character === ":" ? "more" : "failed";
      case "value":
        return this.#begin(character);
      default:
        if (character === "}") return "end";
        this.#place = "key";
        this.#needsKey = true;
        return character === "," ? "more" : "failed";
    }
  }

  #begin(character: string): "more" | "failed" {
    if (",:}]".includes(character)) return "failed";
    this.#value = new ValueReader();
    this.#taken = 0;
    return this.#takeValue(this.#value, character) === "failed" ? "failed" : "more";
  }

  #takeValue(value: ValueReader, character: string): "more" | "end" | "failed" {
    const state = value.take(character);
    if (state === "failed") return "failed";
    const isArguments = this.#place === "value" && ARGUMENTS.has(this.#key ?? "");
    if (isArguments && value.isString === false) {
      this.#arguments += value.text.slice(this.#taken);
      this.#taken = value.text.length;
    }
    if (state === "more") return "more";
    this.#value = undefined;
    if (!this.#finish(value, isArguments)) return "failed";
    return state === "before" ? this.take(character) : "more";
  }

  /** Takes a whole key or value; false if no call has it. */
  #finish(value: ValueReader, isArguments: boolean): boolean {
    if (this.#place === "key") {
      this.#key = parseString(value.text);
      this.#place = "colon";
      const isKnown = this.#key === "name" || ARGUMENTS.has(this.#key ?? "") || OTHERS.has(this.#key ?? "");
      const isTwice =
        (this.#key === "name" && this.name !== undefined) ||
        (ARGUMENTS.has(this.#key ?? "") && this.hasArguments);
      return isKnown && !isTwice;
    }
    this.#place = "comma";
    if (isArguments) {
      this.hasArguments = true;
      // some models write the arguments as a text that holds their JSON
      const text = value.isString ? parseString(value.text) : "";
      this.#arguments += text ?? "";
      return text !== undefined;
    }
    const text = value.isString ? parseString(value.text) : undefined;
    if (this.#key === "name") this.name = text;
    if (this.#key === "id") this.id = text;
    return this.#key !== "name" || (text !== undefined && text !== "");
  }
}

function parseString(text: string): string | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "string" ? value : undefined;
  } catch {
    return undefined;
  }
}
