import { expect, test } from "vitest";
import { safeAddress } from "./safe-link.ts";

test.each([
  ["https://a.example/b?c#d", "https://a.example/b?c#d"],
  ["http://a.example", "http://a.example/"],
  ["mailto:a@b.example", "mailto:a@b.example"],
  [' https://a.example/"x ', "https://a.example/%22x"],
])("%s leads to %s", (href, address) => {
  expect(safeAddress(href)).toBe(address);
});

test.each([
  "javascript:alert(1)",
  "JaVaScRiPt:alert(1)",
  " \u0001javascript:alert(1)",
  "java\nscript:alert(1)",
  "javascript&colon;alert(1)",
  "data:text/html,<script>",
  "vbscript:x",
  "blob:https://a.example/b",
  "file:///etc/passwd",
  "../relative",
  "//host.example/a",
  "#anchor",
  "",
])("%j leads nowhere", (href) => {
  expect(safeAddress(href)).toBeUndefined();
});
