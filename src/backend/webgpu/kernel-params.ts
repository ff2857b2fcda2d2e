/** Encodes parameters and bindings of a dispatch by name, checked against the declarations of the kernel's text. */
import { BackendError } from "../../base/errors.ts";
import type { Kernel } from "./kernel-compiler.ts";
import type { NumberedBuffer } from "./refs.ts";
import { type Field, numWords } from "./shader-interface.ts";

/** Values of the kernel's parameters by name. A struct takes an object. */
export type Params = Readonly<Record<string, number | Readonly<Record<string, number>>>>;

/**
 * Buffers of the bindings by name. "unused" binds an empty buffer, for a binding that this specialisation of the kernel
 * declares but never accesses.
 */
export type Bindings = Readonly<Record<string, NumberedBuffer | "unused" | undefined>>;

const NO_PARAMS: Params = {};

/** Encodes the parameters as words. @throws BackendError naming the kernel and the field */
export function encodeParams(kernel: Kernel, params: Params = NO_PARAMS): Uint32Array<ArrayBuffer> {
  const { params: fields } = kernel.shader;
  const words = new Uint32Array(numWords(fields));
  writeFields(kernel, fields, params, { words, floats: new Float32Array(words.buffer), at: 0 });
  return words;
}

interface Target {
  readonly words: Uint32Array;
  readonly floats: Float32Array;
  at: number;
}

function writeFields(kernel: Kernel, fields: readonly Field[], values: Params, to: Target): void {
  checkNames(kernel, "parameter", fields, values);
  for (const field of fields) {
    const value = values[field.name];
    if (field.type === "struct") {
      if (typeof value !== "object") fail(kernel, `parameter ${field.name}: expected a struct, got ${value}`);
      writeFields(kernel, field.fields, value, to);
      continue;
    }
    if (typeof value !== "number" || !isOfType(value, field.type))
      fail(kernel, `parameter ${field.name}: expected ${field.type}, got ${value}`);
    if (field.type === "f32") to.floats[to.at++] = value;
    else to.words[to.at++] = value;
  }
}

function isOfType(value: number, type: "u32" | "i32" | "f32"): boolean {
  if (type === "f32") return !Number.isNaN(value);
  return type === "u32" ? value === value >>> 0 : value === (value | 0);
}

/** @throws BackendError when a binding is missing, or a name is unknown */
export function checkBindings(kernel: Kernel, bindings: Bindings): void {
  checkNames(kernel, "binding", kernel.shader.bindings, bindings);
}

/** Returns the buffer of a binding. @throws BackendError when it is undefined */
export function bufferOf(kernel: Kernel, name: string, bindings: Bindings): NumberedBuffer | "unused" {
  return bindings[name] ?? fail(kernel, `binding ${name} has no buffer`);
}

function checkNames(
  kernel: Kernel,
  what: string,
  declared: readonly { readonly name: string }[],
  given: Readonly<Record<string, unknown>>,
): void {
  for (const { name } of declared) if (!(name in given)) fail(kernel, `${what} ${name} is missing`);
  for (const name in given)
    if (!declared.some((one) => one.name === name)) fail(kernel, `there is no ${what} ${name}`);
}

function fail({ label, shader }: Kernel, problem: string): never {
  const names = [...shader.params, ...shader.bindings].map(({ name }) => name);
  throw new BackendError(`backend webgpu: kernel ${label}: ${problem}; it takes ${names.join(", ")}`);
}
