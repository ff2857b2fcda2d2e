/** Bytes from a file's start that tell what it is. */
export const HEAD_BYTES = 1024;

const FETCH = "fetch the file itself with `git lfs pull` in its folder, or with `hf download`";
const AGAIN = "download it again";

/** Starts of files in other formats, as latin1, and what they are. */
const MAGIC: readonly (readonly [string, string])[] = [
  ["GGUF", "a GGUF file; take the checkpoint as safetensors"],
  ["PK\x03\x04", "a zip archive, as PyTorch's .bin and .pt files are; take the checkpoint as safetensors"],
  ["\x80\x02", "a Python pickle, as old PyTorch files are; take the checkpoint as safetensors"],
  ["\x1f\x8b", "compressed with gzip; unpack it, or download it again without Content-Encoding"],
  ["\x28\xb5\x2f\xfd", "compressed with zstd; unpack it"],
  ["\x89HDF", "an HDF5 file, as TensorFlow's weights are; take the checkpoint as safetensors"],
  ["\xff\xfe", "a text in UTF-16; save it as UTF-8"],
  ["\xfe\xff", "a text in UTF-16; save it as UTF-8"],
];

/** Starts of texts that stand in place of files, without white space before them, in lower case. */
const TEXTS: readonly (readonly [RegExp, string])[] = [
  [/^version https:\/\/(git-lfs|hawser)\./, `a git-LFS pointer, not the file it points to; ${FETCH}`],
  [/^# xet version |^\[xet\]/, `a git-xet pointer, not the file it points to; ${FETCH}`],
  [
    /^(\S*\/)?(\.git)?\/?annex\/objects\/\S+\s*$/,
    "a git-annex pointer, not the file it points to; fetch the file itself with `git annex get`",
  ],
  [
    /^\.{1,2}[\\/][\w.\\/-]+\s*$/,
    "the text of a symbolic link, not the file it leads to; copy the folder with its links followed " +
      "(cp -L), or fetch the file itself with `hf download`",
  ],
  [
    /^(<!--[\s\S]*?-->\s*)?(<!doctype html|<html|<head|<body)/,
    `a web page, not the file (a sign-in or an error page, most often); ${AGAIN} from a link that gives the file itself`,
  ],
  [/^<\?xml|^<error>/, `an XML answer of a server, not the file; ${AGAIN} with the rights to read it`],
  [
    /^(entry not found|repository not found|not found|access denied|forbidden|unauthorized|invalid (credentials|username)|access to model )/,
    `a server's refusal, not the file; ${AGAIN} with the rights to read it`,
  ],
];

/**
 * What stands in place of a checkpoint's file, and what to do about it; undefined where the head looks like none of
 * the known cases. Completes "reading NAME: it is …".
 *
 * head  the first HEAD_BYTES of the file, fewer where it is shorter
 */
export function describeForeign(head: Uint8Array, sizeBytes: number): string | undefined {
  if (sizeBytes === 0) return `empty (0 bytes); ${AGAIN}`;
  const latin1 = String.fromCharCode(...head);
  const magic = describeMagic(head);
  if (magic !== undefined) return magic;
  if (head.length >= 16 && head.every((byte) => byte === 0))
    return `filled with zeros where its content should begin: a download that was cut off; ${AGAIN}`;
  const text = latin1.replace(/^(\xef\xbb\xbf)?\s*/, "").toLowerCase();
  return TEXTS.find(([pattern]) => pattern.test(text))?.[1];
}

/** The same from the first 4 bytes alone, for files of other formats. */
export function describeMagic(lead: Uint8Array): string | undefined {
  const latin1 = String.fromCharCode(...lead.subarray(0, 4));
  return MAGIC.find(([start]) => latin1.startsWith(start))?.[1];
}
