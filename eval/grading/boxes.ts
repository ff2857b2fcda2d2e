/** Boxed answers in a text. */

export interface Box {
  readonly content: string;
  /** The command that made the box: boxed, fbox, framebox. */
  readonly command: string;
  readonly hasBraces: boolean;
}

const COMMAND = /\\(boxed|fbox|framebox)(?![A-Za-z])\s*/y;
/** What a box without braces holds: a number, a letter or a word. */
const BARE = /[-+]?(?:\d+(?:[.,/]\d+)*|\.\d+|[A-Za-z]+)/y;
const PERCENT = /\s*\\?%/y;

/**
 * The last box that closes and is not empty; of nested boxes the outer one. Escaped braces do not count. A percent sign directly
 * behind a box belongs to its content. One pass over the text, so that many boxes that never close cost no more than one.
 */
export function lastBox(text: string): Box | undefined {
  const open: ({ command: string; start: number } | undefined)[] = [];
  let last: Box | undefined;
  for (let at = 0; at < text.length; ) {
    const char = text[at];
    const command = char === "\\" ? matchAt(COMMAND, text, at) : undefined;
    if (command) {
      at += command[0].length;
      const name = command[1] ?? "boxed";
      if (text[at] === "{") open.push({ command: name, start: ++at });
      else last = bareBox(text, at, name) ?? last;
    } else if (char === "\\") at += 2;
    else {
      at++;
      if (char === "{") open.push(undefined);
      const box = char === "}" ? open.pop() : undefined;
      if (box) last = closedBox(text, box, at - 1) ?? last;
    }
  }
  return last;
}

function matchAt(pattern: RegExp, text: string, at: number): RegExpExecArray | undefined {
  pattern.lastIndex = at;
  return pattern.exec(text) ?? undefined;
}

function bareBox(text: string, at: number, command: string): Box | undefined {
  const content = matchAt(BARE, text, at)?.[0];
  return content ? { content, command, hasBraces: false } : undefined;
}

function closedBox(text: string, box: { command: string; start: number }, end: number): Box | undefined {
  const content = text.slice(box.start, end).trim();
  if (content === "") return undefined;
  const percent = matchAt(PERCENT, text, end + 1) ? "\\%" : "";
  return { content: content + percent, command: box.command, hasBraces: true };
}
