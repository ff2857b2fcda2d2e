/** Schemes that a link of an answer may have. Others run scripts, hold pages of their own, or lead to files. */
const SCHEMES = ["https:", "http:", "mailto:"];

/** The address of a link, if a person may follow it: absolute, and of a scheme that opens a page or a letter. */
export function safeAddress(href: string): string | undefined {
  try {
    const url = new URL(href);
    return SCHEMES.includes(url.protocol) ? url.href : undefined;
  } catch {
    return undefined; // relative: it would lead out of the conversation, to a page that is not there
  }
}
