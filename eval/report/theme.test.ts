import { expect, it } from "vitest";
import { resolveColours, THEME } from "./theme.ts";

type Triple = readonly [number, number, number];
type Matrix = readonly [Triple, Triple, Triple];

/** What each eye sees of linear sRGB: Machado, Oliveira, Fernandes 2009, severity 1. */
const EYES: Readonly<Record<string, Matrix>> = {
  normal: [
    [1, 0, 0],
    [0, 1, 0],
    [0, 0, 1],
  ],
  protan: [
    [0.152286, 1.052583, -0.204868],
    [0.114503, 0.786281, 0.099216],
    [-0.003882, -0.048116, 1.051998],
  ],
  deutan: [
    [0.367322, 0.860646, -0.227968],
    [0.280085, 0.672501, 0.047413],
    [-0.01182, 0.04294, 0.968881],
  ],
  tritan: [
    [1.255528, -0.076749, -0.178779],
    [-0.078411, 0.930809, 0.147602],
    [0.004733, 0.691367, 0.3039],
  ],
};
/** OKLab (Ottosson 2020). */
const TO_LMS: Matrix = [
  [0.4122214708, 0.5363325363, 0.0514459929],
  [0.2119034982, 0.6806995451, 0.1073969566],
  [0.0883024619, 0.2817188376, 0.6299787005],
];
const TO_LAB: Matrix = [
  [0.2104542553, 0.793617785, -0.0040720468],
  [1.9779984951, -2.428592205, 0.4505937099],
  [0.0259040371, 0.7827717662, -0.808675766],
];

function apply(matrix: Matrix, [x, y, z]: Triple): Triple {
  const dot = ([a, b, c]: Triple) => a * x + b * y + c * z;
  return [dot(matrix[0]), dot(matrix[1]), dot(matrix[2])];
}

function linear(hex: string): Triple {
  const at = (start: number) => {
    const value = Number.parseInt(hex.slice(start, start + 2), 16) / 255;
    return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
  };
  return [at(1), at(3), at(5)];
}

function lab(hex: string, eye: Matrix): Triple {
  const [r, g, b] = apply(eye, linear(hex));
  const clipped: Triple = [
    Math.max(0, Math.min(1, r)),
    Math.max(0, Math.min(1, g)),
    Math.max(0, Math.min(1, b)),
  ];
  const [l, m, s] = apply(TO_LMS, clipped);
  return apply(TO_LAB, [Math.cbrt(l), Math.cbrt(m), Math.cbrt(s)]);
}

it.each(
  Object.entries(EYES),
)("any two series differ by 9 or more for a %s eye, in both schemes", (_, eye) => {
  for (const colours of Object.values(THEME)) {
    const seen = Array.from({ length: 8 }, (__, i) => lab(colours[`series-${i + 1}`] ?? "", eye));
    for (const [i, a] of seen.entries())
      for (const b of seen.slice(0, i))
        expect(100 * Math.hypot(a[0] - b[0], a[1] - b[1], a[2] - b[2])).toBeGreaterThanOrEqual(9);
  }
});

it("every series has 2:1 or more against the surface, text 4.5:1, in both schemes", () => {
  for (const colours of Object.values(THEME)) {
    const contrast = (name: string) => contrastOf(colours[name] ?? "", colours.surface ?? "");
    for (let i = 1; i <= 8; i++) expect(contrast(`series-${i}`)).toBeGreaterThan(2);
    for (const name of ["ink", "ink-2", "accent", "flag"]) expect(contrast(name)).toBeGreaterThan(4.5);
  }
});

function contrastOf(a: string, b: string): number {
  const luminance = (hex: string) => {
    const [r = 0, g = 0, blue = 0] = [1, 3, 5].map((at) => {
      const value = Number.parseInt(hex.slice(at, at + 2), 16) / 255;
      return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * blue;
  };
  const [dark = 0, light = 0] = [luminance(a), luminance(b)].sort((x, y) => x - y);
  return (light + 0.05) / (dark + 0.05);
}

it("resolves every variable, and refuses one it does not know", () => {
  expect(resolveColours('fill="var(--ink)" stroke="var(--series-1)"', "light")).toBe(
    'fill="#111110" stroke="#2a78d6"',
  );
  expect(() => resolveColours("var(--nothing)", "dark")).toThrow("no colour nothing");
});
