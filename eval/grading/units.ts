/** Units after a number: which words mean the same one. */

/** Spellings to the unit. Plurals in -s are found without a row. */
const UNITS: Readonly<Record<string, string>> = {
  mm: "mm",
  millimeter: "mm",
  millimetre: "mm",
  cm: "cm",
  centimeter: "cm",
  centimetre: "cm",
  dm: "dm",
  m: "m",
  meter: "m",
  metre: "m",
  km: "km",
  kilometer: "km",
  kilometre: "km",
  in: "in",
  inch: "in",
  inche: "in",
  ft: "ft",
  foot: "ft",
  feet: "ft",
  yd: "yd",
  yard: "yd",
  mi: "mi",
  mile: "mi",
  mg: "mg",
  g: "g",
  gram: "g",
  kg: "kg",
  kilogram: "kg",
  lb: "lb",
  pound: "lb",
  oz: "oz",
  ounce: "oz",
  ton: "ton",
  s: "s",
  sec: "s",
  second: "s",
  min: "min",
  minute: "min",
  h: "h",
  hr: "h",
  hour: "h",
  day: "day",
  week: "week",
  month: "month",
  year: "year",
  yr: "year",
  ml: "ml",
  milliliter: "ml",
  l: "l",
  liter: "l",
  litre: "l",
  gal: "gal",
  gallon: "gal",
  quart: "quart",
  pint: "pint",
  cup: "cup",
  cent: "cent",
  "¢": "cent",
  dollar: "dollar",
  $: "dollar",
  usd: "dollar",
  degree: "degree",
  deg: "degree",
  "°": "degree",
  "€": "euro",
  euro: "euro",
  radian: "radian",
  rad: "radian",
  percent: "percent",
  pct: "percent",
  percentage: "percent",
  "%": "percent",
  mph: "mi/h",
  kmh: "km/h",
  kph: "km/h",
  n: "n",
  j: "j",
  w: "w",
  v: "v",
  hz: "hz",
  ev: "ev",
  kev: "kev",
  mev: "mev",
  gev: "gev",
  joule: "j",
  kilojoule: "kj",
  kj: "kj",
  cal: "cal",
  calorie: "cal",
  kcal: "kcal",
  watt: "w",
  kilowatt: "kilowatt",
  kwh: "kwh",
  volt: "v",
  newton: "n",
  hertz: "hz",
  khz: "khz",
  mhz: "mhz",
  ghz: "ghz",
  pascal: "pascal",
  kpa: "kpa",
  mol: "mol",
  mole: "mol",
  ohm: "ohm",
  nanometer: "nanometer",
  micrometer: "micrometer",
  millisecond: "millisecond",
  am: "am",
  pm: "pm",
  acre: "acre",
  hectare: "hectare",
  unit: "unit",
};
/** Words after a number that multiply it. */
const MULTIPLIERS: Readonly<Record<string, number>> = {
  hundred: 100,
  thousand: 1000,
  million: 1_000_000,
  billion: 1_000_000_000,
  trillion: 1_000_000_000_000,
  dozen: 12,
};
const POWERS: Readonly<Record<string, number>> = { square: 2, sq: 2, squared: 2, cubic: 3, cu: 3, cubed: 3 };

/** The multiplier that a word stands for: "million". */
export function multiplierOf(word: string): number | undefined {
  const key = word.trim().toLowerCase().replace(/s$/, "");
  return Object.hasOwn(MULTIPLIERS, key) ? MULTIPLIERS[key] : undefined;
}

function unitOf(word: string): string | undefined {
  const singular = word.replace(/s$/, "");
  for (const key of [word, singular]) if (Object.hasOwn(UNITS, key)) return UNITS[key];
  return undefined;
}

/**
 * A unit in one spelling: "square inches" with power 1 and "in" with power 2 both give "in^2", "miles per hour" gives "mi/h".
 * undefined for words that are no unit, which say nothing about the number: apples, ways, cm and more.
 */
export function canonicalUnit(words: string, power = 1): string | undefined {
  const text = words
    .toLowerCase()
    .replace(/\b([ap])\.\s?m(?:\.|\b)/g, "$1m")
    .replace(/\bper\b/g, " / ")
    .replace(/\ban?\b|[.,*·()]/g, " ")
    .replace(/\//g, " / ")
    .replace(/\s*\^\s*/g, "^");
  const parts: string[] = [];
  let pending = 1;
  for (const word of text.split(/\s+/).filter((part) => part !== "")) {
    const [, name = word, exponent = "1"] = /^([^\d^]+?)\^?\{?(-?\d)\}?$/.exec(word) ?? [];
    const unit = unitOf(name);
    if (word === "/") parts.push("/");
    else if (Object.hasOwn(POWERS, word)) {
      const size = POWERS[word] ?? 1;
      const isAfter = word.endsWith("d");
      if (isAfter && parts.length > 0) parts.push(`${parts.pop()}^${size}`);
      else pending = size;
    } else if (unit === undefined) return undefined;
    else {
      const raised = pending * Math.abs(Number(exponent));
      if (exponent.startsWith("-")) parts.push("/");
      parts.push(raised === 1 ? unit : `${unit}^${raised}`);
      pending = 1;
    }
  }
  const last = parts.pop();
  if (last === undefined) return undefined;
  const raised = power === 1 ? last : `${last}^${power}`;
  return [...parts, raised].filter((part) => part !== "unit").join("") || undefined;
}

/** Words that a number may be followed by without \text: "5 cm", "90 degrees", "36 dollars". Single letters are symbols. */
export function isPlainUnit(word: string): boolean {
  return word.length > 1 && !/^[ap]m$/i.test(word) && unitOf(word.toLowerCase()) !== undefined;
}
