import { memo } from "preact/compat";
import { useRef } from "preact/hooks";
import { AnswerStream, type Block } from "./answer-stream.ts";
import { BlockView } from "./block-view.tsx";
import { HeadingLevels } from "./heading-levels.ts";

/**
 * An answer as Markdown with maths. Elements are made from tokens: nothing of an answer is read as HTML, and nothing of it makes the
 * browser ask a host.
 * isStreaming: more is coming
 */
export function AnswerText({ text, isStreaming }: { readonly text: string; readonly isStreaming: boolean }) {
  const stream = useRef<AnswerStream | undefined>(undefined);
  stream.current ??= new AnswerStream();
  const levels = new HeadingLevels();
  return (
    <div class="answer">
      {stream.current.read(text, isStreaming).map((block, i) => {
        const level = block.token.type === "heading" ? levels.next(block.token.depth) : undefined;
        return <AnswerBlock key={i} block={block} level={level} />;
      })}
    </div>
  );
}

/** Made once for a block that has ended. */
const AnswerBlock = memo(
  ({ block, level }: { readonly block: Block; readonly level: number | undefined }) => (
    <BlockView token={block.token} isOpen={block.isOpen} level={level} depth={0} />
  ),
  (before, after) => before.block === after.block && before.level === after.level,
);
