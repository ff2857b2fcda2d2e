/** Spellings of LaTeX and plain text, and what they mean. */
import type { FunctionName } from "./expression.ts";
import { inAscii } from "./written-signs.ts";

/** Stands for a comma between digit groups that LaTeX marks as such: {,} or ,\! */
export const GROUP_COMMA = "\uE000";

const SPACES = /\\(?:[,;:!> ]|q?quad\b|thinspace\b|medspace\b|thickspace\b|hfill\b|enspace\b)|~|\\\n/g;
const DROPPED =
  /\\(?:left|right|middle|bigg?[lrm]?|Bigg?[lrm]?|(?:display|text|script|scriptscript)style|limits|nolimits|mathopen|mathclose|rm|bf|it|tiny|small|normalsize|[lL]arge|LARGE|[hH]uge|mathstrut|strut|relax|boldmath|noindent|nobreak|allowbreak)(?![A-Za-z])(?:\s*\.(?![0-9]))?/g;

/** Characters of plain text and Unicode to the marks and commands that stand for them. */
const PLAIN: Readonly<Record<string, string>> = {
  "−": "-",
  "–": "-",
  "—": "-",
  "×": "*",
  "·": "*",
  "⋅": "*",
  "∙": "*",
  "÷": "/",
  "∕": "/",
  "⁄": "/",
  π: "\\pi ",
  "∞": "\\infty ",
  "√": " sqrt ",
  "°": "°",
  º: "°",
  "≤": "\\le ",
  "≥": "\\ge ",
  "≠": "\\ne ",
  "≈": "\\approx ",
  "∪": "\\cup ",
  "∩": "\\cap ",
  "∈": "\\in ",
  "±": "\\pm ",
  "∓": "\\mp ",
  "∅": "\\emptyset ",
  θ: "\\theta ",
  α: "\\alpha ",
  β: "\\beta ",
  γ: "\\gamma ",
  δ: "\\delta ",
  ε: "\\epsilon ",
  λ: "\\lambda ",
  μ: "\\mu ",
  ρ: "\\rho ",
  σ: "\\sigma ",
  τ: "\\tau ",
  ω: "\\omega ",
  φ: "\\phi ",
  ℝ: "\\mathbb{R}",
  "’": "'",
  "′": "'",
  "∠": "\\angle ",
  "€": "\\euro ",
  "£": "\\pounds ",
  "⩽": "\\le ",
  "⩾": "\\ge ",
  "、": ",",
};
const PLAIN_PATTERN = new RegExp(`[${Object.keys(PLAIN).join("")}]`, "gu");

/** Commands that mean a mark. */
export const MARKS: ReadonlyMap<string, string> = new Map(
  Object.entries({
    cdot: "*",
    times: "*",
    ast: "*",
    bullet: "*",
    cdotp: "*",
    div: "/",
    slash: "/",
    le: "<=",
    leq: "<=",
    leqslant: "<=",
    ge: ">=",
    geq: ">=",
    geqslant: ">=",
    lt: "<",
    gt: ">",
    ne: "!=",
    neq: "!=",
    approx: "≈",
    sim: "≈",
    simeq: "≈",
    equiv: "=",
    colon: ":",
    lbrace: "\\{",
    rbrace: "\\}",
    "{": "\\{",
    "}": "\\}",
    "|": "|",
    vert: "|",
    lvert: "|",
    rvert: "|",
    mid: "|",
    Vert: "‖",
    lVert: "‖",
    rVert: "‖",
    lfloor: "⌊",
    rfloor: "⌋",
    lceil: "⌈",
    rceil: "⌉",
    langle: "⟨",
    rangle: "⟩",
    in: "∈",
    cup: "∪",
    cap: "∩",
    setminus: "∖",
    smallsetminus: "∖",
    backslash: "∖",
    pm: "±",
    mp: "∓",
    circ: "°",
    degree: "°",
    "%": "%",
    $: "$",
    "&": "&",
    "#": "#",
    "\\": "\\\\",
    newline: "\\\\",
    cr: "\\\\",
    over: "over",
    choose: "choose",
    euro: "€",
    pounds: "£",
    textdollar: "$",
    textdegree: "°",
    lbrack: "[",
    rbrack: "]",
    lparen: "(",
    rparen: ")",
    bmod: "mod",
    pmod: "pmod",
    to: "→",
    rightarrow: "→",
    implies: "→",
    Rightarrow: "→",
    land: ",",
    lor: "∪",
    prime: "'",
    _: "_",
  }),
);

