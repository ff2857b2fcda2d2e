/** Tries ways to multiply q4_0 on a GPU: one matrix, no waits between workgroups. */
import { openDawn } from "../src/node/internal.ts";

const PIECES = 128;
const ROWS = 131072;
const STRIDE = 144; // vectors of a row

type Variant = { readonly head?: string; readonly x: "digits" | "floats"; readonly dot: string };

const DIGITS_DOT = (dot: string) => `
  let lo = q & vec4u(0x0f0f0f0fu);
  let hi = (q >> vec4u(4u)) & vec4u(0x0f0f0f0fu);
  let d0 = ${dot}(lo, x[0]) + ${dot}(hi, x[1]);
  let d1 = ${dot}(lo, x[2]) + ${dot}(hi, x[3]);
  let d2 = ${dot}(lo, x[4]) + ${dot}(hi, x[5]);
  return fma(f32(i32(d0) + (i32(d1) << 8u) + (i32(d2) << 16u)), scale, sum);`;
const bytesDot = (name: string, type: string, builtin: string) => `
fn ${name}(a: vec4u, b: vec4u) -> ${type} {
  return ${builtin}(a.x, b.x) + ${builtin}(a.y, b.y) + ${builtin}(a.z, b.z) + ${builtin}(a.w, b.w);
}`;
const each = (n: number, line: (i: number) => string) =>
  Array.from({ length: n }, (_, i) => line(i)).join("\n");
const C = "xyzw";

const VARIANTS: Record<string, Variant> = {
  "signed packed dot": { x: "digits", head: bytesDot("dt", "i32", "dot4I8Packed"), dot: DIGITS_DOT("dt") },
  "unsigned packed dot": { x: "digits", head: bytesDot("dt", "u32", "dot4U8Packed"), dot: DIGITS_DOT("dt") },
  "one digit": {
    x: "digits",
    head: bytesDot("dt", "i32", "dot4I8Packed"),
    dot: `let lo = q & vec4u(0x0f0f0f0fu);
  let hi = (q >> vec4u(4u)) & vec4u(0x0f0f0f0fu);
  return fma(f32(dt(lo, x[0]) + dt(hi, x[1])), scale, sum);`,
  },
  "loads only": {
    x: "digits",
    dot: "return sum + bitcast<f32>((q.x ^ q.y ^ q.z ^ q.w) & 0x007fffffu) * scale;",
  },
  "loads and x": {
    x: "digits",
    dot: "let y = x[0] ^ x[1] ^ x[2] ^ x[3] ^ x[4] ^ x[5]; let z = q ^ y; return sum + bitcast<f32>((z.x ^ z.y ^ z.z ^ z.w) & 0x007fffffu) * scale;",
  },
  "f32, exponent 1": {
    x: "floats",
    dot: `var s = 0f;
${each(4, (j) =>
  each(4, (b) => {
    const move = (from: number) =>
      from <= 19 ? `(q.${C[j]} << ${19 - from}u)` : `(q.${C[j]} >> ${from - 19}u)`;
    return `  s = fma(bitcast<f32>((${move(8 * b)} & 0x00780000u) | 0x3f800000u), x[${j}].${C[b]}, s);
  s = fma(bitcast<f32>((${move(8 * b + 4)} & 0x00780000u) | 0x3f800000u), x[${4 + j}].${C[b]}, s);`;
  }),
)}
  return fma(s, scale, sum);`,
  },
  "f32, exponent 1, two sums": {
    x: "floats",
    dot: `var s = 0f; var t = 0f;
${each(4, (j) =>
  each(4, (b) => {
    const move = (from: number) =>
      from <= 19 ? `(q.${C[j]} << ${19 - from}u)` : `(q.${C[j]} >> ${from - 19}u)`;
    return `  s = fma(bitcast<f32>((${move(8 * b)} & 0x00780000u) | 0x3f800000u), x[${j}].${C[b]}, s);
  t = fma(bitcast<f32>((${move(8 * b + 4)} & 0x00780000u) | 0x3f800000u), x[${4 + j}].${C[b]}, t);`;
  }),
)}
  return fma(s + t, scale, sum);`,
  },
  "f16 subnormal": {
    x: "floats",
    dot: `var s = 0f; var t = 0f;
${each(
  4,
  (j) => `
  { let a = unpack2x16float(q.${C[j]} & 0x000f000fu); let b = unpack2x16float(q.${C[j]} & 0x00f000f0u);
    let v = q.${C[j]} >> 8u;
    let c = unpack2x16float(v & 0x000f000fu); let d = unpack2x16float(v & 0x00f000f0u);
    s = fma(a.x, x[${j}].x, s); s = fma(a.y, x[${j}].y, s); s = fma(c.x, x[${j}].z, s); s = fma(c.y, x[${j}].w, s);
    t = fma(b.x, x[${4 + j}].x, t); t = fma(b.y, x[${4 + j}].y, t); t = fma(d.x, x[${4 + j}].z, t); t = fma(d.y, x[${4 + j}].w, t); }`,
)}
  return fma(s + t, scale, sum);`,
  },
  "f16 magic, packed subtraction": {
    head: "enable f16;",
    x: "floats",
    dot: `var s = 0f; var t = 0f;
${each(
  4,
  (j) => `
  { let v = q.${C[j]} >> 8u;
    let a = vec2f(bitcast<vec2h>((q.${C[j]} & 0x000f000fu) | 0x64006400u) - vec2h(1032h));
    let b = vec2f(fma(bitcast<vec2h>((q.${C[j]} & 0x00f000f0u) | 0x64006400u), vec2h(0.0625h), vec2h(-72h)));
    let c = vec2f(bitcast<vec2h>((v & 0x000f000fu) | 0x64006400u) - vec2h(1032h));
    let d = vec2f(fma(bitcast<vec2h>((v & 0x00f000f0u) | 0x64006400u), vec2h(0.0625h), vec2h(-72h)));
    s = fma(a.x, x[${j}].x, s); s = fma(a.y, x[${j}].y, s); s = fma(c.x, x[${j}].z, s); s = fma(c.y, x[${j}].w, s);
    t = fma(b.x, x[${4 + j}].x, t); t = fma(b.y, x[${4 + j}].y, t); t = fma(d.x, x[${4 + j}].z, t); t = fma(d.y, x[${4 + j}].w, t); }`,
)}
  return fma(s + t, scale, sum);`,
  },
  "f16 magic, x in two f16": {
    head: "enable f16;",
    x: "digits",
    dot: `var s = vec2h(); var t = vec2h();
${each(
  4,
  (j) => `
  { let v = q.${C[j]} >> 8u;
    let a = bitcast<vec2h>((q.${C[j]} & 0x000f000fu) | 0x64006400u) - vec2h(1032h);
    let b = fma(bitcast<vec2h>((q.${C[j]} & 0x00f000f0u) | 0x64006400u), vec2h(0.0625h), vec2h(-72h));
    let c = bitcast<vec2h>((v & 0x000f000fu) | 0x64006400u) - vec2h(1032h);
    let d = fma(bitcast<vec2h>((v & 0x00f000f0u) | 0x64006400u), vec2h(0.0625h), vec2h(-72h));
    s = fma(a, bitcast<vec2h>(x[${j}].x), s); t = fma(b, bitcast<vec2h>(x[${j}].y), t);
    s = fma(c, bitcast<vec2h>(x[${j}].z), s); t = fma(d, bitcast<vec2h>(x[${j}].w), t); }`,
)}
  let u = vec2f(s) + vec2f(t);
  return fma(u.x + u.y, scale, sum);`,
  },
};

