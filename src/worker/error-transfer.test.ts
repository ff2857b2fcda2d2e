import { describe, expect, it, test } from "vitest";
import {
  AbortedError,
  BackendError,
  ConfigError,
  EngineError,
  ModelFileError,
  OutOfMemoryError,
  OutOfPagesError,
  RequestError,
  ShapeError,
} from "../base/errors.ts";
import { decodeError, encodeError } from "./error-transfer.ts";

/** As it arrives on the other thread. */
const transfer = (error: unknown): Error => decodeError(structuredClone(encodeError(error)));

describe("an error on another thread", () => {
  test.each([
    ConfigError,
    ModelFileError,
    ShapeError,
    BackendError,
    OutOfMemoryError,
    OutOfPagesError,
    RequestError,
    AbortedError,
  ])("%o keeps its class, name, code, message and stack", (Class) => {
    const error = new Class("doing: expected this, got that");
    const arrived = transfer(error);
    expect(arrived.constructor).toBe(Class);
    expect(arrived).toBeInstanceOf(EngineError);
    const { name, message, stack, code } = error;
    expect({ ...arrived, name: arrived.name, message: arrived.message, stack: arrived.stack }).toEqual({
      ...{ name, message, stack, code },
    });
  });

  it("keeps its causes, their classes and fields", () => {
    const system = Object.assign(new TypeError("no such file"), { code: "ENOENT", errno: -2 });
    const { cause } = transfer(new BackendError("a", { cause: new RequestError("b", { cause: system }) }));
    expect(cause).toBeInstanceOf(RequestError);
    const inner = (cause as Error).cause;
    expect(inner).toBeInstanceOf(TypeError);
    expect(inner).toMatchObject({ message: "no such file", code: "ENOENT", errno: -2 });
  });

  it("keeps a cause that is no error, as it is or as a text", () => {
    expect(transfer(new BackendError("a", { cause: { lost: "device" } })).cause).toEqual({ lost: "device" });
    expect(transfer(new BackendError("a", { cause: () => 1 })).cause).toBe("a function");
    expect(Object.hasOwn(transfer(new BackendError("a")), "cause")).toBe(false);
  });

  it("keeps the name of a foreign class, and a DOMException", () => {
    class PolicyError extends Error {
      override readonly name = "PolicyError";
    }
    expect(transfer(new PolicyError("mine"))).toMatchObject({ name: "PolicyError", message: "mine" });
    const timeout = transfer(new DOMException("late", "TimeoutError"));
    expect(timeout).toBeInstanceOf(DOMException);
    expect(timeout).toMatchObject({ name: "TimeoutError", message: "late" });
  });

  it("ends a cycle of causes, and leaves out fields that cannot be sent", () => {
    const error: Error & { cause?: unknown } = Object.assign(new Error("round"), { run: () => 1, size: 3 });
    error.cause = error;
    let depth = 0;
    for (let one: unknown = transfer(error); one instanceof Error; one = one.cause) {
      depth++;
      expect(one).toMatchObject({ message: "round", size: 3 });
      expect(one).not.toHaveProperty("run");
    }
    expect(depth).toBeGreaterThan(1);
    expect(depth).toBeLessThan(20);
  });

  test.each<[unknown, string]>([
    ["a text", '"a text"'],
    [undefined, "undefined"],
    [{ code: 5 }, '{"code":5}'],
  ])("%o, thrown, arrives as an error", (thrown, message) => {
    expect(transfer(thrown)).toMatchObject({ name: "Error", message });
  });
});
