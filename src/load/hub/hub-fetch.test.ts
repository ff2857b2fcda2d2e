import { expect, test } from "vitest";
import { ModelFileError } from "../../base/errors.ts";
import { createHubFetch } from "./hub-fetch.ts";

/** A network of addresses that redirect, or answer "here" with what they were asked. */
function network(redirects: Readonly<Record<string, string>>) {
  const asked: [string, string | null][] = [];
  const fetch = createHubFetch({
    url: "https://hub.test/mirror",
    token: "hf_x",
    followsRedirects: true,
    fetch: async (url, { headers, redirect }) => {
      expect(redirect).toBe("manual");
      asked.push([url, new Headers(headers).get("authorization")]);
      const location = redirects[url];
      if (location === undefined)
        return new Response("here", { status: 206, headers: { etag: "of-the-store" } });
      return new Response(null, {
        status: 302,
        headers: { location, "x-linked-size": String(asked.length) },
      });
    },
  });
  return { fetch, asked };
}

test("the token goes to the hub's origin, at every hop, and to no other host, port or scheme", async () => {
  const { fetch, asked } = network({
    "https://hub.test/a": "/b",
    "https://hub.test/b": "https://hub.test:8443/c",
    "https://hub.test:8443/c": "https://sub.hub.test/d",
    "https://sub.hub.test/d": "https://hub.test/e",
  });
  await fetch("https://hub.test/a", { headers: { Range: "bytes=0-1" } });
  expect(asked).toEqual([
    ["https://hub.test/a", "Bearer hf_x"],
    ["https://hub.test/b", "Bearer hf_x"],
    ["https://hub.test:8443/c", null],
    ["https://sub.hub.test/d", null],
    ["https://hub.test/e", "Bearer hf_x"],
  ]);
});

test("the last response keeps its body and has the first redirect's headers about the file", async () => {
  const { fetch } = network({ "https://hub.test/a": "https://store.test/b", "https://store.test/b": "/c" });
  const response = await fetch("https://hub.test/a", {});
  expect([response.status, await response.text()]).toEqual([206, "here"]);
  expect([response.headers.get("x-linked-size"), response.headers.get("etag")]).toEqual([
    "1",
    "of-the-store",
  ]);
});

test("a redirect from https to http is not followed", async () => {
  const { fetch, asked } = network({ "https://hub.test/a": "http://store.test/b" });
  await expect(fetch("https://hub.test/a", {})).rejects.toThrow(ModelFileError);
  expect(asked).toHaveLength(1);
});

test("a redirect to what is no address is refused with the address", async () => {
  const { fetch, asked } = network({ "https://hub.test/a": "https://[" });
  await expect(fetch("https://hub.test/a", {})).rejects.toThrow(
    'redirects to "https://[", which is no address',
  );
  expect(asked).toHaveLength(1);
});
