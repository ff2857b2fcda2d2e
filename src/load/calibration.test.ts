import { describe, expect, it } from "vitest";
import { ModelFileError } from "../base/errors.ts";
import { CALIBRATION_FORMAT, calibrationFileOf, modelIdentity, parseCalibration } from "./calibration.ts";
import type { TensorEntry } from "./tensor-entry.ts";

const tensors = (shape: readonly number[]) =>
  new Map([["a.weight", { name: "a.weight", shape } as TensorEntry]]);
const CONFIG = { model_type: "llama", num_hidden_layers: 4 };
const identity = modelIdentity(CONFIG, tensors([2, 3]));
const file = { format: CALIBRATION_FORMAT, model: identity };

describe("the identity of a model", () => {
  it("is 16 digits that change with the config and with a shape, and not with a recommended attention", () => {
    expect(identity).toMatch(/^[0-9a-f]{16}$/);
    expect(modelIdentity({ ...CONFIG, num_hidden_layers: 5 }, tensors([2, 3]))).not.toBe(identity);
    expect(modelIdentity(CONFIG, tensors([3, 2]))).not.toBe(identity);
    expect(modelIdentity({ ...CONFIG, sparse_attention: "full" }, tensors([2, 3]))).toBe(identity);
  });

  it("is FNV-1a in 64 bits", () => {
    const text = JSON.stringify([CONFIG, ["a.weight:2x3"]]);
    let expected = 0xcbf29ce484222325n;
    for (let i = 0; i < text.length; i++)
      expected = ((expected ^ BigInt(text.charCodeAt(i))) * 0x100000001b3n) % 2n ** 64n;
    expect(identity).toBe(expected.toString(16).padStart(16, "0"));
  });
});

describe("a calibration", () => {
  it("gives layers and attention, both optional", () => {
    expect(parseCalibration({ ...file, selectionLayers: [2, 3], attention: "full" }, identity)).toEqual({
      selectionLayers: [2, 3],
      attention: "full",
      policies: [],
    });
    expect(parseCalibration(file, identity)).toEqual({
      ...{ selectionLayers: undefined, attention: undefined, policies: [] },
    });
  });

  it.each([
    [{ format: "other", model: identity }],
    [{ ...file, model: "0" }],
    [{ ...file, selectionLayers: [3, 2] }],
    [{ ...file, selectionLayers: [2, 2] }],
    [{ ...file, selectionLayers: [] }],
    [{ ...file, selectionLayers: [-1] }],
    [{ ...file, selectionLayers: [1.5] }],
    [{ ...file, selectionLayers: "2" }],
    [{ ...file, attention: 7 }],
    [{ ...file, attention: "x".repeat(25_000) }],
  ])("of other contents is refused: %j", (json) => {
    expect(() => parseCalibration(json, identity)).toThrow(ModelFileError);
  });

  it("lies beside the weights", () => {
    expect(calibrationFileOf(["model.safetensors"])).toBe("sparse-attention.json");
    expect(calibrationFileOf(["m-Q4.gguf"])).toBe("m-Q4.gguf.sparse-attention.json");
  });
});
