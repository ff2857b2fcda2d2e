import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { ConfigError } from "../base/errors.ts";
import { chooseGpu, nameGpus, onlyGpu } from "./gpu-list.ts";
import { type NvidiaCard, nvidiaCards } from "./nvidia-cards.ts";

const H100 = "NVIDIA H100 80GB HBM3";
const card = (model: string, bus: string, minor: number): NvidiaCard => ({
  ...{ model, address: `0000:${bus}:00.0`, file: `/dev/nvidia${minor}` },
});
const CARDS = [card(H100, "0b", 1), card(H100, "1c", 0), card("NVIDIA L4", "2d", 2)];

test("a card without an equal opens by its name; equal ones by address, with every other card hidden", () => {
  const gpus = nameGpus([H100, H100, "NVIDIA L4", "llvmpipe"], CARDS);
  expect(gpus).toEqual([
    {
      ...{ index: 0, model: H100, name: `${H100} at 0000:0b:00.0`, address: "0000:0b:00.0" },
      hide: ["/dev/nvidia0", "/dev/nvidia2"],
    },
    {
      ...{ index: 1, model: H100, name: `${H100} at 0000:1c:00.0`, address: "0000:1c:00.0" },
      hide: ["/dev/nvidia1", "/dev/nvidia2"],
    },
    { index: 2, model: "NVIDIA L4", name: "NVIDIA L4", address: "0000:2d:00.0" },
    { index: 3, model: "llvmpipe", name: "llvmpipe" },
  ]);
});

test("a name within an earlier card's name does not open by name, since WebGPU would take the earlier card", () => {
  const cards = [card("NVIDIA A100 80GB", "01", 0), card("NVIDIA A100", "02", 1)];
  const [long, short] = nameGpus(["NVIDIA A100 80GB", "NVIDIA A100"], cards);
  expect(long?.hide).toBeUndefined();
  expect(short).toMatchObject({ name: "NVIDIA A100", hide: ["/dev/nvidia0"] });
  const [first, second] = nameGpus(["NVIDIA A100", "NVIDIA A100 80GB"], [...cards].reverse());
  expect([first?.hide, second?.hide]).toEqual([undefined, undefined]);
});

test("equal cards whose addresses the system does not tell cannot be opened, and say what would help", () => {
  const [first, second] = nameGpus(["AMD Radeon", "AMD Radeon"], CARDS);
  expect(first?.name).toBe("AMD Radeon (1 of 2)");
  expect(second?.name).toBe("AMD Radeon (2 of 2)");
  expect(second?.problem).toMatch(
    /offers 2 named "AMD Radeon".*PCI addresses of 0 of them.*Give the process one card/,
  );
  // of three that WebGPU offers, the driver's files tell of two
  expect(nameGpus([H100, H100, H100], CARDS)[2]?.problem).toContain("PCI addresses of 2 of them");
});

test("a device is a number, a name, an address or a part that one name has; others are errors that list the GPUs", () => {
  const gpus = nameGpus([H100, H100, "NVIDIA L4"], CARDS);
  const chosen = (device: string | number) => chooseGpu(gpus, device).index;
  expect([0, "1", 2].map(chosen)).toEqual([0, 1, 2]);
  expect(["NVIDIA L4", "l4", "L4 "].map(chosen)).toEqual([2, 2, 2]);
  expect(["0000:1c:00.0", "1C:00.0", `${H100} at 0000:1c:00.0`, "at 0000:1c"].map(chosen)).toEqual([
    1, 1, 1, 1,
  ]);
  expect(() => chosen(H100)).toThrow("means 2 of them; give a number");
  expect(() => chosen("nvidia")).toThrow("means 3 of them; give a number");
  for (const device of [3, "3", -1, 0.5, "", "AMD", "80"]) {
    expect(() => chosen(device), String(device)).toThrow(ConfigError);
    expect(() => chosen(device), String(device)).toThrow(
      `is not there; this machine has 0: ${H100} at 0000:0b:00.0, 1: ${H100} at 0000:1c:00.0, 2: NVIDIA L4`,
    );
  }
});

test("a process that sees one of equal cards calls it by its number among all, and refuses where it sees an equal", () => {
  const own = "1 0000:1c:00.0";
  expect(onlyGpu(nameGpus([H100], [card(H100, "1c", 0)]), own)).toMatchObject({
    index: 1,
    name: `${H100} at 0000:1c:00.0`,
  });
  expect(() => onlyGpu(nameGpus([H100, H100], CARDS), own)).toThrow(
    /sees no equal card.*unset the variable/s,
  );
  expect(() => onlyGpu(nameGpus(["NVIDIA L4"], CARDS), own)).toThrow("it sees 0: NVIDIA L4");
});

test("NVIDIA's files tell model, address and device file by PCI address; what lacks one of them is left out", () => {
  const folder = mkdtempSync(join(tmpdir(), "lessismore-nvidia-"));
  const write = (address: string, text: string) => {
    mkdirSync(join(folder, address));
    writeFileSync(join(folder, address, "information"), text);
  };
  write("0000:0C:00.0", `Model: \t\t ${H100}\nIRQ:   \t\t 104\nDevice Minor: \t 0\n`);
  write("0000:0b:00.0", `Model: \t\t ${H100}\nGPU UUID: \t GPU-1\nDevice Minor: \t 11\nGPU Excluded:\t No\n`);
  write("0000:2d:00.0", "Model: \t\t NVIDIA L4\n");
  try {
    expect(nvidiaCards(folder, "/dev")).toEqual([
      { model: H100, address: "0000:0b:00.0", file: "/dev/nvidia11" },
      { model: H100, address: "0000:0c:00.0", file: "/dev/nvidia0" },
    ]);
    expect(nvidiaCards(join(folder, "none"), "/dev")).toEqual([]);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
