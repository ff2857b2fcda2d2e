/** A size for messages: 3000000 bytes as "3 MiB", rounded up. */
export function mebibytes(sizeBytes: number): string {
  return `${Math.ceil(sizeBytes / 2 ** 20)} MiB`;
}
