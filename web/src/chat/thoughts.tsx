import { useSignalEffect } from "@preact/signals";
import { useRef } from "preact/hooks";
import { texts } from "../texts.ts";
import { FollowEnd } from "./follow-end.tsx";
import type { LiveRun } from "./live-run.ts";

/** Characters of one block: the browser lays out the blocks that it shows. */
const BLOCK = 4000;

/** Reasoning as it comes: appended to, never written anew. */
export function LiveThoughts({ live }: { readonly live: LiveRun }) {
  const box = useRef<HTMLDivElement>(null);
  const shown = useRef("");
  useSignalEffect(() => {
    live.version.value; // runs again with each change
    const { current } = box;
    if (!current) return;
    if (
      !live.reasoning.startsWith(shown.current.slice(0, 64)) ||
      live.reasoning.length < shown.current.length
    ) {
      current.replaceChildren();
      shown.current = "";
    }
    append(current, live.reasoning.slice(shown.current.length));
    shown.current = live.reasoning;
  });
  return (
    <FollowEnd class="thoughts" label={texts.message.reasoning}>
      <div ref={box} />
    </FollowEnd>
  );
}

/** Reasoning that has ended. */
export function Thoughts({ text }: { readonly text: string }) {
  const blocks: string[] = [];
  for (let at = 0; at < text.length; ) {
    const end = endOfBlock(text, at);
    blocks.push(text.slice(at, end));
    at = end;
  }
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: a box that scrolls must be reachable by keyboard
    <section class="thoughts" aria-label={texts.message.reasoning} tabIndex={0}>
      {blocks.map((block, i) => (
        <span key={i}>{block}</span>
      ))}
    </section>
  );
}

function append(box: HTMLElement, text: string): void {
  for (let rest = text; rest !== ""; ) {
    const last = box.lastElementChild;
    const length = last?.textContent?.length ?? BLOCK;
    const isFull = length >= BLOCK && (!last || last.textContent?.endsWith("\n"));
    const block = isFull || !last ? box.appendChild(document.createElement("span")) : last;
    const room = Math.max(0, BLOCK - (block.textContent?.length ?? 0));
    const line = rest.indexOf("\n", room);
    const end = rest.length <= room || line < 0 ? rest.length : line + 1;
    block.append(rest.slice(0, end));
    rest = rest.slice(end);
  }
}

/** The end of the line in which a block is full. */
function endOfBlock(text: string, from: number): number {
  const line = text.indexOf("\n", from + BLOCK);
  return line < 0 ? text.length : line + 1;
}
