import { describe, expect, test } from "vitest";
import { sizesOf } from "../../../test/sizes.ts";
import { BackendError } from "../../base/errors.ts";
import { checkLimits, routeBytes } from "./device-limits.ts";

const LIMITS = {
  maxBufferSize: 2 ** 28,
  maxStorageBufferBindingSize: 2 ** 27,
  maxStorageBuffersPerShaderStage: 8,
  maxComputeInvocationsPerWorkgroup: 256,
  maxComputeWorkgroupSizeX: 256,
  maxComputeWorkgroupStorageSize: 16384,
};

/** Opens nothing: checks a model of so many experts against limits. */
function check(numExperts: number, topExperts: number, limits: Partial<typeof LIMITS> = {}): void {
  const experts = { numExperts, topExperts, intermediateSize: 32, isNormalised: true };
  const [model, capacity] = sizesOf({ experts });
  checkLimits({ model, capacity, cacheDtype: "f16" }, { ...LIMITS, ...limits });
}

describe("workgroup memory of the choice of experts", () => {
  test.each([
    [128, 8, 1056],
    [5, 2, 80],
    [2046, 2, 16400],
  ])("%i experts, %i a row: %i bytes", (numExperts, topExperts, bytes) => {
    expect(routeBytes({ numExperts, topExperts })).toBe(bytes);
  });

  test("as many as the device has are taken, one more is refused with the numbers", () => {
    check(128, 8);
    check(2044, 8);
    check(2046, 2, { maxComputeWorkgroupStorageSize: 16400 });
    const refused = () => check(2046, 2);
    expect(refused).toThrow(BackendError);
    expect(refused).toThrow(
      "opening webgpu: choosing 2 of 2046 experts needs 16400 bytes of workgroup memory, but this device has 16384 " +
        "(maxComputeWorkgroupStorageSize); use the wasm backend",
    );
  });

  test("a model without experts needs none", () => {
    const [model, capacity] = sizesOf();
    checkLimits({ model, capacity, cacheDtype: "f16" }, LIMITS);
  });
});
