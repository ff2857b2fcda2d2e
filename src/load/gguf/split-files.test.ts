import { describe, expect, test } from "vitest";
import { field } from "../../../test/golden/gguf-file.ts";
import { memoryFolder } from "../../../test/golden/memory-folder.ts";
import { TENSORS, type TinyChanges, tinyGguf } from "../../../test/golden/tiny-gguf.ts";
import { openCheckpoint } from "../checkpoint.ts";

const nameOf = (part: number, count = 3) =>
  `m-${String(part).padStart(5, "0")}-of-${String(count).padStart(5, "0")}.gguf`;

/** The little model in three parts, the first without tensors, as gguf-split writes some. */
const CUTS = [TENSORS.slice(0, 0), TENSORS.slice(0, 5), TENSORS.slice(5)];

function parts(change: (part: number) => TinyChanges["metadata"] = () => ({})): Record<string, Uint8Array> {
  const files = CUTS.map((tensors, i) => {
    const split = {
      "split.no": field.u16(i),
      "split.count": field.u16(3),
      "split.tensors.count": field.i32(TENSORS.length),
    };
    return [nameOf(i + 1), tinyGguf({ metadata: { ...split, ...change(i) }, tensors })] as const;
  });
  return Object.fromEntries(files);
}

const open = (files: Record<string, Uint8Array>, weightFile = nameOf(1)) => {
  const folder = { ...memoryFolder(files), weightFile, list: async () => Object.keys(files) };
  return { folder, opening: openCheckpoint(folder) };
};

describe("a model in three parts", () => {
  test.each([1, 2, 3])("opens by the name of part %i, with the tensors of all", async (part) => {
    const checkpoint = await open(parts(), nameOf(part)).opening;
    expect(checkpoint.files).toEqual([nameOf(1), nameOf(2), nameOf(3)]);
    expect(checkpoint.tensors.size).toBe(TENSORS.length);
    const norm = checkpoint.tensors.get("model.norm.weight");
    const bytes = await norm?.source.read(norm.offset, norm.sizeBytes);
    expect(new Float32Array(bytes?.buffer ?? new ArrayBuffer(0))).toEqual(
      Float32Array.of(0, 1, 2, 3, 4, 5, 6, 7),
    );
  });

  test("is the one model of its folder", async () => {
    const files = parts();
    const checkpoint = await openCheckpoint({ ...memoryFolder(files), list: async () => Object.keys(files) });
    expect(checkpoint.tensors.size).toBe(TENSORS.length);
  });

  test("lacking its first part is still the one model of its folder", async () => {
    const { [nameOf(1)]: _, ...files } = parts();
    const opening = openCheckpoint({ ...memoryFolder(files), list: async () => Object.keys(files) });
    await expect(opening).rejects.toThrow(
      `one of several parts, and ${nameOf(1)} is not there; download it too`,
    );
  });

  test("closes all of them", async () => {
    const { folder, opening } = open(parts());
    const checkpoint = await opening;
    expect(folder.opened.size).toBe(3);
    await checkpoint.close();
    await checkpoint.close();
    expect(folder.opened.size).toBe(0);
  });

  const { [nameOf(3)]: last = new Uint8Array(0), ...first } = parts();
  test.each<[string, Record<string, Uint8Array>, string]>([
    ["lacks a part", first, "m-00003-of-00003.gguf is not there; download it too"],
    [
      "has a part twice",
      { ...first, [nameOf(3)]: parts()[nameOf(2)] ?? last },
      "it says that it is part 1 of 3",
    ],
    [
      "has a part of another count",
      { ...first, [nameOf(3)]: parts(() => ({ "split.count": field.u16(4) }))[nameOf(3)] ?? last },
      "part 2 of 4",
    ],
    [
      "promises more tensors",
      parts(() => ({ "split.tensors.count": field.i32(99) })),
      "it promises 99 tensors, its 3 parts hold 11",
    ],
    ["has a count of 60,000", parts(() => ({ "split.count": field.u16(60_000) })), "split.count is 60000"],
    ["has a text for a count", parts(() => ({ "split.count": field.text("3") })), 'split.count is "3"'],
    [
      "has a tensor twice",
      {
        ...parts(),
        [nameOf(3)]: tinyGguf({ metadata: { "split.no": field.u16(2), "split.count": field.u16(3) } }),
      },
      "stands in two parts",
    ],
  ])("that %s is refused, and every part closed", async (_, files, message) => {
    const { folder, opening } = open(files);
    await expect(opening).rejects.toThrow(message);
    await expect(opening).rejects.toMatchObject({ code: "model-file" });
    expect(folder.opened.size).toBe(0);
  });

  test("opened by a later part is refused if the first says that it is the whole model", async () => {
    const files = parts(() => ({ "split.count": undefined }));
    await expect(open(files, nameOf(2)).opening).rejects.toThrow("it says that it is the whole model");
  });

  test("under other names is refused", async () => {
    const [part = new Uint8Array(0)] = Object.values(parts());
    await expect(open({ "renamed.gguf": part }, "renamed.gguf").opening).rejects.toThrow(
      "-00001-of-00003.gguf",
    );
  });
});
