/**
 * The directory of a ZIP file, as far as PyTorch's files need it: stored entries, in one volume.
 * Files are hostile: every number is checked against the file before anything is read or allocated.
 * Source: PKWARE APPNOTE 6.3.10, sections 4.3.7 to 4.3.16.
 */
import { ModelFileError } from "../../base/errors.ts";
import { printValue } from "../../base/print-value.ts";
import type { ByteSource } from "../byte-source.ts";

/** An entry that is stored as it is. */
export interface ZipEntry {
  readonly name: string;
  /** Of its local header. */
  readonly headerOffset: number;
  readonly sizeBytes: number;
}

const END_BYTES = 22;
const LOCATOR_BYTES = 20;
const END64_BYTES = 56;
const MAX_COMMENT_BYTES = 0xffff;
const MAX_DIRECTORY_BYTES = 16 << 20;
const [END, LOCATOR, END64, ENTRY, LOCAL] = [0x06054b50, 0x07064b50, 0x06064b50, 0x02014b50, 0x04034b50];

type Fail = (what: string) => ModelFileError;

/** Reads the entries by name. @throws ModelFileError */
export async function readZipDirectory(source: ByteSource): Promise<ReadonlyMap<string, ZipEntry>> {
  const fail: Fail = (what) =>
    new ModelFileError(
      `reading ${source.name}: expected a ZIP file as torch.save writes it, but ${what}; download the file again`,
    );
  const { offset, sizeBytes } = await findDirectory(source, fail);
  if (sizeBytes > MAX_DIRECTORY_BYTES || offset + sizeBytes > source.sizeBytes)
    throw fail(`its directory of ${sizeBytes} bytes at ${offset} does not fit the file`);
  const view = viewOf(await source.read(offset, sizeBytes));
  const entries = new Map<string, ZipEntry>();
  for (let at = 0; at < sizeBytes; ) {
    if (at + 46 > sizeBytes || view.getUint32(at, true) !== ENTRY) throw fail("its directory is damaged");
    const lengths = [28, 30, 32].map((field) => view.getUint16(at + field, true));
    const [nameBytes = 0, extraBytes = 0, commentBytes = 0] = lengths;
    const next = at + 46 + nameBytes + extraBytes + commentBytes;
    if (next > sizeBytes) throw fail("its directory is damaged");
    const entry = readEntry(view, at, { nameBytes, extraBytes }, source, fail);
    if (entries.has(entry.name)) throw fail(`it has the entry ${printValue(entry.name)} twice`);
    entries.set(entry.name, entry);
    at = next;
  }
  return entries;
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** A 64-bit number of the file. @throws if it is above the file's size */
function wide(view: DataView, at: number, source: ByteSource, fail: Fail): number {
  const value = view.getBigUint64(at, true);
  if (value > BigInt(source.sizeBytes)) throw fail(`it names byte ${value} of ${source.sizeBytes}`);
  return Number(value);
}

async function findDirectory(source: ByteSource, fail: Fail) {
  const tailBytes = Math.min(source.sizeBytes, END_BYTES + MAX_COMMENT_BYTES);
  const start = source.sizeBytes - tailBytes;
  const tail = viewOf(await source.read(start, tailBytes));
  let at = tailBytes - END_BYTES;
  while (at >= 0 && tail.getUint32(at, true) !== END) at--;
  if (at < 0) throw fail("it has no directory");
  const locator = at - LOCATOR_BYTES;
  if (locator >= 0 && tail.getUint32(locator, true) === LOCATOR) {
    const end64 = wide(tail, locator + 8, source, fail);
    if (end64 + END64_BYTES > source.sizeBytes) throw fail("its directory is damaged");
    const view = viewOf(await source.read(end64, END64_BYTES));
    if (view.getUint32(0, true) !== END64) throw fail("its directory is damaged");
    return { sizeBytes: wide(view, 40, source, fail), offset: wide(view, 48, source, fail) };
  }
  return { sizeBytes: tail.getUint32(at + 12, true), offset: tail.getUint32(at + 16, true) };
}

function readEntry(
  view: DataView,
  at: number,
  { nameBytes, extraBytes }: { readonly nameBytes: number; readonly extraBytes: number },
  source: ByteSource,
  fail: Fail,
): ZipEntry {
  const nameAt = at + 46;
  const name = new TextDecoder().decode(new Uint8Array(view.buffer, view.byteOffset + nameAt, nameBytes));
  const [flags, method] = [view.getUint16(at + 8, true), view.getUint16(at + 10, true)];
  if (method !== 0 || (flags & 1) !== 0)
    throw fail(`its entry ${printValue(name)} is compressed or encrypted`);
  const sizes = [20, 24, 42].map((field) => view.getUint32(at + field, true));
  let [packed = 0, size = 0, headerOffset = 0] = sizes;
  // sizes that do not fit 32 bits are in the extra field 1, in this order
  for (let extra = nameAt + nameBytes; extra + 4 <= nameAt + nameBytes + extraBytes; ) {
    const bytes = view.getUint16(extra + 2, true);
    if (extra + 4 + bytes > nameAt + nameBytes + extraBytes) break;
    if (view.getUint16(extra, true) === 1) {
      let field = extra + 4;
      const read = (value: number) => {
        if (value !== 0xffffffff || field + 8 > extra + 4 + bytes) return value;
        field += 8;
        return wide(view, field - 8, source, fail);
      };
      size = read(size);
      packed = read(packed);
      headerOffset = read(headerOffset);
    }
    extra += 4 + bytes;
  }
  if (packed !== size || headerOffset + 30 + size > source.sizeBytes)
    throw fail(`its entry ${printValue(name)} of ${size} bytes at ${headerOffset} does not fit the file`);
  return { name, headerOffset, sizeBytes: size };
}

/** The position of an entry's first byte. @throws ModelFileError */
export async function dataOffset(source: ByteSource, entry: ZipEntry): Promise<number> {
  const view = viewOf(await source.read(entry.headerOffset, 30));
  const offset = entry.headerOffset + 30 + view.getUint16(26, true) + view.getUint16(28, true);
  if (view.getUint32(0, true) !== LOCAL || offset + entry.sizeBytes > source.sizeBytes)
    throw new ModelFileError(
      `reading ${source.name}: the entry ${printValue(entry.name)} is damaged; download the file again`,
    );
  return offset;
}
