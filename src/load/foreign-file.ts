/** Bytes at the start of a file that identify its format. */
export const HEAD_BYTES = 1024;

const FETCH = "fetch the file itself with `git lfs pull` in its folder, or with `hf download`";
const AGAIN = "download it again";

/** Magic numbers of other formats, as latin1, each with a description and advice. */
const MAGIC: readonly (readonly [string, string])[] = [
  ["GGUF", "a GGUF file under another name; name it model.gguf and give its own path"],
  ["PK\x03\x04", "a zip archive, as PyTorch's .bin and .pt files are; take the checkpoint as safetensors"],
  ["\x80\x02", "a Python pickle, as old PyTorch files are; take the checkpoint as safetensors"],
  ["\x1f\x8b", "compressed with gzip; unpack it, or download it again without Content-Encoding"],
  ["\x28\xb5\x2f\xfd", "compressed with zstd; unpack it"],
  ["\x89HDF", "an HDF5 file, as TensorFlow's weights are; take the checkpoint as safetensors"],
  ["\xff\xfe", "a text in UTF-16; save it as UTF-8"],
  ["\xfe\xff", "a text in UTF-16; save it as UTF-8"],
];

/** Texts found in place of files: patterns match in lower case, after leading white space. */
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
 * Describes a file that is not the checkpoint's, with advice; undefined when the head matches no known case.
 * Completes the message "reading NAME: it is …".
 *
 * head  the first HEAD_BYTES of the file, or all of a shorter file
 */
export function describeForeign(head: Uint8Array, sizeBytes: number): string | undefined {
  if (sizeBytes === 0) return `empty (0 bytes); ${AGAIN}`;
  const latin1 = String.fromCharCode(...head);
  const magic = describeMagic(head);
  if (magic !== undefined) return magic;
  if (isSafetensors(head, sizeBytes))
    return "a safetensors file under another name; name it model.safetensors and keep it beside its config.json";
  if (head.length >= 16 && head.every((byte) => byte === 0))
    return `filled with zeros where its content should begin: a download that was cut off; ${AGAIN}`;
  const text = latin1.replace(/^(\xef\xbb\xbf)?\s*/, "").toLowerCase();
  return TEXTS.find(([pattern]) => pattern.test(text))?.[1];
}

/** True if a file begins with the length of a header that fits in it, and a JSON object, as safetensors do. */
function isSafetensors(head: Uint8Array, sizeBytes: number): boolean {
  if (head.length < 9 || head[8] !== 0x7b) return false;
  const length = new DataView(head.buffer, head.byteOffset, 8).getBigUint64(0, true);
  return length >= 2n && length <= BigInt(sizeBytes - 8);
}

/** Describes a file of another format by its first 4 bytes alone. */
export function describeMagic(lead: Uint8Array): string | undefined {
  const latin1 = String.fromCharCode(...lead.subarray(0, 4));
  return MAGIC.find(([start]) => latin1.startsWith(start))?.[1];
}
