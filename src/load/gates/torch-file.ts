import { ModelFileError } from "../../base/errors.ts";
import { printValue } from "../../base/print-value.ts";
import type { WeightFormat } from "../../base/weight-format.ts";
import type { ByteSource } from "../byte-source.ts";
import type { TensorEntry } from "../tensor-entry.ts";
import { type PickledTensor, PickleError, unpickleTensors } from "./pickle.ts";
import { dataOffset, readZipDirectory, type ZipEntry } from "./zip-directory.ts";

const FORMATS: Readonly<Record<string, { readonly format: WeightFormat; readonly bytes: number }>> = {
  FloatStorage: { format: "f32", bytes: 4 },
  HalfStorage: { format: "f16", bytes: 2 },
  BFloat16Storage: { format: "bf16", bytes: 2 },
};
const MAX_PICKLE_BYTES = 16 << 20;

/**
 * Reads the dict of tensors that `torch.save` wrote (.pth, since PyTorch 1.6). Nothing of the file runs: see pickle.ts.
 * @throws ModelFileError
 */
export async function readTorchFile(source: ByteSource): Promise<TensorEntry[]> {
  const entries = await readZipDirectory(source);
  const pickles = [...entries.keys()].filter((name) => /^[^/]+\/data\.pkl$/.test(name));
  const [pickle] = pickles;
  if (pickle === undefined || pickles.length > 1)
    throw new ModelFileError(
      `reading ${source.name}: expected one data.pkl, as torch.save writes it, the file has ${pickles.length}`,
    );
  const entry = entries.get(pickle) as ZipEntry;
  if (entry.sizeBytes > MAX_PICKLE_BYTES)
    throw new ModelFileError(
      `reading ${source.name}: its data.pkl has ${entry.sizeBytes} bytes, at most ${MAX_PICKLE_BYTES} are read`,
    );
  const bytes = await source.read(await dataOffset(source, entry), entry.sizeBytes);
  const folder = pickle.slice(0, -"data.pkl".length);
  await checkByteOrder(source, entries.get(`${folder}byteorder`));
  const tensors: TensorEntry[] = [];
  for (const [name, tensor] of unpickle(bytes, source))
    tensors.push(await locate(source, name, tensor, entries.get(`${folder}data/${tensor.storage}`)));
  return tensors;
}

function unpickle(bytes: Uint8Array, source: ByteSource): ReadonlyMap<string, PickledTensor> {
  try {
    return unpickleTensors(bytes);
  } catch (cause) {
    if (!(cause instanceof PickleError)) throw cause;
    throw new ModelFileError(
      `reading ${source.name}: the pickle in it is refused: ${cause.message}; take the file as .safetensors, or download it again`,
      { cause },
    );
  }
}

async function checkByteOrder(source: ByteSource, entry: ZipEntry | undefined): Promise<void> {
  if (!entry) return; // older versions of PyTorch; little-endian then
  const text = new TextDecoder().decode(
    await source.read(await dataOffset(source, entry), Math.min(16, entry.sizeBytes)),
  );
  if (text !== "little")
    throw new ModelFileError(
      `reading ${source.name}: expected little-endian numbers, its byteorder is ${printValue(text)}`,
    );
}

async function locate(
  source: ByteSource,
  name: string,
  { storage, storageType, offset, shape }: PickledTensor,
  entry: ZipEntry | undefined,
): Promise<TensorEntry> {
  const { format, bytes } = FORMATS[storageType] ?? { format: "f32", bytes: 4 };
  const sizeBytes = shape.reduce((elements, size) => elements * size, 1) * bytes;
  if (!entry || offset * bytes + sizeBytes > entry.sizeBytes)
    throw new ModelFileError(
      `reading ${source.name}: tensor ${printValue(name)} needs ${offset * bytes + sizeBytes} bytes of data/${storage}, ` +
        `which has ${entry?.sizeBytes ?? 0}; download the file again`,
    );
  const start = await dataOffset(source, entry);
  return { name, fileDtype: storageType, format, shape, source, offset: start + offset * bytes, sizeBytes };
}
