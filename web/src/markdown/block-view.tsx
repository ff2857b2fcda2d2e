import { memo } from "preact/compat";
import { texts } from "../texts.ts";
import { CodeBlock } from "./code-block.tsx";
import { Inlines } from "./inline-view.tsx";
import type { AnswerToken, Tokens } from "./lex.ts";
import { MathsView } from "./maths-view.tsx";
import { ScrollBox } from "./scroll-box.tsx";

/** Quotes and lists within one another, up to which they are elements. Deeper ones are text. */
const MAX_DEPTH = 16;

interface BlockProps {
  readonly token: AnswerToken;
  /** True if it may still change without its text: maths that has not ended. */
  readonly isOpen: boolean;
  /** Of a heading: 2 to 6. Undefined within quotes and lists, where it is a line. */
  readonly level?: number | undefined;
  /** Quotes and lists around it. */
  readonly depth: number;
}

/** A block: a paragraph, a heading, a list, a table, … */
export function BlockView({ token, isOpen, level, depth }: BlockProps) {
  if (depth > MAX_DEPTH) return <p class="plain">{token.raw}</p>;
  switch (token.type) {
    case "space":
    case "def":
      return null;
    case "paragraph":
      return (
        <p>
          <Inlines tokens={token.tokens as AnswerToken[]} />
        </p>
      );
    case "heading": {
      const content = <Inlines tokens={token.tokens as AnswerToken[]} />;
      if (level === undefined) return <p class={`heading-${token.depth}`}>{content}</p>;
      const Heading = `h${level}` as "h2";
      return <Heading class={`heading-${token.depth}`}>{content}</Heading>;
    }
    case "code":
      return <CodeBlock code={token.text} language={token.lang?.trim().split(/\s/)[0] ?? ""} />;
    case "blockquote":
      return (
        <blockquote>
          <Blocks tokens={token.tokens as AnswerToken[]} isOpen={isOpen} depth={depth + 1} />
        </blockquote>
      );
    case "list":
      return <ListView list={token} isOpen={isOpen} depth={depth} />;
    case "table":
      return <TableView table={token} />;
    case "hr":
      return <hr />;
    case "maths":
      return <MathsView {...token} />;
    case "plain":
      return <p class="plain">{token.raw}</p>;
    default:
      return <Inlines tokens={[token]} />; // what a tight list has in the place of a paragraph
  }
}

function Blocks({
  tokens,
  isOpen,
  depth,
}: {
  readonly tokens: readonly AnswerToken[];
  readonly isOpen: boolean;
  readonly depth: number;
}) {
  return (
    <>
      {tokens.map((token, i) => (
        <NestedBlock key={i} token={token} isOpen={isOpen && i === tokens.length - 1} depth={depth} />
      ))}
    </>
  );
}

const isSame = (
  before: { readonly token: { readonly raw: string }; readonly isOpen: boolean },
  after: { readonly token: { readonly raw: string }; readonly isOpen: boolean },
) => before.token.raw === after.token.raw && !before.isOpen && !after.isOpen;

const NestedBlock = memo(BlockView, isSame);

function ListView({
  list,
  isOpen,
  depth,
}: {
  readonly list: Tokens.List;
  readonly isOpen: boolean;
  readonly depth: number;
}) {
  const items = list.items.map((item, i) => (
    <Item key={i} token={item} isOpen={isOpen && i === list.items.length - 1} depth={depth} />
  ));
  return list.ordered ? <ol start={Number(list.start || 1)}>{items}</ol> : <ul>{items}</ul>;
}

const Item = memo(
  ({
    token,
    isOpen,
    depth,
  }: {
    readonly token: Tokens.ListItem;
    readonly isOpen: boolean;
    readonly depth: number;
  }) => (
    <li class={token.task ? "task" : undefined}>
      <Blocks tokens={token.tokens as AnswerToken[]} isOpen={isOpen} depth={depth + 1} />
    </li>
  ),
  (before, after) => isSame(before, after) && before.token.loose === after.token.loose,
);

function TableView({ table }: { readonly table: Tokens.Table }) {
  return (
    <ScrollBox class="table-box" label={texts.answer.table}>
      <table>
        <thead>
          <tr>
            {table.header.map((cell, i) =>
              cell.text === "" ? (
                <td key={i} />
              ) : (
                <th key={i} scope="col" style={{ textAlign: cell.align ?? "start" }}>
                  <Inlines tokens={cell.tokens as AnswerToken[]} />
                </th>
              ),
            )}
          </tr>
        </thead>
        <tbody>
          {table.rows.map((row, i) => (
            <Row key={i} row={row} text={row.map(({ text }) => text).join("|")} />
          ))}
        </tbody>
      </table>
    </ScrollBox>
  );
}

const Row = memo(
  ({ row }: { readonly row: readonly Tokens.TableCell[]; readonly text: string }) => (
    <tr>
      {row.map((cell, i) => (
        <td key={i} style={{ textAlign: cell.align ?? "start" }}>
          <Inlines tokens={cell.tokens as AnswerToken[]} />
        </td>
      ))}
    </tr>
  ),
  (before, after) => before.text === after.text,
);
