/** Who may ask: a key, and the origins of pages. */
import type { Context, MiddlewareHandler } from "hono";
import { timingSafeEqual } from "hono/utils/buffer";
import { HttpError } from "./http-error.ts";

/** Paths that a supervisor asks without a key. */
const OPEN_PATHS = new Set(["/health", "/ready"]);
const LOOPBACK = /^(localhost|127(\.\d{1,3}){3}|\[::1\])$/i;

/** True for a name or address by which only this machine reaches itself. */
export function isLoopback(host: string): boolean {
  return LOOPBACK.test(host) || host === "::1";
}

/** Lets requests with one of the keys pass, in a time that does not depend on the keys. No keys: all pass. */
export function requireKey(keys: readonly string[]): MiddlewareHandler {
  return async (context, next) => {
    if (keys.length === 0 || OPEN_PATHS.has(context.req.path)) return next();
    const given = /^Bearer +(.+)$/i.exec(context.req.header("authorization") ?? "")?.[1];
    if (given === undefined)
      throw new HttpError(401, 'give the server\'s key in the header "Authorization: Bearer KEY"', {
        code: "invalid_api_key",
      });
    let isKnown = false;
    for (const key of keys) isKnown = (await timingSafeEqual(given, key)) || isKnown;
    if (!isKnown)
      throw new HttpError(401, "the key is not one of this server's", { code: "invalid_api_key" });
    return next();
  };
}

/**
 * Refuses pages of other origins on a server without a key. A page that reaches a loopback address by a name of its own
 * (DNS rebinding) has that name as its origin.
 */
export function refuseOtherOrigins(allowed: readonly string[]): MiddlewareHandler {
  return async (context: Context, next) => {
    const origin = context.req.header("origin");
    if (origin !== undefined && !allowed.includes("*") && !allowed.includes(origin) && !isLocal(origin))
      throw new HttpError(
        403,
        `pages of ${origin.slice(0, 200)} may not use this server; start it with --cors-origin ${origin.slice(0, 200)}, or with --api-key`,
        { code: "origin_not_allowed" },
      );
    return next();
  };
}

function isLocal(origin: string): boolean {
  try {
    return isLoopback(new URL(origin).hostname);
  } catch {
    return false; // "null": a page without an origin, such as a sandboxed frame
  }
}
