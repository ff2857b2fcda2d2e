import { ConfigError } from "../../base/errors.ts";
import { printValue } from "../../base/print-value.ts";

/** A model of a Hugging Face hub, and which of its files. */
export interface HubModel {
  readonly kind: "hub";
  /** `org/name`. */
  readonly repo: string;
  /** A branch, tag or commit; undefined: `main`. */
  readonly revision?: string;
  /** The path of one weight file in the repository. */
  readonly file?: string;
  /** "gate": a repository of a trained gate, which has no model. */
  readonly contents?: "gate" | undefined;
  /** The quantisation of a GGUF file, such as `Q4_K_M`. */
  readonly quant?: string;
}

/** Where a model is, as a text names it. */
export type ModelLocation =
  | HubModel
  | { readonly kind: "url"; readonly url: string; readonly isFile: boolean }
  /** isCertain: the text can mean nothing else. Otherwise it means a path only if that exists. */
  | { readonly kind: "path"; readonly path: string; readonly isCertain: boolean };

/** Formats with the most examples, for messages. */
export const LOCATION_FORMS =
  "a folder, a .gguf or .safetensors file, a URL, or a model of the hub: org/name, org/name@revision, " +
  "org/name/file.gguf or hf:org/name:Q4_K_M";

const WEIGHT_FILE = /\.(gguf|safetensors)$/i;
/** One of the two parts of a repository's name. */
export const REPO_PART = /^(?!.*(--|\.\.))[A-Za-z0-9_](?:[\w.-]{0,94}[A-Za-z0-9_])?$/;
const QUANT = /^[A-Za-z][A-Za-z0-9_.-]{0,31}$/;
/** A branch or tag in one part, or one of the hub's references of several parts. */
const REVISION = /^(refs\/(?:pr|convert)\/\w[\w.-]{0,63}|\w[\w.-]{0,127})(?:\/(.+))?$/;

/**
 * Reads a model's location. Pure: a text that may also name a path (`org/name`) is read as a model of the hub; `readPath`
 * is its other reading, which wins if the path exists.
 * hubUrl: the hub's address, asked for when the text is a URL; a URL below it is a model of the hub.
 * @throws ConfigError on a text that can be neither.
 */
