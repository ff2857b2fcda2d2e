const REFERENCE = /&(?:#\d{1,7}|#x[\da-f]{1,6}|[a-z][a-z\d]{1,31});/gi;
const known = new Map<string, string>();

/** A text with its character references ("&nbsp;", "&#8722;") resolved, as Markdown asks. */
export function textOf(text: string): string {
  return text.includes("&") ? text.replace(REFERENCE, resolve) : text;
}

function resolve(reference: string): string {
  let character = known.get(reference);
  if (character === undefined) {
    const field = document.createElement("textarea"); // it reads references, and no elements
    field.innerHTML = reference;
    character = field.value;
    known.set(reference, character);
  }
  return character;
}
