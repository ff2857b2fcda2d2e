import { useSignal } from "@preact/signals";
import { texts } from "./texts.ts";

const SAID_MS = 2500;

/** Copies a text, and says that it has. label: what it is called. Default: "Copy" */
export function CopyButton({
  text,
  label = texts.message.copy,
}: {
  readonly text: string;
  readonly label?: string;
}) {
  const said = useSignal<string | undefined>(undefined);
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text);
      said.value = texts.message.copied;
    } catch {
      said.value = texts.message.copyFailed;
    }
    setTimeout(() => (said.value = undefined), SAID_MS);
  };
  return (
    <button type="button" class="quiet" onClick={() => void copy()}>
      <span aria-live="polite">{said.value ?? label}</span>
    </button>
  );
}
