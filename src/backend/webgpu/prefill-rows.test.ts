import { expect, test } from "vitest";
import { proposePrefillRows } from "./prefill-rows.ts";

const LLAMA_8B = {
  hiddenSize: 4096,
  intermediateSize: 14336,
  numQueryHeads: 32,
  numKvHeads: 8,
  headDim: 128,
  maxSequenceLength: 131072,
};
const QWEN_06B = { ...LLAMA_8B, hiddenSize: 1024, intermediateSize: 3072, numQueryHeads: 16 };
const experts = { numExperts: 128, topExperts: 8, intermediateSize: 2048, isNormalised: true };
const QWEN_30B = { ...LLAMA_8B, hiddenSize: 2048, intermediateSize: 6144, numKvHeads: 4, experts };
const MANY_CHOSEN = { ...QWEN_30B, experts: { ...experts, topExperts: 40, intermediateSize: 256 } };
const PICO = {
  hiddenSize: 256,
  intermediateSize: 640,
  numQueryHeads: 8,
  numKvHeads: 2,
  headDim: 64,
  maxSequenceLength: 8192,
};
const limits = (binding: number) => ({
  maxBufferSize: 2 ** 38,
  maxStorageBufferBindingSize: binding,
  maxStorageBuffersPerShaderStage: 8,
  maxComputeInvocationsPerWorkgroup: 256,
  maxComputeWorkgroupSizeX: 256,
  maxComputeWorkgroupStorageSize: 16384,
});
const small = { limits: limits(2 ** 27), isSoftware: false };
const large = { limits: limits(2 ** 31), isSoftware: false };

test.each([
  ["a large model takes the largest chunk", LLAMA_8B, 16e9, large, 4096],
  ["a smaller one what an eighth of its weights holds", QWEN_06B, 1.2e9, large, 2048],
  ["a tiny one what 32 MiB hold", PICO, 17e6, large, 2048],
  ["no more than twice a short context", { ...PICO, maxSequenceLength: 600 }, 17e6, large, 1024],
  [
    "what one binding of 128 MiB reaches",
    LLAMA_8B,
    16e9,
    { limits: limits(2 ** 27), isSoftware: false },
    2048,
  ],
  ["what the gates of all chosen experts leave of a binding", QWEN_30B, 30e9, small, 2048],
  ["no more choices of experts than a dispatch has workgroups", MANY_CHOSEN, 300e9, large, 1024],
  ["256 at least", LLAMA_8B, 16e9, { limits: limits(2 ** 20), isSoftware: false }, 256],
  ["256 where the CPU computes", LLAMA_8B, 16e9, { limits: limits(2 ** 31), isSoftware: true }, 256],
])("%s", (_, shape, weightBytes, device, rows) => {
  expect(proposePrefillRows(shape, weightBytes, device)).toBe(rows);
});
