import type { ComponentChildren } from "preact";
import { texts } from "../texts.ts";
import { textOf } from "./character-references.ts";
import type { AnswerToken } from "./lex.ts";
import { MathsView } from "./maths-view.tsx";
import { safeAddress } from "./safe-link.ts";

/** Emphasis, links and the like within one another, up to which they are elements. */
const MAX_DEPTH = 16;

/** What is around a token. */
interface Place {
  readonly depth: number;
  readonly isInLink: boolean;
}

/** The text of a block. */
export function Inlines({ tokens }: { readonly tokens: readonly AnswerToken[] }) {
  return <>{elementsOf(tokens, { depth: 0, isInLink: false })}</>;
}

function elementsOf(tokens: readonly AnswerToken[], place: Place): ComponentChildren {
  return tokens.map((token, i) => elementOf(token, i, place));
}

function elementOf(token: AnswerToken, key: number, { depth, isInLink }: Place): ComponentChildren {
  const inner = (): ComponentChildren => {
    if (!("tokens" in token) || !token.tokens || depth >= MAX_DEPTH) return textOf(token.raw);
    const isLink = token.type === "link";
    return elementsOf(token.tokens as AnswerToken[], { depth: depth + 1, isInLink: isInLink || isLink });
  };
  switch (token.type) {
    case "text":
      return token.tokens ? inner() : textOf(token.text);
    case "escape":
      return token.text;
    case "br":
      return <br key={key} />;
    case "strong":
      return <strong key={key}>{inner()}</strong>;
    case "em":
      return <em key={key}>{inner()}</em>;
    case "del":
      return <del key={key}>{inner()}</del>;
    case "codespan":
      return <code key={key}>{token.text}</code>;
    case "link":
      return (
        <Link key={key} href={token.href}>
          {inner()}
        </Link>
      );
    case "image": // an image would ask its host, who could count readers: it is a link
      return isInLink ? (
        texts.answer.image(token.text)
      ) : (
        <Link key={key} href={token.href}>
          {texts.answer.image(token.text)}
        </Link>
      );
    case "checkbox":
      return <Checkbox key={key} isChecked={token.checked} />;
    case "maths":
      return <MathsView key={key} {...token} />;
    default:
      return token.raw;
  }
}

/** A link opens in a tab of its own, which cannot reach this page, and is not told of it. */
function Link({ href, children }: { readonly href: string; readonly children: ComponentChildren }) {
  const address = safeAddress(href);
  if (address === undefined) return <>{children}</>;
  return (
    <a href={address} title={address} target="_blank" rel="noopener noreferrer nofollow">
      {children}
    </a>
  );
}

function Checkbox({ isChecked }: { readonly isChecked: boolean }) {
  return (
    <span class="checkbox" role="img" aria-label={isChecked ? texts.answer.done : texts.answer.notDone}>
      {isChecked ? "☑" : "☐"}
    </span>
  );
}