/** Commands whose group is set as it is. */
export const TEXT_COMMANDS = new Set([
  "text",
  "mbox",
  "textbf",
  "textit",
  "textrm",
  "textsf",
  "texttt",
  "textnormal",
  "mathrm",
  "hbox",
  "operatorname",
  "emph",
  "textup",
]);
export const STYLE_COMMANDS = new Set([
  "mathbf",
  "mathit",
  "mathsf",
  "boldsymbol",
  "bm",
  "pmb",
  "boxed",
  "fbox",
  "underline",
  "displaylines",
  "ensuremath",
  "mathcal",
  "mathfrak",
  "mathop",
  "vec",
  "hat",
  "tilde",
  "widehat",
]);
export const NO_OUTPUT = new Set([
  "phantom",
  "hspace",
  "vspace",
  "color",
  "textcolor",
  "colorbox",
  "label",
  "tag",
  "hphantom",
  "vphantom",
]);
export const COMMANDS = new Set([
  "frac",
  "dfrac",
  "tfrac",
  "cfrac",
  "sqrt",
  "binom",
  "dbinom",
  "tbinom",
  "overline",
  "bar",
  "dot",
  "begin",
  "end",
  "mathbb",
  "angle",
]);
export const ALIASES: ReadonlyMap<string, string> = new Map(
  Object.entries({
    dfrac: "frac",
    tfrac: "frac",
    bar: "overline",
    cfrac: "frac",
    dbinom: "binom",
    tbinom: "binom",
  }),
);

/** Functions that plain text and expressions call by the same name. */
export const PLAIN_FUNCTIONS = [
  "sin",
  "cos",
  "tan",
  "cot",
  "sec",
  "csc",
  "arcsin",
  "arccos",
  "arctan",
  "sinh",
  "cosh",
  "tanh",
  "ln",
  "log",
  "exp",
  "abs",
  "min",
  "max",
  "gcd",
  "lcm",
  "floor",
] as const satisfies readonly FunctionName[];

/** Names of more than one letter that plain text spells without a backslash. */
export const PLAIN_NAMES: ReadonlySet<string> = new Set([
  ...PLAIN_FUNCTIONS,
  "lg",
  "cis",
  "det",
  "ceil",
  "sqrt",
  "mod",
  "pi",
  "infty",
  "infinity",
  "inf",
  "theta",
  "alpha",
  "beta",
  "gamma",
  "lambda",
  "omega",
  "phi",
]);

/** Longest answer that is read as mathematics, in characters. */
export const MAX_ANSWER_LENGTH = 4000;

const UNSEEN = new RegExp(`\\\\(?:${[...NO_OUTPUT].join("|")})\\s*\\{[^{}]*\\}`, "g");
const WRAPPERS = new RegExp(`\\\\(?:${[...TEXT_COMMANDS, ...STYLE_COMMANDS].join("|")})\\s*(?=\\{)`, "g");

/** A text without delimiters, styles, colours and boxes; their content stays in its braces. */
export function withoutDress(text: string): string {
  return tidy(text).replaceAll(GROUP_COMMA, ",").replace(UNSEEN, " ").replace(WRAPPERS, "");
}

/** Rewrites spelling that needs no structure: spaces, sizes of brackets, Unicode, groups of digits. */
export function tidy(text: string): string {
  // In a matrix two backslashes end a row; elsewhere a text was escaped twice and has \\frac for \frac.
  const isMatrix = text.includes("\\begin");
  const ascii = inAscii(text);
  const unescaped = isMatrix
    ? ascii.replace(/\\\\(?:\s*\[[^\]]{0,20}\])?/g, "\\newline ")
    : ascii.replace(/\\\\(?=[A-Za-z{}])/g, "\\").replace(/\\+$/, "");
  return unescaped
    .replace(/^\s*([-+]?)\s*0\s*\{\s*,\s*\}\s*(?=\d)/, "$10.")
    .replace(/\s*\{\s*,\s*\}\s*|,\s*(?:\\!\s*)+/g, GROUP_COMMA)
    .replace(/\{(?:\\[,;:!> ]|~)\}/g, " ")
    .replace(/(?<!\\)\\[()[\]]|(?<!\\)\$/g, " ")
    .replace(PLAIN_PATTERN, (sign) => PLAIN[sign] ?? sign)
    .replace(SPACES, (space) => (space === "\\!" ? "" : " "))
    .replace(DROPPED, " ")
    .replace(/\^\s*(?:\{\s*\\circ\s*\}|\\circ(?![A-Za-z])|\{\s*°\s*\}|°|\{\s*o\s*\})/g, "°")
    .trim();
}

/** The content of the braces that open at `start`, and where they end; undefined if they do not close. */
export function readGroup(text: string, start: number): { content: string; end: number } | undefined {
  let depth = 0;
  for (let i = start; i < text.length; i++) {
    if (text[i] === "\\") i++;
    else if (text[i] === "{") depth++;
    else if (text[i] === "}" && --depth === 0) return { content: text.slice(start + 1, i), end: i + 1 };
  }
  return undefined;
}
