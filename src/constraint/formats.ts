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
  ...[1, 3, 4, 5, 6, 7, 8].map((version): [string, string] => [
    `uuid${version}`,
    `[0-9a-f]{8}-[0-9a-f]{4}-${version}[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}`,
  ]),
  ["email", `[A-Za-z0-9_+-]{1,32}(?:\\.[A-Za-z0-9_+-]{1,32}){0,3}@${LABEL}(?:\\.${LABEL}){1,4}`],
  ["hostname", HOST],
  ["ipv4", `${BYTE}(?:\\.${BYTE}){3}`],
  ["ipv6", "[0-9a-f]{1,4}(?::[0-9a-f]{1,4}){7}"],
  ["uri", `https?://${HOST}(?:/[A-Za-z0-9._~-]{0,64}){0,16}`],
]);

const FREE_LABEL = "[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?";
const FREE_HOST = `${FREE_LABEL}(?:\\.${FREE_LABEL})*`;

/**
 * Patterns beside a length, which counts in place of their own counts: both together have too many states. `longest` keeps their parts
 * within the standard's lengths, and their states few.
 */
const FREE_FORMATS: ReadonlyMap<string, { readonly pattern: string; readonly longest: number }> = new Map([
  [
    "email",
    { pattern: `[A-Za-z0-9_+-]+(?:\\.[A-Za-z0-9_+-]+)*@${FREE_LABEL}(?:\\.${FREE_LABEL})+`, longest: 64 },
  ],
  ["hostname", { pattern: FREE_HOST, longest: 63 }],
  ["uri", { pattern: `https?://${FREE_HOST}(?:/[A-Za-z0-9._~-]*)*`, longest: 512 }],
]);

/** The names of the standard that are not known here, which a text might break. */
const UNKNOWN: ReadonlySet<string> = new Set([
  ...["idn-email", "idn-hostname", "uri-reference", "iri", "iri-reference", "uri-template"],
  ...["json-pointer", "relative-json-pointer", "regex"],
]);

export const formatNames = (): readonly string[] => [...FORMATS.keys()];
export const freeFormat = (
  name: string,
): { readonly pattern: string; readonly longest: number } | undefined => FREE_FORMATS.get(name);
export const formatPattern = (name: string): string | undefined => FORMATS.get(name);

/**
 * True if a format says which texts are right. As JSON Schema has it, a name that is not of the standard, such as OpenAPI's "password",
 * says nothing, and neither do those of numbers.
 */
export const isAssertion = (name: string): boolean => FORMATS.has(name) || UNKNOWN.has(name);
