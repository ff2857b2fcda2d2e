import { ModelFileError } from "../base/errors.ts";
import type { FileFolder } from "./byte-source.ts";
import { describeForeign, HEAD_BYTES } from "./foreign-file.ts";

/** Files of other formats, with a description and advice. The error names the first that the folder has. */
const OTHERS: readonly (readonly [RegExp, string])[] = [
  [
    /\.(incomplete|part|partial|crdownload|download|aria2)$/,
    "is a download that has not ended: download the file again",
  ],
  [
    /^model-\d+-of-\d+\.safetensors$/,
    "is one of several shards, whose index model.safetensors.index.json is missing: download it too",
  ],
  [
    /^adapter_(model\.(safetensors|bin)|config\.json)$/,
    "is an adapter (LoRA): merge it into its base model, or take the base model",
  ],
  [/\.gguf$/i, "is a GGUF file: give the path of the file itself, not of its folder"],
  [
    /\.(bin|pt|pth|ckpt|bin\.index\.json)$/,
    "is PyTorch's pickle format, which is not read because it can run code: take the checkpoint as safetensors, " +
      "or convert it with transformers (`save_pretrained`)",
  ],
  [/\.onnx(_data)?$/, "is an ONNX model, which is not read: take the checkpoint as safetensors"],
  [
    /^(tf_model.*|.*\.h5|.*\.msgpack|.*\.npz|.*\.mlmodel|.*\.tflite|.*\.ot)$/,
    "is a format of another framework, which is not read: take the checkpoint as safetensors",
  ],
  [
    /^(?!model\.safetensors(\.index\.json)?$).*\.safetensors(\.index\.json)?$/,
    "has not the name of a checkpoint's weights: name them model.safetensors, or give the folder they come from",
  ],
  [
    /^snapshots$/,
    "is a folder of the Hugging Face cache: give the folder below it, snapshots/ and a commit's name",
  ],
];

/** Files to probe for in a folder that cannot be listed. */
const USUAL = [
  "pytorch_model.bin",
  "pytorch_model.bin.index.json",
  "adapter_config.json",
  "consolidated.00.pth",
  "model.onnx",
];

/**
 * Creates the error for a folder that lacks all of `names`, any one of which would do. Explains what the folder holds
 * instead.
 */
export async function missingFiles(folder: FileFolder, names: readonly string[]): Promise<ModelFileError> {
  const doing = `opening ${folder.name}`;
  const what =
    names.length === 1
      ? `there is no ${names[0]}`
      : `there is neither ${names.slice(0, -1).join(", ")} nor ${names.at(-1)}`;
  const refusal = names.map((name) => folder.whyMissing?.(name)).find((reason) => reason !== undefined);
  if (refusal !== undefined) return new ModelFileError(`${doing}: ${what}: ${refusal}`);
  const files = await listing(folder);
  const unopened = files.find((file) => names.includes(file));
  if (unopened !== undefined)
    return new ModelFileError(
      `${doing}: ${unopened} is there, but it is no plain file: a link whose target is missing, a folder or a pipe; ` +
        "download the file again, or copy the folder with `cp -rL`",
    );
  const weights =
    folder.weightFile ?? files.find((file) => /^model.*\.safetensors(\.index\.json)?$/.test(file));
  if (names.includes("config.json") && weights !== undefined) {
    const foreign = /\.safetensors$/.test(weights) ? await describeWeights(folder, weights) : undefined;
    return new ModelFileError(
      `${doing}: ${what} beside its weights; ${foreign === undefined ? "download it too" : `${weights} is ${foreign}`}`,
    );
  }
  for (const [pattern, advice] of OTHERS) {
    const file = files.find((one) => pattern.test(one));
    if (file !== undefined) return new ModelFileError(`${doing}: ${what}; ${file.slice(0, 200)} ${advice}`);
  }
  return new ModelFileError(
    `${doing}: ${what}; give the folder of a Hugging Face checkpoint with weights as safetensors`,
  );
}

/** Describes a weight file of another format. */
async function describeWeights(folder: FileFolder, path: string): Promise<string | undefined> {
  const source = await folder.open(path).catch(() => undefined); // the probe only improves a message
  try {
    const head = await source?.read(0, Math.min(HEAD_BYTES, source.sizeBytes)).catch(() => undefined);
    const foreign = source && head && describeForeign(head, source.sizeBytes);
    return foreign?.startsWith("a safetensors file") ? undefined : foreign;
  } finally {
    await source?.close?.();
  }
}

async function listing(folder: FileFolder): Promise<readonly string[]> {
  if (folder.list) return folder.list();
  const found: string[] = [];
  for (const name of USUAL) {
    const source = await folder.open(name).catch(() => undefined); // the probe only improves a message
    if (source) found.push(name);
    await source?.close?.();
  }
  return found;
}
