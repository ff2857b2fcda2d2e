// Are the kernels of two builds the same but for names, comments, binding numbers and the order of declarations?
// `node scripts/kernel-texts.mjs write FILE` keeps the texts that Dawn's null backend is given, for a GPU of NVIDIA's traits and
// a browser without subgroups; `node scripts/kernel-texts.mjs compare FILE FILE` says which differ. Needs a build in dist/.
import { readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const fromDist = (path) => import(pathToFileURL(join(root, "dist", path)).href);

const CORE = {
  ...{ minSubgroupSize: 0, maxSubgroupSize: 1, maxInvocations: 256, workgroupBytes: 16384 },
  ...{ bindingBytes: 128 << 20, storageBuffers: 8, forwardProgress: undefined, isSoftware: false },
  ...{ hasF16: false, hasImmediates: false, subgroupMatrix: undefined },
};
const NVIDIA = {
  ...{ minSubgroupSize: 32, maxSubgroupSize: 32, maxInvocations: 1024, workgroupBytes: 49152 },
  ...{ bindingBytes: 2 ** 31, storageBuffers: 16, forwardProgress: "ordered-launch", isSoftware: false },
  ...{ hasF16: true, hasImmediates: true, subgroupMatrix: { m: 16, n: 16, k: 16 } },
};
const SIZES = {
  maxSequenceLength: 16384,
  maxBatchRows: 128,
  maxBatchSequences: 4,
  vocabSize: 2048,
  maxPages: 8,
};
const SHAPES = [
  { ...SIZES, headDim: 128, numKvHeads: 2, numQueryHeads: 8, hiddenSize: 512, intermediateSize: 1024 },
  { ...SIZES, headDim: 80, numKvHeads: 1, numQueryHeads: 5, hiddenSize: 400, intermediateSize: 700 },
];

async function texts() {
  const { create } = await import("webgpu");
  const { requestWebGpuDevice, webGpuFactory } = await fromDist("src/backend/webgpu/open-webgpu.js");
  const { recordEveryStep } = await fromDist("test/webgpu/every-step.js");
  const { sizesOf } = await fromDist("test/sizes.js");
  const { withAllPages } = await fromDist("src/backend/with-all-pages.js");
  const gpu = create(["backend=null", "enable-dawn-features=allow_unsafe_apis"]);
  const found = new Set();
  for (const traits of [NVIDIA, CORE]) {
    const adapter = await gpu.requestAdapter();
    const device = await requestWebGpuDevice(adapter);
    device.pushErrorScope("validation"); // the null device is too small for some of the kernels
    const { createShaderModule } = device;
    device.createShaderModule = (descriptor) => {
      found.add(descriptor.code);
      return createShaderModule.call(device, descriptor);
    };
    for (const cacheDtype of ["f16", "f32"])
      for (const shape of SHAPES) {
        const open = withAllPages(webGpuFactory(adapter, { cacheDtype, traits, device }));
        const backend = await open(...sizesOf(shape));
        await recordEveryStep(backend, ["f32", "f16", "bf16"]);
        await backend.close();
      }
    device.destroy();
  }
  return [...found];
}

/** Declarations that `main` reaches, in the order in which it does, with the names of the text numbered in that order. */
function canonical(text) {
  let bare = text
    .replaceAll(/\/\/.*$/gm, "")
    .replaceAll(/@group\(\d\) @binding\(\w+\) /g, "")
    .replaceAll(/^(enable|diagnostic).*$/gm, "");
  // nothing is known by two names: aliases stand for their types
  for (const [alias, name, type] of bare.matchAll(/^alias (\w+) = (.*);$/gm))
    bare = bare.replace(alias, "").replaceAll(new RegExp(`\\b${name}\\b`, "g"), type);
  const items = new Map();
  const names = new Set();
  for (const item of topLevel(bare)) {
    const name = /^(?:@\S+(?:\([^)]*\))?\s*)*(?:var(?:<[^>]*>)?|\w+)\s+(\w+)/.exec(item)?.[1];
    items.set(name, item);
  }
  for (const [, name] of bare.matchAll(/(?:\b(?:let|const|fn|struct|alias|var(?:<[^>]*>)?)\s+)(\w+)/g))
    names.add(name);
  for (const [, name] of bare.matchAll(/\b(\w+)\s*:/g)) names.add(name);
  const global = numbering("g");
  const fields = numbering("f");
  const topNames = new Set(items.keys());
  const out = [];
  const queue = ["main"];
  for (let name = queue.shift(); name !== undefined; name = queue.shift()) {
    const item = items.get(name);
    if (item === undefined) continue;
    items.delete(name);
    const local = numbering("l");
    const rename = (_, dot, word, colon) => {
      const isField = dot !== "" || (item.startsWith("struct") && colon !== "");
      if (!names.has(word) || (dot !== "" && /^[xyzw]{1,4}$/.test(word))) return dot + word + colon;
      if (isField) return dot + fields(word) + colon;
      if (!topNames.has(word)) return local(word) + colon;
      queue.push(word);
      return global(word) + colon;
    };
    out.push(item.replaceAll(/(\.?)\b([A-Za-z_]\w*)\b(\s*:|)/g, rename));
  }
  const blanks = (item) => item.replaceAll(/\s+/g, " ").replaceAll(/ ?([{}();,:]) ?/g, "$1");
  return out.map((item) => blanks(item).trim()).join("\n");
}

/** Names things by the order in which they are first met. */
function numbering(letter) {
  const numbers = new Map();
  return (word) => {
    if (!numbers.has(word)) numbers.set(word, `${letter}${numbers.size}`);
    return numbers.get(word);
  };
}

function topLevel(text) {
  const items = [];
  let depth = 0;
  let start = 0;
  for (let at = 0; at < text.length; at++) {
    const letter = text[at];
    if ("({[".includes(letter)) depth++;
    if (")}]".includes(letter)) depth--;
    if (depth > 0 || (letter !== ";" && letter !== "}")) continue;
    const item = text.slice(start, at + 1).trim();
    if (item !== ";" && item !== "") items.push(item);
    start = at + 1;
  }
  return items;
}

function compare(before, after) {
  const [a, b] = [before, after].map(
    (file) => new Map(JSON.parse(readFileSync(file, "utf8")).map((text) => [canonical(text), text])),
  );
  const gone = [...a].filter(([key]) => !b.has(key));
  const made = [...b].filter(([key]) => !a.has(key));
  console.log(
    `${a.size} kernels before, ${b.size} after, ${gone.length} only before, ${made.length} only after`,
  );
  for (const [sign, list] of [
    ["-", gone],
    ["+", made],
  ])
    for (const [key] of list) console.log(`${sign} ${key.slice(0, 20000)}\n`);
  return gone.length + made.length === 0;
}

const [command, ...files] = process.argv.slice(2);
if (command === "write" && files.length === 1) writeFileSync(files[0], JSON.stringify(await texts()));
else if (command === "compare" && files.length === 2) process.exit(compare(...files) ? 0 : 1);
else throw new Error("kernel-texts: write FILE, or compare FILE FILE");
process.exit(0);
