/** The assembler of kernels evaluates like the WGSL compiler and refuses everything else. */
import { describe, expect, it } from "vitest";
import { assembleTexts, type Constants, textOf } from "../../src/backend/webgpu/shader.ts";
import { type ConstantValue, evaluate } from "../../src/backend/webgpu/shader-expression.ts";
import { BackendError } from "../../src/base/errors.ts";
import { openNullGpu } from "./null-gpu.ts";

const NAMES = new Map<string, ConstantValue>([
  ["N", { type: "u32", value: 7 }],
  ["M", { type: "i32", value: -7 }],
  ["X", { type: "f32", value: 0.5 }],
  ["IS", { type: "bool", value: 1 }],
]);
const DECLARED = "const N: u32 = 7; const M: i32 = -7; const X: f32 = 0.5; const IS: bool = true;";

/** Expressions with their values in WGSL. */
const EXPRESSIONS: readonly (readonly [expression: string, value: string])[] = [
  ["N % 4u", "3u"],
  ["M % 4", "-3i"],
  ["M / 2", "-3i"],
  ["N / 2", "3u"],
  ["7 / 2", "3"],
  ["7 / 2.0", "3.5"],
  ["N * 3u + 1u", "22u"],
  ["1u + N * 3u", "22u"],
  ["(1u + N) * 3u", "24u"],
  ["N - 5u - 1u", "1u"],
  ["3u - N", "4294967292u"],
  ["N * 0x80000000u", "2147483648u"],
  ["2147483647i + 1i", "-2147483647i - 1i"],
  ["N << 2u", "28u"],
  ["N >> 1u", "3u"],
  ["M >> 1u", "-4i"],
  ["N << (1u + 1u)", "28u"],
  ["N & 3u", "3u"],
  ["N | 8u | 16u", "31u"],
  ["N ^ 1u", "6u"],
  ["~N", "4294967288u"],
  ["-M", "7i"],
  ["N < 8u", "true"],
  ["N <= 6u", "false"],
  ["N >= 7u", "true"],
  ["N > 7u", "false"],
  ["N == 7", "true"],
  ["N != 7", "false"],
  ["N < 8u && M < 0", "true"],
  ["N > 8u || IS", "true"],
  ["!IS", "false"],
  ["IS & false", "false"],
  ["select(1u, 2u, N == 7u)", "2u"],
  ["select(N, 2, false)", "7u"],
  ["min(N, 3)", "3u"],
  ["max(N / 32u, 1u)", "1u"],
  ["clamp(N, 1u, 4u)", "4u"],
  ["abs(M)", "7i"],
  ["u32(M)", "4294967289u"],
  ["u32(2.9)", "2u"],
  ["i32(N)", "7i"],
  ["f32(N) * X", "3.5f"],
  ["-3e2 + 1f", "-299f"],
  ["0x1p4", "16.0"],
  ["0x1Fu", "31u"],
  [".5 + 1.", "1.5"],
];

/** Valid WGSL beyond the needs of kernels. */
const NOT_KNOWN_HERE = ["countOneBits(N)", "9007199254740993"];

/** Invalid or unsupported constant expressions. */
const REFUSED: readonly (readonly [expression: string, problem: RegExp])[] = [
  ["K / 2u", /"K" is no constant/],
  ["N +", /ends too soon/],
  ["N 2u", /unexpected "2u"/],
  ["(N", /expected "\)"/],
  ["N = 7u", /"= 7u" is no part/],
  ["N ? 1 : 2", /no part of a constant expression/],
  ["countOneBits(N)", /unknown function "countOneBits"/],
  ["select(1u, 2u)", /takes 3 arguments/],
  ["select(1u, 2u, N)", /wants a bool/],
  ["max(N)", /takes 2 arguments/],
  ["N + M", /u32 and i32 do not go together/],
  ["N + 1.5", /u32 and a float do not go together/],
  ["N + IS", /do not go together/],
  ["N - -1", /-1 is an integer and no u32/],
  ["-N", /"-" does not take u32/],
  ["!N", /"!" does not take u32/],
  ["~X", /"~" does not take f32/],
  ["N / 0u", /7 \/ 0/],
  ["N % 0u", /7 % 0/],
  ["N << 32u", /shifts by 32/],
  ["N << 30u", /shifts bits out/],
  ["X << 1u", /does not take f32/],
  ["N << 1u + 1u", /unexpected "\+"/],
  ["N & 3u == 3u", /unexpected "=="/],
  ["N < 8u < 9u", /unexpected "<"/],
  ["IS && IS || IS", /unexpected "\|\|"/],
  ["1h", /f16/],
  ["4294967296u", /no u32/],
  ["9007199254740993", /too large/],
];

