import { Hono } from "hono";
import { afterEach, expect, it, vi } from "vitest";
import { isLoopback, requireKey } from "./access.ts";

afterEach(() => vi.restoreAllMocks());

it("a key is compared by hashes of the whole key with each of the server's, whatever is given", async () => {
  const keys = ["first-key", "second-key", "third-key"];
  const app = new Hono();
  app.use(requireKey(keys));
  app.get("/", ({ text }) => text("in"));
  app.onError((_, { text }) => text("out", 401));
  const digest = vi.spyOn(crypto.subtle, "digest");
  const given = [...keys, "f", "first-kez", "xirst-key", "first-key-and-more", "a".repeat(10_000), "\u00e4"];
  for (const key of given) {
    digest.mockClear();
    const response = await app.request("/", { headers: { Authorization: `Bearer ${key}` } });
    expect([key, await response.text()]).toEqual([key, keys.includes(key) ? "in" : "out"]);
    expect([key, digest.mock.calls.length]).toEqual([key, 2 * keys.length]); // no early end
  }
});

it("names of this machine alone are loopback", () => {
  for (const host of ["localhost", "127.0.0.1", "127.1.2.3", "::1", "[::1]"])
    expect(isLoopback(host)).toBe(true);
  for (const host of ["0.0.0.0", "::", "10.0.0.1", "localhost.example", "127.0.0.1.example", ""])
    expect(isLoopback(host)).toBe(false);
});
