import { ModelFileError } from "../../base/errors.ts";
import { GATE_FILE, GATE_FILES } from "../gates/gate-file.ts";
import { ggufModels } from "../gguf/split-files.ts";
import { nearNames } from "./hub-refusal.ts";
import { formatHubModel, type HubModel } from "./model-location.ts";

/** Texts of a checkpoint that the engine reads if they are there. */
export const TEXT_FILES = [
  "config.json",
  "generation_config.json",
  "tokenizer.json",
  "tokenizer_config.json",
  "special_tokens_map.json",
  "chat_template.jinja",
];
const INDEX_FILE = "model.safetensors.index.json";
const SINGLE_FILE = "model.safetensors";
const PART = /^(.*)-(\d{5})-of-(\d{5})\.gguf$/i;

/** The files of a repository that a model needs. */
export interface ChosenFiles {
  /** Paths to fetch, small ones first. */
  readonly paths: readonly string[];
  /** The weight file that was named or picked, the first of its parts; undefined for a folder of safetensors. */
  readonly file?: string;
  /** An index whose shards are among the paths still to be chosen, by `shardsOf`. */
  readonly index?: string;
}

/**
 * Chooses the files that a model needs from a list of paths: a GGUF file with all its parts, or the texts and safetensors
 * of a checkpoint. Never picks one of several quantisations by itself.
 * @throws ModelFileError when the list lacks what was named, with the nearest names.
 */
export function chooseFiles(model: HubModel, paths: readonly string[]): ChosenFiles {
  const { file, quant } = model;
  if (model.contents === "gate") return chooseGate(model, paths);
  if (file !== undefined) return chooseNamed(model, file, paths);
  if (quant !== undefined) return ggufFiles(pickQuant(model, quant, paths), paths);
  const listed = new Set(paths);
  if (listed.has("config.json") && (listed.has(SINGLE_FILE) || listed.has(INDEX_FILE))) {
    // a gate beside the model is that of attention which names none
    const texts = [...TEXT_FILES, GATE_FILE].filter((path) => listed.has(path));
    if (listed.has(SINGLE_FILE)) return { paths: [...texts, SINGLE_FILE] };
    return { paths: [...texts, INDEX_FILE], index: INDEX_FILE };
  }
  const models = ggufModels(paths);
  const [only] = models;
  if (only !== undefined && models.length === 1) return ggufFiles(only, paths);
  if (models.length > 1) throw severalFiles(model, models);
  throw new ModelFileError(`opening ${formatHubModel(model)}: ${describeOthers(paths)}`);
}

/** The first file of a gate that is listed, and its config.json. @throws ModelFileError if there is none */
function chooseGate(model: HubModel, paths: readonly string[]): ChosenFiles {
  const found = GATE_FILES.find((path) => paths.includes(path));
  if (found !== undefined)
    return { paths: paths.includes("config.json") ? ["config.json", found] : [found], file: found };
  throw new ModelFileError(
    `opening ${formatHubModel(model)}: it has none of ${GATE_FILES.join(", ")}, so it is no gate of SeerAttention-R for decoding`,
  );
}

/** The shards that an index names, those that the repository has. */
export function shardsOf(index: unknown, paths: readonly string[]): readonly string[] {
  const map =
    typeof index === "object" && index !== null && "weight_map" in index ? index.weight_map : undefined;
  const named = new Set(typeof map === "object" && map !== null ? Object.values(map) : []);
  return paths.filter((path) => named.has(path));
}

function chooseNamed(model: HubModel, file: string, paths: readonly string[]): ChosenFiles {
  if (!paths.includes(file)) {
    const near = nearNames(
      file,
      paths.filter((path) => /\.(gguf|safetensors)$/i.test(path)),
    );
    throw new ModelFileError(
      `opening ${formatHubModel(model)}: ${model.repo} has no file ${file}` +
        `${near.length > 0 ? `; did you mean ${near.join(" or ")}?` : "; check the name at its page on the hub"}`,
    );
  }
  if (/\.gguf$/i.test(file)) return ggufFiles(file, paths);
  const folder = file.includes("/") ? file.slice(0, file.lastIndexOf("/") + 1) : "";
  const texts = TEXT_FILES.map((path) => `${folder}${path}`).filter((path) => paths.includes(path));
  return { paths: [...texts, file], file };
}

