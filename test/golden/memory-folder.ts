import { type ByteSource, checkRange, type FileFolder } from "../../src/load/byte-source.ts";

/** Creates a file in memory. `reads` collects [offset, length] of every read. */
export function memorySource(
  bytes: Uint8Array,
  name = "memory",
  reads: [number, number][] = [],
): ByteSource & { readonly reads: [number, number][] } {
  const sizeBytes = bytes.length;
  return {
    name,
    sizeBytes,
    reads,
    read: async (offset, length) => {
      checkRange({ name, sizeBytes }, offset, length);
      reads.push([offset, length]);
      return bytes.slice(offset, offset + length);
    },
  };
}

/** Creates a folder in memory; objects become JSON. `opened` holds the paths of open files. */
export function memoryFolder(
  files: Readonly<Record<string, Uint8Array | string | object>>,
): FileFolder & { readonly opened: Set<string> } {
  const opened = new Set<string>();
  return {
    name: "memory",
    opened,
    open: async (path) => {
      const content = files[path];
      if (content === undefined) return undefined;
      const text = typeof content === "string" ? content : JSON.stringify(content);
      const bytes = content instanceof Uint8Array ? content : new TextEncoder().encode(text);
      opened.add(path);
      return { ...memorySource(bytes, `memory/${path}`), close: async () => void opened.delete(path) };
    },
  };
}

/** Creates a safetensors file from a header (a text or a JSON value) and data. */
export function safetensorsFile(header: unknown, dataBytes: number | Uint8Array): Uint8Array {
  const text = new TextEncoder().encode(typeof header === "string" ? header : JSON.stringify(header));
  const data = typeof dataBytes === "number" ? new Uint8Array(dataBytes) : dataBytes;
  const file = new Uint8Array(8 + text.length + data.length);
  new DataView(file.buffer).setBigUint64(0, BigInt(text.length), true);
  file.set(text, 8);
  file.set(data, 8 + text.length);
  return file;
}
