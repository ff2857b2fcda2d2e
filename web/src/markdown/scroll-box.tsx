import { useSignal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { useEffect, useRef } from "preact/hooks";

const looks = new WeakMap<Element, () => void>();
let observer: ResizeObserver | undefined;

/** Calls back when an element's size changes. One observer looks at all. */
function observe(element: Element, look: () => void): () => void {
  observer ??= new ResizeObserver((entries) => {
    for (const { target } of entries) looks.get(target)?.();
  });
  looks.set(element, look);
  observer.observe(element);
  return () => observer?.unobserve(element);
}

/** A box that scrolls sideways. While it is wider than its place the keyboard reaches it, and only then. */
export function ScrollBox({
  class: name,
  label,
  as: Element = "div",
  children,
}: {
  readonly class: string;
  readonly label: string;
  /** "span" within a paragraph. */
  readonly as?: "div" | "span";
  readonly children: ComponentChildren;
}) {
  const box = useRef<HTMLDivElement & HTMLSpanElement>(null);
  const isWide = useSignal(false);
  useEffect(() => {
    const { current } = box;
    if (!current?.firstElementChild) return;
    const look = () => (isWide.value = current.scrollWidth > current.clientWidth);
    const ends = [observe(current, look), observe(current.firstElementChild, look)];
    return () => {
      for (const end of ends) end();
    };
  }, [isWide]);
  return (
    <Element
      ref={box}
      class={`scroll-box ${name}`}
      {...(isWide.value && { tabIndex: 0, role: "group", "aria-label": label })}
    >
      <Element class="scroll-inner">{children}</Element>
    </Element>
  );
}
