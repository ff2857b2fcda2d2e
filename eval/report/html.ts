/** HTML in which every inserted text is escaped unless it is HTML itself. */
export class Html {
  readonly text: string;
  constructor(text: string) {
    this.text = text;
  }
}

type Inserted = Html | string | number | undefined | readonly (Html | string)[];

/** A tagged template. Lists are joined without a separator; undefined is nothing. */
export function html(strings: TemplateStringsArray, ...inserted: readonly Inserted[]): Html {
  return new Html(strings.reduce((text, string, i) => text + toHtml(inserted[i - 1]) + string));
}

/** Text of our own making, such as an SVG element, that is not escaped. */
export function raw(text: string): Html {
  return new Html(text);
}

function toHtml(value: Inserted): string {
  if (value instanceof Html) return value.text;
  if (Array.isArray(value)) return value.map(toHtml).join("");
  return escapeText(String(value ?? ""));
}

const ENTITIES: Readonly<Record<string, string>> = {
  ...{ "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" },
};

/** Safe between tags, and in attributes with quotes. */
export function escapeText(text: string): string {
  return text.replace(/[&<>"']/g, (character) => ENTITIES[character] ?? "");
}
