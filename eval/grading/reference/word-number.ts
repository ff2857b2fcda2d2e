/** Number words as the Python package word2number 1.1 reads them, with its faults. */

const VALUES: ReadonlyMap<string, number> = new Map(
  (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen " +
    "eighteen nineteen"
  )
    .split(" ")
    .map((word, value) => [word, value] as const)
    .concat(
      "twenty thirty forty fifty sixty seventy eighty ninety"
        .split(" ")
        .map((word, i) => [word, 20 + 10 * i] as const),
    )
    .concat([
      ["hundred", 100],
      ["thousand", 1000],
      ["million", 1_000_000],
      ["billion", 1_000_000_000],
    ]),
);
const SCALES = ["billion", "million", "thousand"] as const;

/** The number that a text's number words name; the text itself if it has none or they fit no number. */
export function convertWordNumber(text: string): string {
  const lower = text.replaceAll("-", " ").toLowerCase();
  if (/^\d+$/.test(lower)) return BigInt(lower).toString();
  const words = lower
    .trim()
    .split(/\s+/)
    .filter((word) => VALUES.has(word) || word === "point");
  const number = words.length === 0 ? undefined : numberFrom(words);
  return number === undefined ? text : String(number);
}

function numberFrom(words: readonly string[]): number | undefined {
  const count = (word: string) => words.filter((other) => other === word).length;
  if (["thousand", "million", "billion", "point"].some((word) => count(word) > 1)) return undefined;
  const point = words.indexOf("point");
  const whole = point < 0 ? words : words.slice(0, point);
  const decimals = point < 0 ? [] : words.slice(point + 1);
  const integral = wholeValue(whole);
  return integral === undefined ? undefined : integral + decimalValue(decimals);
}

function decimalValue(words: readonly string[]): number {
  const digits = words.map((word) => VALUES.get(word) ?? 10);
  return words.length === 0 || digits.some((digit) => digit > 9) ? 0 : Number(`0.${digits.join("")}`);
}

function wholeValue(words: readonly string[]): number | undefined {
  const [only] = words;
  if (words.length === 0) return 0;
  if (words.length === 1) return VALUES.get(only ?? "");
  const at = SCALES.map((scale) => words.indexOf(scale));
  const [billion = -1, million = -1, thousand = -1] = at;
  const isMalformed =
    (thousand > -1 && (thousand < million || thousand < billion)) || (million > -1 && million < billion);
  if (isMalformed) return undefined;
  let total = 0;
  let start = 0;
  for (const [i, scale] of SCALES.entries()) {
    const end = at[i] ?? -1;
    if (end < 0) continue;
    const multiplier = combined(words.slice(start, end));
    if (multiplier === undefined) return undefined;
    total += multiplier * (VALUES.get(scale) ?? 0);
    start = end + 1;
  }
  if (start === words.length) return total;
  const rest = combined(words.slice(start));
  return rest === undefined ? undefined : total + rest;
}

/** Words below a thousand; of five or more the first alone counts. */
function combined(words: readonly string[]): number | undefined {
  const numbers = words.map((word) => VALUES.get(word) ?? 0);
  const [a, b = 0, c = 0, d = 0] = numbers;
  if (a === undefined) return undefined;
  if (numbers.length === 4) return a * b + c + d;
  if (numbers.length === 3) return a * b + c;
  if (numbers.length === 2) return numbers.includes(100) ? a * b : a + b;
  return a;
}
