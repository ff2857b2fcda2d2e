import { distance } from "fastest-levenshtein";
import { idOf, kindOf } from "./repo-id.ts";

/** What a request is about, for messages. */
export interface About {
  readonly repo: string;
  readonly revision: string;
  readonly file?: string;
}

/** A final answer other than success. */
export interface Refusal {
  /** Begins the message: what was fetched, and the answer's status. */
  readonly answer: string;
  readonly status: number;
  /** The hub's X-Error-Code and X-Error-Message. */
  readonly code: string | undefined;
  readonly said: string | undefined;
  readonly about: About;
  readonly hasToken: boolean;
}

const TOKEN = "set HF_TOKEN to a token of huggingface.co/settings/tokens (or log in with `hf auth login`)";

/** Completes the message of a refusal: why, and what to do. `search` finds repositories of the same kind by a word. */
export async function describeRefusal(
  { answer, status, code, said, about, hasToken }: Refusal,
  search: (word: string) => Promise<readonly string[]>,
): Promise<string> {
  const { revision, file } = about;
  const repo = idOf(about.repo);
  if (code === "GatedRepo" || (status === 403 && /gated|accept|restricted/i.test(said ?? "")))
    return (
      `${answer}: ${repo} is gated: accept its licence at its page on the hub, ` +
      (hasToken ? "with the account of the token that is used" : `then ${TOKEN}`)
    );
  if (code === "RevisionNotFound")
    return `${answer}: ${repo} has no revision ${revision}; name a branch, a tag or a commit`;
  if (code === "EntryNotFound")
    return `${answer}: ${repo} has no file ${file ?? "of that name"} at ${revision}`;
  if (status === 401 && /invalid credentials/i.test(said ?? ""))
    return `${answer}: the token is not valid (${said}); ${TOKEN}, or unset it`;
  if (status === 404 || code === "RepoNotFound" || status === 401) {
    const near = nearNames(repo, await search(repo.split("/").at(-1) ?? repo));
    const hint = near.length > 0 ? `; did you mean ${near.join(" or ")}?` : "; check the name";
    const access = hasToken ? "the token may not read it" : `it is private or gated: then ${TOKEN}`;
    return `${answer}: there is no ${kindOf(about.repo)} ${repo}${hint} (Or ${access})`;
  }
  if (status === 403)
    return `${answer}${said === undefined ? "" : ` (${said})`}: it may not be read; ${hasToken ? "the token lacks the right" : TOKEN}`;
  return `${answer}${said === undefined ? "" : ` (${said})`}`;
}

/** The names nearest to a wanted one, nearest first; none that is far from it. */
export function nearNames(wanted: string, names: readonly string[], most = 3): readonly string[] {
  const [low, short] = [wanted.toLowerCase(), wanted.toLowerCase().split("/").at(-1) ?? ""];
  return [...new Set(names)]
    .map((name) => {
      const [whole, last] = [name.toLowerCase(), name.toLowerCase().split("/").at(-1) ?? ""];
      return { name, far: Math.min(distance(whole, low), 1 + distance(last, short)) };
    })
    .filter(({ name, far }) => far <= Math.max(2, Math.floor(name.length / 3)))
    .sort((a, b) => a.far - b.far)
    .slice(0, most)
    .map(({ name }) => name);
}
