/**
 * Makes an entry of the log of a text that may quote a request: further lines are indented, so that none of them looks like an entry
 * of its own, and control characters, by which a terminal would be steered, are escaped.
 */
export function toLogEntry(text: string): string {
  return text
    .replace(/\r\n?/g, "\n")
    .replace(/[\p{Cc}\p{Zl}\p{Zp}\u202a-\u202e\u2066-\u2069]/gu, (char) =>
      char === "\n" ? "\n" : `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`,
    )
    .replace(/\n(?! {4})/g, "\n    ");
}
