import { CopyButton } from "../copy-button.tsx";
import { texts } from "../texts.ts";
import { ScrollBox } from "./scroll-box.tsx";

/** A block of code, with its language and a button that copies it. */
export function CodeBlock({ code, language }: { readonly code: string; readonly language: string }) {
  return (
    <div class="code-block">
      <div class="code-head">
        <span>{language}</span>
        <CopyButton text={code} label={texts.answer.copyCode} />
      </div>
      <ScrollBox class="code-box" label={texts.answer.code(language)}>
        <pre>
          <code>{code}</code>
        </pre>
      </ScrollBox>
    </div>
  );
}
