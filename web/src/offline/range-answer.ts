/** Answers a request for a range of bytes from a whole response. Ranges that are not `bytes=FROM-` or `bytes=FROM-TO` get all of it. */
export async function answerRange(whole: Response, range: string | null): Promise<Response> {
  const [, first, last] = /^bytes=(\d+)-(\d*)$/.exec(range ?? "") ?? [];
  if (first === undefined) return whole;
  const blob = await whole.blob();
  const from = Number(first);
  const to = Math.min(last ? Number(last) : Number.POSITIVE_INFINITY, blob.size - 1);
  const headers = new Headers(whole.headers);
  headers.delete("content-encoding"); // the body is decoded
  if (from > to) {
    headers.set("content-range", `bytes */${blob.size}`);
    headers.set("content-length", "0");
    return new Response(null, { status: 416, headers });
  }
  headers.set("content-range", `bytes ${from}-${to}/${blob.size}`);
  headers.set("content-length", String(to - from + 1));
  return new Response(blob.slice(from, to + 1), { status: 206, headers });
}
