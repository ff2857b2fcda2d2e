import { type FileMetaData, parquetMetadataAsync, parquetReadObjects } from "hyparquet";
import { compressors } from "hyparquet-compressors";
import { checkCount, type DataRecord, type Refuse } from "./data-record.ts";

/** Unpacked size of a file; its own figures are checked before anything is unpacked. */
const MAX_UNPACKED_BYTES = 1 << 30;

/** Reads the plain columns of a Parquet file. @throws what `refuse` makes, of a file that is damaged or too large */
export async function readParquet(bytes: Uint8Array, refuse: Refuse): Promise<readonly DataRecord[]> {
  // A copy: a Buffer of Node may be a view of a larger one.
  const file = new Uint8Array(bytes).buffer;
  try {
    const metadata = await parquetMetadataAsync(file);
    checkSizes(metadata, refuse);
    const rows: (readonly [string, unknown])[][] = [];
    for (const group of metadata.row_groups) await readGroup({ file, metadata, group, rows });
    return rows.map((row, index) => ({ fields: Object.fromEntries(row), place: `row ${index + 1}` }));
  } catch (cause) {
    if (cause instanceof Error && cause.name === "ModelFileError") throw cause;
    throw refuse(`damaged Parquet file: ${cause instanceof Error ? cause.message : String(cause)}`, cause);
  }
}

interface GroupRead {
  readonly file: ArrayBuffer;
  readonly metadata: FileMetaData;
  readonly group: FileMetaData["row_groups"][number];
  /** Receives the group's rows. */
  readonly rows: (readonly [string, unknown])[][];
}

/**
 * Reads one column at a time: of several that are read at once, the reader leaves the failures of all but one without a
 * handler, which ends the process.
 */
async function readGroup({ file, metadata, group, rows }: GroupRead): Promise<void> {
  const count = Number(group.num_rows);
  const fields = Array.from({ length: count }, (): [string, unknown][] => []);
  for (const column of group.columns) {
    const [name, ...inner] = column.meta_data?.path_in_schema ?? [];
    if (name === undefined || inner.length > 0) continue; // Lists and structs hold no problem.
    const alone = { ...metadata, num_rows: group.num_rows, row_groups: [{ ...group, columns: [column] }] };
    const values = await parquetReadObjects({ file, metadata: alone, columns: [name], compressors });
    if (values.length !== count)
      throw new RangeError(`column "${name}" has ${values.length} values in a group of ${count} rows`);
    for (const [index, row] of fields.entries()) row.push([name, plain(values[index]?.[name])]);
  }
  for (const row of fields) rows.push(row);
}

function checkSizes(metadata: FileMetaData, refuse: Refuse): void {
  let [rows, unpacked] = [0, 0];
  for (const group of metadata.row_groups) {
    rows += checkedSize(group.num_rows);
    for (const column of group.columns)
      unpacked += checkedSize(column.meta_data?.total_uncompressed_size ?? 0n);
  }
  checkCount(rows, refuse);
  if (unpacked > MAX_UNPACKED_BYTES) throw refuse(`it unpacks to ${(unpacked / 1e6).toFixed(0)} MB`);
}

function checkedSize(value: bigint): number {
  if (value < 0n) throw new RangeError(`a size is ${value}`);
  return Number(value);
}

/** Whole numbers of 64 bits as JSON has them: a number where it is exact, else a text. */
function plain(value: unknown): unknown {
  if (typeof value !== "bigint") return value;
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : String(value);
}
