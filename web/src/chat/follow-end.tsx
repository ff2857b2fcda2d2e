import type { ComponentChildren } from "preact";
import { useEffect, useRef } from "preact/hooks";

/** Distance from the end, in CSS pixels, up to which a reader counts as being there. */
const NEAR_PX = 48;

/** A box that scrolls, and stays at its end while it grows, unless a person has scrolled up. */
export function FollowEnd({
  class: name,
  label,
  isFollowing = true,
  children,
}: {
  readonly class: string;
  /** False: it stays where it is. */
  readonly isFollowing?: boolean;
  /** Makes it a region that the keyboard can scroll. */
  readonly label?: string;
  readonly children: ComponentChildren;
}) {
  const box = useRef<HTMLDivElement>(null);
  useEffect(() => {
    const { current } = box;
    if (!current) return;
    if (!isFollowing) {
      current.scrollTop = 0;
      return;
    }
    let isAtEnd = true;
    const look = () => {
      isAtEnd = current.scrollHeight - current.scrollTop - current.clientHeight < NEAR_PX;
    };
    const follow = new ResizeObserver(() => {
      if (isAtEnd) current.scrollTop = current.scrollHeight;
    });
    for (const child of current.children) follow.observe(child);
    current.addEventListener("scroll", look, { passive: true });
    return () => {
      follow.disconnect();
      current.removeEventListener("scroll", look);
    };
  }, [isFollowing]);
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: a box that scrolls must be reachable by keyboard
    <div ref={box} class={name} tabIndex={0} {...(label && { role: "region", "aria-label": label })}>
      {children}
    </div>
  );
}
