import { expect, test } from "vitest";
import { ModelFileError } from "../../base/errors.ts";
import { chooseFiles } from "./choose-files.ts";

const choose = (quant: string, ...paths: string[]) =>
  chooseFiles({ kind: "hub", repo: "org/m", quant }, paths).file;

test.each<[string, string, string[]]>([
  ["Q4_K_M", "m-Q4_K_M.gguf", ["m-Q4_K_M.gguf", "m-UD-Q4_K_M.gguf", "m-Q4_K_S.gguf"]],
  ["UD-Q4_K_M", "m-UD-Q4_K_M.gguf", ["m-Q4_K_M.gguf", "m-UD-Q4_K_M.gguf"]],
  ["q8_0", "Q8_0/m-Q8_0.gguf", ["Q8_0/m-Q8_0.gguf", "BF16/m-BF16.gguf"]],
  ["f16", "m.f16.gguf", ["m.f16.gguf", "m.bf16.gguf"]],
  ["fp16", "m-fp16.gguf", ["m-fp16.gguf", "m-q4_0.gguf"]],
  ["Q4_0", "m-Q4_0-imat.gguf", ["m-Q4_0-imat.gguf"]],
  ["Q4_0", "m-Q4_0-00001-of-00002.gguf", ["m-Q4_0-00001-of-00002.gguf", "m-Q4_0-00002-of-00002.gguf"]],
])(":%s is %s", (quant, file, paths) => {
  expect(choose(quant, ...paths)).toBe(file);
});

test.each<[string, string]>([
  ["Q4_K_M", "m-UD-Q4_K_M.gguf"],
  ["Q4_K_M", "UD-Q4_K_M/m-UD-Q4_K_M.gguf"],
  ["Q4_K_M", "m-UD-Q4_K_M-imat.gguf"],
  ["Q4_K", "m-Q4_K_M.gguf"],
  ["Q4", "m-Q4_0.gguf"],
  ["K_M", "m-Q4_K_M.gguf"],
  ["IQ4_NL", "m-Q4_NL.gguf"],
  ["F16", "m-BF16.gguf"],
  ["Q4_K_M", "m-Q4_K_M-GGUF/m-Q8_0.gguf"],
])(":%s is not %s, though it is the only file", (quant, path) => {
  expect(() => choose(quant, path)).toThrow(ModelFileError);
});
