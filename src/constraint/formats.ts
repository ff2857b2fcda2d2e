/** Formats of strings that JSON Schema names, as patterns. Each accepts a part of what its standard does, and nothing else. */

const HOUR = "(?:[01]\\d|2[0-3])";
const TIME = `${HOUR}:[0-5]\\d:[0-5]\\d(?:\\.\\d{1,6})?(?:Z|[+-]${HOUR}:[0-5]\\d)`;
/** Without the 29th of February, so that every year has the day. */
const DATE =
  "\\d{4}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12]\\d|3[01])|(?:0[469]|11)-(?:0[1-9]|[12]\\d|30)|02-(?:0[1-9]|1\\d|2[0-8]))";
const LABEL = "[A-Za-z0-9](?:[A-Za-z0-9-]{0,30}[A-Za-z0-9])?";
const HOST = `${LABEL}(?:\\.${LABEL}){0,4}`;
const BYTE = "(?:25[0-5]|2[0-4]\\d|1\\d\\d|[1-9]?\\d)";

const FORMATS: ReadonlyMap<string, string> = new Map([
  ["date", DATE],
  ["time", TIME],
  ["date-time", `${DATE}T${TIME}`],
  ["duration", "P(?:\\d{1,4}D(?:T\\d{1,4}H)?|T\\d{1,4}[HMS]|\\d{1,4}W)"],
  ["uuid", "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"],
  ["email", `[A-Za-z0-9_+-]{1,32}(?:\\.[A-Za-z0-9_+-]{1,32}){0,3}@${LABEL}(?:\\.${LABEL}){1,4}`],
  ["hostname", HOST],
  ["ipv4", `${BYTE}(?:\\.${BYTE}){3}`],
  ["ipv6", "[0-9a-f]{1,4}(?::[0-9a-f]{1,4}){7}"],
  ["uri", `https?://${HOST}(?:/[A-Za-z0-9._~-]{0,64}){0,16}`],
]);

/** Formats of numbers say how a program stores them. */
const OF_NUMBERS: ReadonlySet<string> = new Set(["int32", "int64", "float", "double"]);

export const formatNames = (): readonly string[] => [...FORMATS.keys()];
export const formatPattern = (name: string): string | undefined => FORMATS.get(name);
export const isNumberFormat = (name: string): boolean => OF_NUMBERS.has(name);