export function parseModelLocation(text: string, hubUrl: () => string): ModelLocation {
  if (text.trim() === "")
    throw new ConfigError(`opening a model: the name is empty; expected ${LOCATION_FORMS}`);
  if (/^https?:\/\//i.test(text)) return readUrl(text, hubUrl());
  if (/^file:\/\//i.test(text)) return { kind: "path", path: readFileUrl(text), isCertain: true };
  const named = /^(?:hf:\/\/|hf:|huggingface:)(.*)$/is.exec(text)?.[1];
  if (named !== undefined) {
    const model = readHubModel(named);
    if (model) return model;
    throw new ConfigError(
      `opening a model: ${printValue(text)} is no model of the hub; expected hf:org/name, then @revision, /file.gguf ` +
        "or :QUANTISATION where wanted (hf:org/name:Q4_K_M)",
    );
  }
  if (/^(\.{0,2}[\\/]|~[\\/]|[A-Za-z]:[\\/])/.test(text) || /^(\.{1,2}|~)$/.test(text))
    return { kind: "path", path: text, isCertain: true };
  return readHubModel(text) ?? { kind: "path", path: text, isCertain: true };
}

/** The reading as a path of a text that `parseModelLocation` took for a model of the hub; undefined if it has none. */
export function readPath(text: string): string | undefined {
  return /^(hf:|huggingface:|https?:\/\/)/i.test(text) ? undefined : text;
}

/** The path of a file URL. On Windows one begins with a drive (`file:///C:/a`), or has the computer of a share (`file://server/a`). */
function readFileUrl(text: string): string {
  const [, host = "", path = ""] = /^file:\/\/([^/]*)(.*)$/is.exec(text) ?? [];
  if (host !== "" && host.toLowerCase() !== "localhost") return `//${host}${decodePath(path)}`;
  return decodePath(path).replace(/^\/(?=[A-Za-z]:([\\/]|$))/, "");
}

/** Reads `org/name[@revision][/file][:QUANT]` or `org/name/file[@revision]`; undefined if it is none. */
function readHubModel(text: string): HubModel | undefined {
  const [, body = text, quant] = /^(.*):([^:/@]*)$/s.exec(text) ?? [];
  if (quant !== undefined && !QUANT.test(quant)) return undefined;
  const [, org = "", rest = ""] = /^([^/@]+)\/(.+)$/s.exec(body) ?? [];
  const [, name = "", tail = ""] = /^([^/@]+)(.*)$/s.exec(rest) ?? [];
  if (!REPO_PART.test(org) || !REPO_PART.test(name)) return undefined;
  const read = readTail(tail);
  if (!read || (read.file !== undefined && quant !== undefined)) return undefined;
  return { kind: "hub", repo: `${org}/${name}`, ...read, ...(quant !== undefined && { quant }) };
}

/** Reads what follows `org/name`: a revision, a file, both in either order, or nothing. */
function readTail(tail: string): { readonly revision?: string; readonly file?: string } | undefined {
  if (tail === "") return {};
  if (tail.startsWith("@")) {
    const [, revision, file] = REVISION.exec(tail.slice(1)) ?? [];
    if (revision === undefined) return undefined;
    if (file === undefined) return { revision };
    return isFilePath(file) ? { revision, file } : undefined;
  }
  const [, file = "", revision] = /^\/([^@]+)(?:@(.+))?$/s.exec(tail) ?? [];
  if (!isFilePath(file)) return undefined;
  if (revision === undefined) return { file };
  const [, one, more] = REVISION.exec(revision) ?? [];
  return one === undefined || more !== undefined ? undefined : { file, revision: one };
}

function isFilePath(path: string): boolean {
  return WEIGHT_FILE.test(path) && isSafePath(path);
}

/** True for a relative path of plain parts: none is empty, "." or "..", and none has a character that a system forbids. */
export function isSafePath(path: string): boolean {
  return (
    path.length <= 500 &&
    path
      .split("/")
      .every((part) => part !== "" && part !== "." && part !== ".." && !/[\\:*?"<>|\p{Cc}]/u.test(part))
  );
}

function readUrl(text: string, hubUrl: string): ModelLocation {
  let url: URL;
  try {
    url = new URL(text);
  } catch (cause) {
    throw new ConfigError(`opening a model: ${printValue(text)} is no URL`, { cause });
  }
  return (
    readHubUrl(url, new URL(hubUrl)) ?? { kind: "url", url: url.href, isFile: WEIGHT_FILE.test(url.pathname) }
  );
}

/** Reads an address of the hub's site: `/org/name`, `/org/name/tree/REV`, `/org/name/resolve/REV/FILE` and `blob`. */
function readHubUrl(url: URL, hub: URL): HubModel | undefined {
  const prefix = hub.pathname.replace(/\/$/, "");
  if (url.host !== hub.host && !(hub.host === "huggingface.co" && url.host === "hf.co")) return undefined;
  if (!url.pathname.startsWith(`${prefix}/`)) return undefined;
  const path = decodePath(url.pathname.slice(prefix.length + 1));
  const parts = path.split("/").filter((part) => part !== "");
  const [org = "", name = "", kind, ...rest] = parts;
  const repo = readHubModel(`${org}/${name}`);
  if (!repo) return undefined;
  if (kind === undefined) return repo;
  if (kind !== "tree" && kind !== "resolve" && kind !== "blob") return undefined;
  const tail = rest.length > 0 ? readTail(`@${rest.join("/")}`) : {};
  return tail && { ...repo, ...tail };
}

/** Decodes percent signs; a malformed path stays as it is. */
export function decodePath(path: string): string {
  try {
    return decodeURIComponent(path);
  } catch {
    return path;
  }
}

/** Writes a model of the hub as a person would name it. */
export function formatHubModel({ repo, revision, file, quant }: HubModel): string {
  const at = revision === undefined ? "" : `@${revision}`;
  return `${repo}${at}${file === undefined ? "" : `/${file}`}${quant === undefined ? "" : `:${quant}`}`;
}