const code = ({ head = "", x, dot }: Variant, rows: number, threads: number, turns: number) => {
  const count = x === "digits" ? 6 : 8;
  const type = x === "digits" ? "vec4u" : "vec4f";
  const enables = head.startsWith("enable") ? head : "";
  return `${enables}
enable subgroups;
@group(0) @binding(0) var<storage, read> weights: array<vec4u>;
@group(0) @binding(1) var<storage, read> xs: array<${type}>;
@group(0) @binding(2) var<storage, read_write> out: array<f32>;
var<workgroup> space: array<${type}, ${count * PIECES}>;
${enables ? "" : head}
fn dot_piece(q: vec4u, x: array<${type}, ${count}>, scale: f32, sum: f32) -> f32 {
${dot}
}
@compute @workgroup_size(${threads})
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let lane = thread % 32u;
  let warp = thread / 32u;
  var w: array<vec4u, ${rows}>; var s: array<u32, ${rows}>;
  let first = (group.x * ${turns}u * ${threads / 32}u + warp * ${turns}u) * ${rows}u;
${each(rows, (r) => `  w[${r}] = weights[(first + ${r}u) * ${STRIDE}u + lane]; s[${r}] = weights[(first + ${r}u) * ${STRIDE}u + 128u + lane / 8u][lane / 2u % 4u];`)}
  for (var i = thread; i < ${count * PIECES}u; i += ${threads}u) { space[i] = xs[i]; }
  workgroupBarrier();
  var sums: array<f32, ${rows}>;
  for (var step = 0u; step < ${turns * 4}u; step++) {
    var nw: array<vec4u, ${rows}>; var ns: array<u32, ${rows}>;
    if (step + 1u < ${turns * 4}u) {
      let row = (first + (step + 1u) / 4u * ${rows}u);
      let p = lane + (step + 1u) % 4u * 32u;
${each(rows, (r) => `      nw[${r}] = weights[(row + ${r}u) * ${STRIDE}u + p]; ns[${r}] = weights[(row + ${r}u) * ${STRIDE}u + 128u + p / 8u][p / 2u % 4u];`)}
    }
    let p = lane + step % 4u * 32u;
    var x: array<${type}, ${count}>;
${each(count, (i) => `    x[${i}] = space[${i * PIECES}u + p];`)}
${each(rows, (r) => `    sums[${r}] = dot_piece(w[${r}], x, unpack2x16float(s[${r}] >> (p % 2u * 16u)).x, sums[${r}]);`)}
    if (step % 4u == 3u) {
      let row = first + step / 4u * ${rows}u;
${each(rows, (r) => `      { let total = subgroupAdd(sums[${r}]); if (lane == 0u) { out[row + ${r}u] = total; } sums[${r}] = 0f; }`)}
    }
    w = nw; s = ns;
  }
}`;
};

