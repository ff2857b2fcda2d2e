/** Python's `datetime.now().strftime(format)` on Linux in the C locale, which Python uses unless a program sets another. */

const DAYS = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
const MONTHS = [
  "January",
  "February",
  "March",
  "April",
  "May",
  "June",
  "July",
  "August",
  "September",
  "October",
  "November",
  "December",
];
const DAY_MS = 86_400_000;

/** Day of the year, from 0. */
function yearDay(date: Date): number {
  const start = Date.UTC(date.getFullYear(), 0, 1);
  return Math.round((Date.UTC(date.getFullYear(), date.getMonth(), date.getDate()) - start) / DAY_MS);
}

/** Year and week of ISO 8601. */
function isoWeek(date: Date): { year: number; week: number } {
  const thursday = new Date(date.getFullYear(), date.getMonth(), date.getDate() + 4 - (date.getDay() || 7));
  return { year: thursday.getFullYear(), week: Math.floor(yearDay(thursday) / 7) + 1 };
}

type Part = readonly [value: number | string, width?: number, fill?: string];

const PARTS: Readonly<Record<string, (date: Date) => Part>> = {
  a: (date) => [(DAYS[date.getDay()] ?? "").slice(0, 3)],
  A: (date) => [DAYS[date.getDay()] ?? ""],
  b: (date) => [(MONTHS[date.getMonth()] ?? "").slice(0, 3)],
  h: (date) => [(MONTHS[date.getMonth()] ?? "").slice(0, 3)],
  B: (date) => [MONTHS[date.getMonth()] ?? ""],
  c: (date) => [strftime("%a %b %e %H:%M:%S %Y", date)],
  C: (date) => [Math.floor(date.getFullYear() / 100), 2],
  d: (date) => [date.getDate(), 2],
  D: (date) => [strftime("%m/%d/%y", date)],
  e: (date) => [date.getDate(), 2, " "],
  f: (date) => [String(date.getMilliseconds() * 1000).padStart(6, "0")],
  F: (date) => [strftime("%Y-%m-%d", date)],
  g: (date) => [isoWeek(date).year % 100, 2],
  G: (date) => [isoWeek(date).year],
  H: (date) => [date.getHours(), 2],
  I: (date) => [date.getHours() % 12 || 12, 2],
  j: (date) => [yearDay(date) + 1, 3],
  k: (date) => [date.getHours(), 2, " "],
  l: (date) => [date.getHours() % 12 || 12, 2, " "],
  m: (date) => [date.getMonth() + 1, 2],
  M: (date) => [date.getMinutes(), 2],
  n: () => ["\n"],
  p: (date) => [date.getHours() < 12 ? "AM" : "PM"],
  P: (date) => [date.getHours() < 12 ? "am" : "pm"],
  r: (date) => [strftime("%I:%M:%S %p", date)],
  R: (date) => [strftime("%H:%M", date)],
  s: (date) => [Math.floor(date.getTime() / 1000)],
  S: (date) => [date.getSeconds(), 2],
  t: () => ["\t"],
  T: (date) => [strftime("%H:%M:%S", date)],
  u: (date) => [date.getDay() || 7],
  U: (date) => [Math.floor((yearDay(date) + 7 - date.getDay()) / 7), 2],
  V: (date) => [isoWeek(date).week, 2],
  w: (date) => [date.getDay()],
  W: (date) => [Math.floor((yearDay(date) + 7 - ((date.getDay() + 6) % 7)) / 7), 2],
  x: (date) => [strftime("%m/%d/%y", date)],
  X: (date) => [strftime("%H:%M:%S", date)],
  y: (date) => [date.getFullYear() % 100, 2],
  Y: (date) => [date.getFullYear()],
  z: () => [""],
  Z: () => [""],
  "%": () => ["%"],
};

/** Formats a date. Codes unknown to the C library stay unchanged. Caps widths at 100. */
export function strftime(format: string, date: Date): string {
  return format.replace(
    /%([-_0^#]*)(\d*)[EO]?([a-zA-Z%])/g,
    (whole, flags: string, width: string, code: string) => {
      const part = PARTS[code]?.(date);
      return part === undefined ? whole : shown(part, flags, Math.min(Number(width), 100), code);
    },
  );
}

function shown([value, size = 0, byDefault = "0"]: Part, flags: string, width: number, code: string): string {
  const isNumber = typeof value === "number";
  const last = [...flags].reverse().find((flag) => "-_0".includes(flag));
  const fill = last === "_" ? " " : last === "0" ? "0" : isNumber ? byDefault : " ";
  let text = String(value);
  if (last !== "-" || width > 0) text = text.padStart(Math.max(width, last === "-" ? 0 : size), fill);
  if (flags.includes("^")) return text.toUpperCase();
  return flags.includes("#") ? (code === "p" ? text.toLowerCase() : text.toUpperCase()) : text;
}
