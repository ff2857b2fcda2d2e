import { expect, test } from "vitest";
import { PartQueue } from "./part-queue.ts";
import type { GenerationPart, PartKind } from "./request.ts";

/** Maximum unread parts. */
const MAX_UNREAD = 64;

const part = (text: string, kind: PartKind = "answer"): GenerationPart => ({
  kind,
  text,
  tokenIds: [...text].map((character) => character.codePointAt(0) ?? 0),
});

function drain(queue: PartQueue): GenerationPart[] {
  const parts: GenerationPart[] = [];
  for (let next = queue.shift(); next; next = queue.shift()) parts.push(next);
  return parts;
}

function filled(count: number): PartQueue {
  const queue = new PartQueue();
  for (let i = 0; i < count; i++) queue.push(part("a"));
  return queue;
}

test.each([
  [0, false],
  [1, false],
  [MAX_UNREAD - 1, false],
  [MAX_UNREAD, true],
  [MAX_UNREAD + 1, true],
  [10 * MAX_UNREAD, true],
])("after %i parts that nobody reads: full %s", (count, isFull) => {
  expect(filled(count).isFull).toBe(isFull);
});

test("shift returns the parts unchanged and in order, then undefined", () => {
  const queue = new PartQueue();
  const parts = [part("a", "reasoning"), part("bc"), part("d")];
  for (const one of parts) queue.push(one);
  expect(drain(queue)).toEqual(parts);
  expect(queue.shift()).toBeUndefined();
});

test("a read part makes room", () => {
  const queue = filled(MAX_UNREAD);
  queue.shift();
  expect(queue.isFull).toBe(false);
  queue.push(part("z"));
  expect(queue.isFull).toBe(true);
  expect(drain(queue).at(-1)).toEqual(part("z"));
});

test("a full queue appends a part to a last one of the same kind, without loss of text or tokens", () => {
  const queue = filled(MAX_UNREAD);
  queue.push(part("bc"));
  queue.push(part("d"));
  const parts = drain(queue);
  expect(parts).toHaveLength(MAX_UNREAD);
  expect(parts.at(-1)).toEqual(part("abcd"));
});

test("a full queue does not join answer to reasoning", () => {
  const queue = new PartQueue();
  for (let i = 0; i < MAX_UNREAD; i++) queue.push(part("a", "reasoning"));
  queue.push(part("b"));
  queue.push(part("c"));
  expect(drain(queue).slice(MAX_UNREAD - 1)).toEqual([part("a", "reasoning"), part("bc")]);
});

test("later changes of the caller's part do not change the queue", () => {
  const queue = filled(MAX_UNREAD);
  const tokenIds = [98];
  queue.push({ kind: "answer", text: "b", tokenIds });
  tokenIds.push(99);
  expect(drain(queue).at(-1)).toEqual(part("ab"));
});

test("parts keep the logprobs of their tokens, joined ones too", () => {
  const queue = filled(MAX_UNREAD - 1);
  const logprob = (id: number) => ({ id, text: "a", bytes: [97], logprob: -id, top: [] });
  for (const id of [1, 2, 3])
    queue.push({ kind: "answer", text: "a", tokenIds: [id], logprobs: [logprob(id)] });
  const parts = drain(queue);
  expect("logprobs" in (parts[0] ?? {})).toBe(false);
  expect(parts.at(-1)).toEqual({
    ...{ kind: "answer", text: "aaa", tokenIds: [1, 2, 3] },
    logprobs: [1, 2, 3].map(logprob),
  });
});
