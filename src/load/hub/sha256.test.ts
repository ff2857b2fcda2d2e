import { createHash, randomBytes } from "node:crypto";
import { expect, test } from "vitest";
import { Sha256 } from "./sha256.ts";

const own = (...pieces: readonly Uint8Array[]) => {
  const hash = new Sha256();
  for (const piece of pieces) hash.update(piece);
  return hash.digest();
};

test("Sha256 is Node's, for every length around a block", () => {
  for (let length = 0; length <= 200; length++) {
    const bytes = randomBytes(length);
    expect(own(bytes), `${length} bytes`).toBe(createHash("sha256").update(bytes).digest("hex"));
  }
});

test("Sha256 takes bytes in pieces of any size", () => {
  const bytes = randomBytes(100_000);
  const expected = createHash("sha256").update(bytes).digest("hex");
  for (const size of [1, 63, 64, 65, 4096, 99_999]) {
    const pieces = Array.from({ length: Math.ceil(bytes.length / size) }, (_, i) =>
      bytes.subarray(i * size, (i + 1) * size),
    );
    expect(own(...pieces), `pieces of ${size}`).toBe(expected);
  }
});
