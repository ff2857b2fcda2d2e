import { ModelFileError } from "../../base/errors.ts";
import { printValue } from "../../base/print-value.ts";
import type { GgufMetadata } from "./metadata.ts";

/** Reads values of one file's metadata and checks their kinds. Keys are those after the architecture's name. */
export class MetadataKeys {
  readonly fileName: string;
  readonly architecture: string;
  readonly #metadata: GgufMetadata;

  /** @throws ModelFileError when the file names no architecture */
  constructor(metadata: GgufMetadata, fileName: string) {
    const architecture = metadata.get("general.architecture");
    if (typeof architecture !== "string" || architecture === "")
      throw new ModelFileError(
        `reading ${fileName}: general.architecture is ${printValue(architecture)}; expected a name: take another file of the model`,
      );
    this.#metadata = metadata;
    this.fileName = fileName;
    this.architecture = architecture;
  }

  fail(key: string, expected: string): ModelFileError {
    const name = this.#nameOf(key);
    const value = this.#metadata.get(name);
    const got = value === undefined ? "is missing" : `is ${printValue(value)}`;
    return new ModelFileError(
      `reading ${this.fileName}: ${name} ${got}; expected ${expected}: take another file of the model`,
    );
  }

  /** What the file says is understood, but not supported. */
  refuse(key: string, expected: string): ModelFileError {
    const name = this.#nameOf(key);
    return new ModelFileError(
      `reading ${this.fileName}: ${name} is ${printValue(this.#metadata.get(name))}; expected ${expected}`,
    );
  }

  has(key: string): boolean {
    return this.#metadata.has(this.#nameOf(key));
  }

  raw(key: string): unknown {
    return this.#metadata.get(this.#nameOf(key));
  }

  /** A finite number, or `otherwise` when the key is absent. */
  number(key: string, otherwise?: number): number {
    const value = this.raw(key) ?? otherwise;
    if (typeof value !== "number" || !Number.isFinite(value)) throw this.fail(key, "a number");
    return Number.isInteger(value) ? value : asWritten(value);
  }

  /** A whole number above 0. Some files give one value for each layer: the same everywhere, or it is not supported. */
  size(key: string, otherwise?: number): number {
    const value = this.raw(key) ?? otherwise;
    const values = isList(value) ? Array.from<unknown>(value).map(toNumber) : [value];
    const [first] = values;
    if (values.length > 0 && values.some((one) => one !== first))
      throw this.refuse(key, "the same in all layers");
    if (typeof first !== "number" || !Number.isSafeInteger(first) || first <= 0)
      throw this.fail(key, "a whole number above 0");
    return first;
  }

  text(key: string, otherwise: string): string {
    const value = this.raw(key) ?? otherwise;
    if (typeof value !== "string") throw this.fail(key, "a text");
    return value;
  }

  /** Whole names begin with another part than the architecture's: `general.` and `tokenizer.`. */
  #nameOf(key: string): string {
    return /^(general|tokenizer|split)\./.test(key) ? key : `${this.architecture}.${key}`;
  }
}

const isList = (value: unknown): value is ArrayLike<unknown> =>
  Array.isArray(value) || ArrayBuffer.isView(value);
const toNumber = (value: unknown) => (typeof value === "bigint" ? Number(value) : value);

/**
 * The shortest decimal that rounds to an f32. Files hold f32 what a config.json says in decimals (1e-5 is
 * 9.999999747378752e-06 there), and the model computes with the config's.
 */
export function asWritten(value: number): number {
  if (Math.fround(value) !== value) return value;
  for (let digits = 1; digits < 10; digits++) {
    const short = Number(value.toPrecision(digits));
    if (Math.fround(short) === value) return short;
  }
  return value;
}
