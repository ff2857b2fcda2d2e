import type { ComponentChildren, Ref } from "preact";
import { forwardRef } from "preact/compat";
import { useId } from "preact/hooks";
import { texts } from "./texts.ts";

interface DialogProps {
  readonly heading: string;
  readonly children: ComponentChildren;
}

/** A modal dialog. The browser keeps the focus in it, and Escape closes it. */
export const Dialog = forwardRef(({ heading, children }: DialogProps, ref: Ref<HTMLDialogElement>) => {
  const id = useId();
  return (
    <dialog ref={ref} aria-labelledby={id}>
      <form method="dialog" class="dialog-head">
        <h2 id={id}>{heading}</h2>
        <button type="submit" class="quiet">
          {texts.close}
        </button>
      </form>
      <div class="dialog-body">{children}</div>
    </dialog>
  );
});