const gpu = await openDawn();
const adapter = await gpu.requestAdapter({ powerPreference: "high-performance" });
if (!adapter) throw new Error("no adapter");
const device = await adapter.requestDevice({
  requiredFeatures: ["timestamp-query", "subgroups", "shader-f16"].filter((f) =>
    adapter.features.has(f),
  ) as GPUFeatureName[],
  requiredLimits: {
    maxBufferSize: adapter.limits.maxBufferSize,
    maxStorageBufferBindingSize: adapter.limits.maxStorageBufferBindingSize,
    maxComputeWorkgroupStorageSize: adapter.limits.maxComputeWorkgroupStorageSize,
    maxComputeInvocationsPerWorkgroup: adapter.limits.maxComputeInvocationsPerWorkgroup,
  },
});
const isSmall = process.argv[2] === "small";
const numRows = isSmall ? 1024 : ROWS;
const buffer = (size: number) => device.createBuffer({ size, usage: 0x80 | 0x8 | 0x4 });
const weights = buffer(numRows * STRIDE * 16);
const xs = buffer(8 * PIECES * 16);
const out = buffer(numRows * 4);
device.queue.writeBuffer(
  xs,
  0,
  new Uint32Array(8 * PIECES * 4).map((_, i) => Math.imul(i, 0x9e3779b9) & 0x3f3f3f3f),
);
const noise = new Uint32Array(1 << 18).map((_, i) => Math.imul(i + 1, 0x9e3779b9) & 0x3fff3fff);
for (let at = 0; at < weights.size; at += noise.byteLength)
  device.queue.writeBuffer(weights, at, noise, 0, Math.min(noise.length, (weights.size - at) / 4));
const set = device.createQuerySet({ type: "timestamp", count: 64 });
const resolved = device.createBuffer({ size: 512, usage: 0x200 | 0x4 });
const staging = device.createBuffer({ size: 512, usage: 0x1 | 0x8 });
for (const [name, variant] of Object.entries(VARIANTS)) {
  const cells: string[] = [];
  for (const [rows, threads, turns] of [
    [4, 256, 4],
    [8, 256, 2],
    [4, 128, 4],
    [2, 256, 8],
  ] as const) {
    try {
      const module = device.createShaderModule({ code: code(variant, rows, threads, turns) });
      const pipeline = await device.createComputePipelineAsync({ layout: "auto", compute: { module } });
      const bind = device.createBindGroup({
        layout: pipeline.getBindGroupLayout(0),
        entries: [weights, xs, out].map((buffer, binding) => ({ binding, resource: { buffer } })),
      });
      const encoder = device.createCommandEncoder();
      for (let i = 0; i < 12; i++) {
        const pass = encoder.beginComputePass({
          timestampWrites: {
            querySet: set,
            beginningOfPassWriteIndex: 2 * i,
            endOfPassWriteIndex: 2 * i + 1,
          },
        });
        pass.setPipeline(pipeline);
        pass.setBindGroup(0, bind);
        pass.dispatchWorkgroups(numRows / ((threads / 32) * rows * turns));
        pass.end();
      }
      encoder.resolveQuerySet(set, 0, 24, resolved, 0);
      encoder.copyBufferToBuffer(resolved, 0, staging, 0, 192);
      device.queue.submit([encoder.finish()]);
      await staging.mapAsync(1);
      const times = new BigUint64Array(staging.getMappedRange().slice(0));
      staging.unmap();
      const us = Array.from(
        { length: 12 },
        (_, i) => Number((times[2 * i + 1] ?? 0n) - (times[2 * i] ?? 0n)) / 1000,
      ).sort((a, b) => a - b);
      cells.push(
        `${rows}x${threads}x${turns}: ${us[3]?.toFixed(1)} us ${(weights.size / (us[3] ?? 1) / 1000).toFixed(0)} GB/s`,
      );
    } catch (error) {
      cells.push(String(error).slice(0, 200));
    }
  }
  console.log(name.padEnd(30), cells.join(" | "));
}
process.exit(0);
