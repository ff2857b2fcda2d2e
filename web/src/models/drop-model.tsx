import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { openModel, pageFault } from "../page-state.ts";
import { texts } from "../texts.ts";
import { filesOfDrop } from "./dropped-files.ts";
import { fileChoice } from "./model-choice.ts";

/** Opens a model that is dropped anywhere on the page. */
export function DropModel() {
  const isOver = useSignal(false);
  useEffect(() => {
    const hasFiles = ({ dataTransfer }: DragEvent) => dataTransfer?.types.includes("Files") ?? false;
    const over = (event: DragEvent) => {
      if (!hasFiles(event)) return;
      event.preventDefault(); // or the browser would show the file in place of the page
      isOver.value = true;
    };
    const leave = (event: DragEvent) => {
      if (event.relatedTarget === null) isOver.value = false;
    };
    const drop = (event: DragEvent) => {
      isOver.value = false;
      if (!hasFiles(event) || !event.dataTransfer) return;
      event.preventDefault();
      void filesOfDrop(event.dataTransfer).then(openFiles);
    };
    document.addEventListener("dragover", over);
    document.addEventListener("dragleave", leave);
    document.addEventListener("drop", drop);
    return () => {
      document.removeEventListener("dragover", over);
      document.removeEventListener("dragleave", leave);
      document.removeEventListener("drop", drop);
    };
  }, [isOver]);
  if (!isOver.value) return null;
  return (
    <div class="drop-veil" role="status">
      {texts.models.dropHere}
    </div>
  );
}

/** Opens a model of files, or says why there is none in them. */
export async function openFiles(files: readonly File[]): Promise<void> {
  try {
    const choice = fileChoice(files);
    pageFault.value = undefined;
    await openModel(choice);
  } catch (error) {
    pageFault.value = error instanceof Error ? error.message : String(error);
  }
}
