/** Methods as a reader sees them: one series of budgets each, with a name, a colour and a symbol. */
export interface Method {
  /** The attention as the rows name it. */
  readonly spec: string;
  /** Tokens that a decode step may attend to; undefined for what has no budget. */
  readonly budget: number | undefined;
  readonly series: Series;
}

/** A method over its budgets. */
export interface Series {
  /** The policy's name, and those settings in which runs of this policy differ, the budget apart. */
  readonly label: string;
  /** baseline: full attention. bound: the oracle and random tokens, between which a method lies. */
  readonly role: "baseline" | "method" | "bound";
  /** A CSS variable. */
  readonly colour: string;
  readonly symbol: SymbolName;
  /** Dashes of its line, as SVG has them; none for a whole line. */
  readonly dash: string | undefined;
}

export type SymbolName = "circle" | "square" | "triangle" | "diamond" | "star" | "cross" | "wye" | "hexagon";

/** Colours that differ for most colour-blind readers; symbols and dashes say the same without them. */
export const SERIES_COLOURS = 8;
const SYMBOLS: readonly SymbolName[] = [
  ...(["circle", "triangle", "square", "diamond", "hexagon", "star", "cross", "wye"] as const),
];
/** The order of policies in legends and tables, which decides their colours. */
const ORDER = [
  ...["full", "less-is-more", "tidal-decode", "quest", "seer-attention-r", "kascade", "streaming-llm"],
];
const BOUNDS = ["oracle-top-k", "random-tokens"];
/** What is not said of a policy: a seed changes nothing that its name stands for. */
const HIDDEN = new Set(["budget", "seed"]);

interface Parsed {
  readonly spec: string;
  readonly name: string;
  readonly settings: ReadonlyMap<string, string>;
}

/** Sorts attentions into series; the same specs get the same colours, whatever their order. */
export function methodsOf(specs: readonly string[]): Method[] {
  const parsed = [...new Set(specs)].map(parseSpec);
  parsed.sort(
    (a, b) =>
      rank(a.name) - rank(b.name) || compareText(a.name, b.name) || compareSettings(a.settings, b.settings),
  );
  const series = new Map<string, Series>();
  let coloured = 0;
  return parsed.map((one) => {
    const label = labelOf(one, parsed);
    let known = series.get(label);
    if (known === undefined) {
      known = makeSeries(one.name, label, roleOf(one.name) === "method" ? coloured++ : 0);
      series.set(label, known);
    }
    const budget = Number(one.settings.get("budget"));
    return { spec: one.spec, budget: budget > 0 ? budget : undefined, series: known };
  });
}

function makeSeries(name: string, label: string, index: number): Series {
  const role = roleOf(name);
  if (role === "baseline") return { label, role, colour: "var(--ink)", symbol: "square", dash: undefined };
  if (role === "bound")
    return {
      ...{ label, role, colour: "var(--muted)" },
      ...(name === BOUNDS[0] ? { symbol: "star", dash: "5,3" } : { symbol: "cross", dash: "1.5,3" }),
    };
  const round = Math.floor(index / SERIES_COLOURS);
  return {
    ...{ label, role },
    colour: `var(--series-${(index % SERIES_COLOURS) + 1})`,
    symbol: SYMBOLS[(index + round) % SYMBOLS.length] ?? "circle",
    dash: round === 0 ? undefined : `${2 + 4 * round},3`,
  };
}

function roleOf(name: string): Series["role"] {
  if (name === "full") return "baseline";
  return BOUNDS.includes(name) ? "bound" : "method";
}

/** "quest:budget=256,page=16" as a name and settings. What has another form is a name alone. */
function parseSpec(spec: string): Parsed {
  const [, name = spec, rest = ""] = /^(.+?):((?:[^=,]+=[^,]*)(?:,[^=,]+=[^,]*)*)$/.exec(spec) ?? [];
  const entries = rest.split(",").flatMap((entry): [string, string][] => {
    const at = entry.indexOf("=");
    return at < 0 ? [] : [[entry.slice(0, at), entry.slice(at + 1)]];
  });
  return { spec, name, settings: new Map(entries) };
}

function labelOf({ name, settings }: Parsed, all: readonly Parsed[]): string {
  const others = all.filter((one) => one.name === name);
  const said = [...settings].filter(
    ([key, value]) => !HIDDEN.has(key) && others.some((one) => one.settings.get(key) !== value),
  );
  return [name, ...said.map(([key, value]) => `${key} ${value}`)].join(" ");
}

function rank(name: string): number {
  const known = ORDER.indexOf(name);
  if (known >= 0) return known;
  const bound = BOUNDS.indexOf(name);
  return bound < 0 ? ORDER.length : ORDER.length + 1 + bound;
}

function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** By the settings other than the budget, then by the budget. */
function compareSettings(a: ReadonlyMap<string, string>, b: ReadonlyMap<string, string>): number {
  const rest = (settings: ReadonlyMap<string, string>) =>
    [...settings].filter(([key]) => key !== "budget").join(";");
  return compareText(rest(a), rest(b)) || Number(a.get("budget") ?? 0) - Number(b.get("budget") ?? 0);
}