function refuse(problem: string): never {
  throw new Error(problem);
}

function evaluated(expression: string): ConstantValue {
  return evaluate(expression, NAMES, refuse);
}

const { gpu, reason } = await openNullGpu();
if (reason !== undefined) console.warn(`comparing with the WGSL compiler is skipped: ${reason}`);

describe("constant expressions", () => {
  it.each(EXPRESSIONS)("%s is %s", (expression, value) => {
    expect(evaluated(expression)).toEqual(evaluated(value));
  });

  it.skipIf(gpu === undefined)("the WGSL compiler gives the same values", async () => {
    const asserts = EXPRESSIONS.map(([expression, value]) => `const_assert (${expression}) == ${value};`);
    expect(await errorsOf([DECLARED, ...asserts])).toEqual([]);
    expect(await errorsOf([DECLARED, "const_assert N % 4u == 2u;"])).toHaveLength(1);
  });

  it.skipIf(gpu === undefined)("the WGSL compiler also refuses the invalid ones", async () => {
    for (const [expression] of REFUSED) {
      const errors = await errorsOf([DECLARED, `const RESULT = ${expression};`]);
      expect([expression, errors.length > 0]).toEqual([expression, !NOT_KNOWN_HERE.includes(expression)]);
    }
  });

  it.each(REFUSED)("%s is refused", (expression, problem) => {
    expect(() => evaluated(expression)).toThrow(problem);
  });
});

/** Returns the lines of a text that the compiler refuses. */
async function errorsOf(lines: readonly string[]): Promise<string[]> {
  const adapter = await gpu?.requestAdapter();
  const device = await adapter?.requestDevice();
  if (!device) throw new Error("Dawn's null backend gave no device");
  device.pushErrorScope("validation");
  const { messages } = await device.createShaderModule({ code: lines.join("\n") }).getCompilationInfo();
  await device.popErrorScope();
  device.destroy();
  return messages.map(({ lineNum, message }) => `${lines[lineNum - 1]}: ${message}`);
}

function assemble(text: string, constants: Constants = {}, prelude = "") {
  return assembleTexts({ "prelude.wgsl": prelude, "kernel.wgsl": text }, { constants, hasImmediates: false });
}

/** Removes blank lines. */
function linesOf(text: string): string[] {
  return text.split("\n").flatMap((line) => line.trim() || []);
}

const LOOP = (bound: string) => `/* unroll */ for (var i = 0u; i < ${bound}; i++) {\n  f(i);\n}`;