/** A GGUF file and, if it is one of several parts, all of them. @throws ModelFileError when a part is missing. */
function ggufFiles(file: string, paths: readonly string[]): ChosenFiles {
  const [, stem, , count] = PART.exec(file) ?? [];
  if (stem === undefined || count === undefined) return { paths: [file], file };
  const parts = Array.from(
    { length: Math.min(Number(count), 10_000) },
    (_, i) => `${stem}-${String(i + 1).padStart(5, "0")}-of-${count}.gguf`,
  );
  const missing = parts.find((part) => !paths.includes(part));
  if (missing !== undefined)
    throw new ModelFileError(
      `opening ${file}: it is one of ${Number(count)} parts, and ${missing} is not there`,
    );
  return { paths: parts, file: parts[0] ?? file };
}

/**
 * The file of a quantisation. The quantisation in a file's name must be the whole one that is asked for: `UD-Q4_K_M` is not
 * `Q4_K_M`. In other names (`fp16`, `Q4_0-imat`) the word stands between separators.
 * @throws ModelFileError on none and on several.
 */
function pickQuant(model: HubModel, quant: string, paths: readonly string[]): string {
  const models = ggufModels(paths);
  const asked = quant.toLowerCase();
  const plain = models.filter((path) => quantOf(path).toLowerCase() === asked);
  const word = quant.replace(/[.\\+*?[^\]$(){}=!<>|:\-#]/g, "\\$&");
  const pattern = new RegExp(`(^|[-./])(?<!UD[-_.])${word}(?=[-./]|$)`, "i");
  const found =
    plain.length > 0 ? plain : models.filter((path) => quantOf(path) === path && pattern.test(path));
  const [one] = found;
  if (one !== undefined && found.length === 1) return one;
  if (one !== undefined) throw severalFiles(model, found);
  if (models.length === 0)
    throw new ModelFileError(
      `opening ${formatHubModel(model)}: ${model.repo} has no GGUF file, of which ${quant} would be one; ` +
        `try ${model.repo} without :${quant}`,
    );
  throw new ModelFileError(
    `opening ${formatHubModel(model)}: ${model.repo} has no GGUF file of ${quant}; it has ${listNames(models.map(quantOf))}`,
  );
}

/** The quantisation in a file's name, else the name. */
export function quantOf(path: string): string {
  const [, quant] =
    /(?:^|[-._/])((?:UD-)?(?:I?Q\d\w*|TQ\d\w*|F16|F32|BF16|MXFP4\w*))(?:-\d{5}-of-\d{5})?\.gguf$/i.exec(
      path,
    ) ?? [];
  return quant ?? path;
}

function severalFiles(model: HubModel, models: readonly string[]): ModelFileError {
  const { repo } = model;
  const quants = models.map(quantOf);
  const example = models.find((path) => /q4_k_m/i.test(path)) ?? models[0] ?? "";
  const form =
    new Set(quants).size === quants.length && quantOf(example) !== example
      ? `hf:${repo}:${quantOf(example)}`
      : `${repo}/${example}`;
  return new ModelFileError(
    `opening ${formatHubModel(model)}: ${repo} has ${models.length} GGUF files that it may mean ` +
      `(${listNames(new Set(quants).size === quants.length ? quants : models)}); name one: ${form}`,
  );
}

function listNames(names: readonly string[]): string {
  const unique = [...new Set(names)];
  return unique.length <= 40
    ? unique.join(", ")
    : `${unique.slice(0, 40).join(", ")} and ${unique.length - 40} more`;
}

/** Says what a repository holds in place of a model that runs. */
function describeOthers(paths: readonly string[]): string {
  const has = (pattern: RegExp) => paths.find((path) => pattern.test(path));
  if (paths.length === 0) return "the repository is empty";
  const adapter = has(/^adapter_(model\.(safetensors|bin)|config\.json)$/);
  if (adapter) return `it is an adapter (${adapter}), not a whole model: take its base model`;
  const pickle = has(/\.(bin|pt|pth|ckpt)$/);
  if (pickle)
    return `its weights are PyTorch's pickle format (${pickle}), which can run code and is not read; take a repository with safetensors or GGUF`;
  const onnx = has(/\.onnx(_data)?$/);
  if (onnx) return `it is an ONNX model (${onnx}); take a repository with safetensors or GGUF`;
  if (has(/\.safetensors$/) && !paths.includes("config.json"))
    return "it has safetensors but no config.json, so it is no checkpoint of transformers";
  return "it has neither safetensors with a config.json nor GGUF files; take a model of text generation";
}
