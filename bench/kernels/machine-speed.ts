/** Clock and arithmetic ceiling of the machine, from which floors are computed. The WASM modules are written out byte by byte. */

const I32 = 0x7f;
const V128 = 0x7b;
const [LOCAL_GET, LOCAL_SET, LOCAL_TEE, I32_CONST, I32_SUB, I32_MUL] = [0x20, 0x21, 0x22, 0x41, 0x6b, 0x6c];
const [LOOP, BR_IF, END, SIMD, SPLAT, ADD, MUL, NO_RESULT] = [0x03, 0x0d, 0x0b, 0xfd, 0x13, 0xe4, 0xe6, 0x40];
const F32_CONST = 0x43;

/** 3 cycles: the latency of a 32-bit multiplication on every x86-64 and ARM core this is likely to meet. */
const MULTIPLY_CYCLES = 3;
const TURNS = 300_000;

/** GHz of this core while it computes: a chain of dependent multiplications. */
export function clockGigahertz(): number {
  const multiplies = 10;
  const square = [LOCAL_GET, 1, LOCAL_GET, 1, I32_MUL, LOCAL_SET, 1];
  const run = compile(I32, 1, [I32_CONST, 3, LOCAL_SET, 1], Array(multiplies).fill(square).flat());
  return (TURNS * multiplies * MULTIPLY_CYCLES) / fastest(run) / 1e6;
}

/** Multiply-adds of f32 a nanosecond that 128-bit vectors without a fused instruction reach, loads left out. */
export function arithmeticCeiling(): number {
  // 13 independent chains and two constants use all registers that V8 hands out
  const chains = 13;
  const constant = (bytes: readonly number[]) => [F32_CONST, ...bytes, SIMD, SPLAT];
  const half = constant([0, 0, 0, 0x3f]);
  const one = constant([0, 0, 0x80, 0x3f]);
  const first = Array.from({ length: chains + 2 }, (_, i) => [
    ...(i === 0 ? half : one),
    LOCAL_SET,
    i + 1,
  ]).flat();
  const step = Array.from({ length: chains }, (_, i) => [
    ...[LOCAL_GET, i + 3, LOCAL_GET, 1, SIMD, MUL, 1],
    ...[LOCAL_GET, 2, SIMD, ADD, 1, LOCAL_SET, i + 3],
  ]).flat();
  const sum = Array.from({ length: chains - 1 }, (_, i) => [LOCAL_GET, i + 4, SIMD, ADD, 1]).flat();
  const run = compile(V128, chains + 2, first, step, [LOCAL_GET, 3, ...sum, SIMD, 0x1f, 0, 0xa8]);
  return (TURNS * chains * 4) / fastest(run) / 1e6;
}

/** (func (param i32) (result i32)): `before`, then as many turns of `body` as the parameter says, then `after`. */
function compile(
  type: number,
  locals: number,
  before: readonly number[],
  body: readonly number[],
  after: readonly number[] = [LOCAL_GET, 1],
): (turns: number) => number {
  const countDown = [LOCAL_GET, 0, I32_CONST, 1, I32_SUB, LOCAL_TEE, 0, BR_IF, 0, END];
  const code = [1, locals, type, ...before, LOOP, NO_RESULT, ...body, ...countDown, ...after, END];
  const bytes = new Uint8Array([
    ...[0, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
    ...section(1, [1, 0x60, 1, I32, 1, I32]),
    ...section(3, [1, 0]),
    ...section(7, [1, 1, 0x66, 0, 0]),
    ...section(10, [1, ...length(code.length), ...code]),
  ]);
  const { f } = new WebAssembly.Instance(new WebAssembly.Module(bytes)).exports;
  if (typeof f !== "function") throw new TypeError("the module exports no function f");
  return f as (turns: number) => number;
}

function section(id: number, content: readonly number[]): number[] {
  return [id, ...length(content.length), ...content];
}

function length(n: number): number[] {
  return n < 128 ? [n] : [(n & 127) | 128, n >> 7];
}

/** Milliseconds of the fastest of many runs. */
function fastest(run: (turns: number) => number): number {
  let least = Number.POSITIVE_INFINITY;
  for (let i = 0; i < 50; i++) {
    const started = performance.now();
    run(TURNS);
    least = Math.min(least, performance.now() - started);
  }
  return least;
}