describe("an assembled kernel", () => {
  it("has its constants, unrolled loops, directives first and numbered buffers", () => {
    const shader = assemble(
      `// a comment\nenable f16;\nvar<uniform> params: Params;\nstruct Params {\n  a: u32, // one\n  b: Two,\n}\n` +
        "var<storage, read_write> out: array<f32>;\noverride N: u32;\nconst TWICE: u32 = N % 3u * 2u;\n" +
        `fn main() {\n${LOOP("TWICE")}\n}`,
      { N: 4, SCALE: 2 },
      "override N: u32; // the same\noverride SCALE: f32;\nvar<storage, read> x: array<f32>;\nstruct Two {\n  c: i32,\n  d: f32,\n}",
    );
    expect(linesOf(textOf(shader))).toEqual(
      linesOf(`enable f16;
        const N: u32 = 4u;
        const SCALE: f32 = 2.0;
        @group(0) @binding(1) var<storage, read> x: array<f32>;
        struct Two {
        c: i32,
        d: f32,
        }
        // a comment
        @group(0) @binding(0) var<uniform> params: Params;
        struct Params {
        a: u32, // one
        b: Two,
        }
        @group(0) @binding(2) var<storage, read_write> out: array<f32>;
        const TWICE: u32 = N % 3u * 2u;
        fn main() {
        { const i = 0u;
        f(i);
        }
        { const i = 1u;
        f(i);
        }
        }`),
    );
    expect(shader.bindings).toEqual([
      { name: "x", access: "read", number: 1 },
      { name: "out", access: "read_write", number: 2 },
    ]);
    const two = [
      { name: "c", type: "i32" },
      { name: "d", type: "f32" },
    ];
    expect(shader.params).toEqual([
      { name: "a", type: "u32" },
      { name: "b", type: "struct", fields: two },
    ]);
  });

  it("maps each line to its file and number, in nested loops too", () => {
    const shader = assemble(
      `fn main() {\n/* unroll */ for (var k = 0u; k < 2u; k++) {\n${LOOP("k + 1u")}\n}\n}`,
    );
    const calls = shader.lines.filter(({ text }) => text.includes("f(i)"));
    expect(calls.map(({ file, number }) => `${file}:${number}`)).toEqual(Array(3).fill("kernel.wgsl:4"));
  });

  it.each<[string, string, Constants, string]>([
    [
      "a constant without a value",
      "override N: u32;",
      {},
      "kernel kernel.wgsl: no value was given for N (kernel.wgsl:1)",
    ],
    ["a value without a constant", "", { N: 1 }, "kernel kernel.wgsl: no override is declared for N"],
    ["a value for a const", "const N: u32 = 1u;", { N: 1 }, "no override is declared for N"],
    [
      "a fraction for a u32",
      "override N: u32;",
      { N: 1.5 },
      "kernel.wgsl:1: N: expected u32, got 1.5\n  override N: u32;",
    ],
    ["a negative u32", "override N: u32;", { N: -1 }, "-1 is an integer and no u32"],
    ["a number for a bool", "override N: bool;", { N: 1 }, "expected bool, got 1"],
    ["a bool for a number", "override N: f32;", { N: true }, "expected f32, got true"],
    ["NaN", "override N: f32;", { N: Number.NaN }, "expected f32, got NaN"],
    [
      "an unknown bound",
      `\n${LOOP("K")}`,
      {},
      'kernel.wgsl:2: "K" is no constant that is known here\n  /* unroll */ for',
    ],
    ["a float as bound", LOOP("2.0"), {}, "2 is a float and no u32"],
    ["a bound below zero", LOOP("1 - 2"), {}, "-1 is an integer and no u32"],
    ["a bound that wraps around", LOOP("1u - 2u"), {}, "4294967295 turns are more than the 1024"],
    [
      "a marked loop of another form",
      "/* unroll */ for (var i = 1u; i < 2u; i++) {\n}",
      {},
      "expected /* unroll */ for",
    ],
    [
      "a marked loop without an end",
      "/* unroll */ for (var i = 0u; i < 2u; i++) {\n{\n}",
      {},
      "does not end",
    ],
    ["a brace beside the end of a marked loop", `${LOOP("1u")} else {`, {}, "must stand alone"],
    ["a comment that may hide braces", "/* } */", {}, "use //"],
    ["an untyped constant", "const N = 1u;", {}, "expected const NAME"],
    ["a constant of another type", "const N: u32 = 1.5;", {}, "1.5 is a float and no u32"],
    ["a default of an override", "override N: u32 = 1u;", {}, "expected override NAME"],
    ["an override within a function", "  override N: u32;", {}, "at the start of a line"],
    [
      "a binding with a number",
      "@group(0) @binding(1) var<storage, read> x: array<f32>;",
      {},
      "leave the attribute out",
    ],
    ["a variable of another kind", "var<handle> x: texture;", {}, "expected var<uniform>"],
    [
      "two uniforms",
      "struct P {\n  a: u32,\n}\nvar<uniform> a: P;\nvar<uniform> b: P;",
      {},
      "has one uniform",
    ],
    [
      "two bindings of one name",
      "var<storage, read> x: f32;\nvar<storage, read> x: f32;",
      {},
      "declared twice",
    ],
    ["a vector as parameter", "struct P {\n  a: vec4f,\n}\nvar<uniform> p: P;", {}, "expected struct vec4f"],
    ["parameters without a struct", "var<uniform> p: u32;", {}, "expected struct u32"],
  ])("%s is refused", (_, text, constants, message) => {
    const assembling = () => assemble(text, constants);
    expect(assembling).toThrow(BackendError);
    expect(assembling).toThrow(message);
  });

  it("refuses more parameters than immediates hold", () => {
    const fields = Array.from({ length: 17 }, (_, i) => `  f${i}: u32,`);
    expect(() => assemble(`struct P {\n${fields.join("\n")}\n}\nvar<uniform> p: P;`)).toThrow(
      "P has 17 words; 16 come",
    );
  });

  it("refuses a constant that two files declare differently", () => {
    expect(() => assemble("const N: u32 = 2u;", {}, "const N: u32 = 1u;")).toThrow(
      "declared before, otherwise",
    );
  });
});
