import { ModelFileError } from "../../base/errors.ts";
import { printValue } from "../../base/print-value.ts";
import type { Fetch } from "../http-reader.ts";

/** How requests reach a hub. */
export interface HubAccess {
  /** The hub's address, without a slash at its end. */
  readonly url: string;
  /** Sent to the hub's own host only. */
  readonly token?: string | undefined;
  readonly fetch: Fetch;
  /** False in browsers, which follow redirects themselves and hide them. */
  readonly followsRedirects: boolean;
}

/** More redirects than any hub makes. */
const MAX_REDIRECTS = 10;
/** Headers of a redirect that describe the file behind it. */
const LINKED = ["x-repo-commit", "x-linked-etag", "x-linked-size"];

/**
 * Makes a `fetch` that follows the hub's redirects. The token goes to the hub's own origin only: a redirect to another host
 * (a store of large files) is followed without it. The last response also gets the headers of the redirects that describe
 * the file.
 */
export function createHubFetch({ url: hubUrl, token, fetch, followsRedirects }: HubAccess): Fetch {
  const { origin } = new URL(hubUrl);
  const headersFor = (url: string, init: RequestInit) => {
    const headers = new Headers(init.headers);
    if (token !== undefined && new URL(url).origin === origin)
      headers.set("Authorization", `Bearer ${token}`);
    return headers;
  };
  return async (first, init) => {
    const linked = new Map<string, string>();
    let url = first;
    for (let hops = 0; ; hops++) {
      const redirect = followsRedirects ? "manual" : "follow";
      const response = await fetch(url, { ...init, redirect, headers: headersFor(url, init) });
      for (const name of LINKED) {
        const value = response.headers.get(name);
        if (value !== null && !linked.has(name)) linked.set(name, value);
      }
      const location = response.headers.get("location");
      if (![301, 302, 303, 307, 308].includes(response.status) || location === null)
        return hops === 0 ? response : withHeaders(response, linked);
      await response.body?.cancel();
      url = nextUrl(url, location, hops);
    }
  };
}

function nextUrl(from: string, location: string, hops: number): string {
  if (hops >= MAX_REDIRECTS)
    throw new ModelFileError(`fetching ${from}: the server redirects more than ${MAX_REDIRECTS} times`);
  if (!URL.canParse(location, from))
    throw new ModelFileError(
      `fetching ${from}: the server redirects to ${printValue(location)}, which is no address; try again, or use another server`,
    );
  const next = new URL(location, from);
  if (next.protocol !== "https:" && new URL(from).protocol !== next.protocol)
    throw new ModelFileError(
      `fetching ${from}: the server redirects to ${next.protocol}//${next.host}, which is less safe; it is not followed`,
    );
  return next.href;
}

/** Copies a response with headers that it lacks. */
function withHeaders(response: Response, more: ReadonlyMap<string, string>): Response {
  const headers = new Headers(response.headers);
  for (const [name, value] of more) headers.set(name, value);
  const { status, statusText } = response;
  if (status < 200 || status === 204 || status === 205 || status === 304) return response;
  return new Response(response.body, { status, statusText, headers });
}
