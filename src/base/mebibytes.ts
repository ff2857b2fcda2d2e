/** Formats a size for messages, rounded up: 3000000 bytes are "3 MiB". */
export function mebibytes(sizeBytes: number): string {
  return `${Math.ceil(sizeBytes / 2 ** 20)} MiB`;
}
