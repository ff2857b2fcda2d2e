/** Comparison of answers as the published grader does it, with its leniencies. */
import { areExpressionsEqual, constantRatio, realValue } from "../compare-expressions.ts";
import { difference, type Expression } from "../expression.ts";
import { MAX_ANSWER_LENGTH } from "../notation.ts";
import { Work } from "../work.ts";
import { type LatexResult, readLatex } from "./latex2sympy.ts";
import { type PythonValue, readPython } from "./python-expression.ts";
import { stripGraded } from "./strip-string.ts";

const MAX_DEPTH = 5;
/** math.isclose with abs_tol 1e-4 and its default rel_tol. */
const ABSOLUTE = 1e-4;
const RELATIVE = 1e-9;
/** (A), A., A), **A**, A: at the start of an answer. */
const CHOICE_PREFIXES = [..."ABCDE"].flatMap((letter) => [
  new RegExp(`^\\(${letter}\\)`),
  new RegExp(`^${letter}\\.`),
  new RegExp(`^${letter}\\)`),
  new RegExp(`^\\*\\*${letter}\\*\\*`),
  new RegExp(`^${letter}:`),
]);

/** True if the published grader takes the extracted answer for the target. Longer answers than 4,000 characters must be the same. */
export function isEqualLikeReference(extracted: string, target: string): boolean {
  if (extracted.length > MAX_ANSWER_LENGTH || target.length > MAX_ANSWER_LENGTH) return extracted === target;
  return mathEqual(stripGraded(extracted), stripGraded(target), { depth: 0, work: new Work() });
}

interface State {
  readonly depth: number;
  readonly work: Work;
}

function mathEqual(prediction: string, reference: string, state: State): boolean {
  if (state.depth > MAX_DEPTH || !state.work.spend(10)) return false;
  const deeper = { ...state, depth: state.depth + 1 };
  if (prediction.trim().toLowerCase() === reference.trim().toLowerCase()) return true;
  if (/^[A-E]$/.test(reference) && lastLetter(prediction) === reference) return true;
  for (const prefix of CHOICE_PREFIXES) {
    if (prefix.test(prediction) && mathEqual(prediction.replace(prefix, "").trim(), reference, deeper))
      return true;
  }
  if (isSameSortedList(prediction, reference, deeper)) return true;
  const numbers = [parseDigits(prediction), parseDigits(reference)] as const;
  if (numbers[0] !== undefined && numbers[1] !== undefined) {
    const wanted = numbers[1];
    return [wanted / 100, wanted, wanted * 100].some((value) => isClose(value, numbers[0] ?? 0));
  }
  if (prediction === "") return false;
  return isSameStructure(prediction.trim(), reference.trim(), deeper);
}

/** The last of the letters A to E that stand alone, whatever their case. */
function lastLetter(prediction: string): string {
  const text = prediction
    .replace(/^\n+|\n+$/g, "")
    .replace(/\.+$/, "")
    .replace(/\/+$/, "")
    .replace(/^ +| +$/g, "")
    .replace(/^:+/, "");
  const letters = [...text.toUpperCase().matchAll(/(?<![\p{L}\p{N}_])[A-E](?![\p{L}\p{N}_])/gu)];
  const last = letters.at(-1)?.[0] ?? text.trim().replace(/^\.+|\.+$/g, "");
  return last.replace(/\.+$/, "").replace(/\/+$/, "");
}

function isSameSortedList(prediction: string, reference: string, state: State): boolean {
  if (!prediction.includes(",") || !reference.includes(",")) return false;
  const parts = (text: string) =>
    text
      .split(",")
      .map((part) => part.trim())
      .sort(byCodeUnits);
  const [found, wanted] = [parts(prediction), parts(reference)];
  return found.length === wanted.length && found.every((part, i) => mathEqual(part, wanted[i] ?? "", state));
}

function byCodeUnits(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** Python's float() of a text without commas; a percent sign divides by 100. */
function parseDigits(text: string): number | undefined {
  const plain = text.replaceAll(",", "");
  const number = pythonFloat(plain);
  if (number !== undefined || !plain.endsWith("%")) return number;
  const share = pythonFloat(plain.slice(0, -1).replace(/\\$/, ""));
  return share === undefined ? undefined : share / 100;
}

function pythonFloat(text: string): number | undefined {
  const plain = text.trim();
  if (/^[-+]?(inf|infinity)$/i.test(plain))
    return plain.startsWith("-") ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY;
  if (/^[-+]?nan$/i.test(plain)) return Number.NaN;
  const isNumber = /^[-+]?(\d+(_\d+)*\.?(\d+(_\d+)*)?|\.\d+(_\d+)*)(e[-+]?\d+(_\d+)*)?$/i.test(plain);
  return isNumber ? Number(plain.replaceAll("_", "")) : undefined;
}

function isClose(a: number, b: number): boolean {
  if (a === b) return true;
  if (!Number.isFinite(a) || !Number.isFinite(b)) return false;
  return Math.abs(a - b) <= Math.max(RELATIVE * Math.max(Math.abs(a), Math.abs(b)), ABSOLUTE);
}

/** What comes after numbers: brackets are dropped, then tuples, matrices, equations and symbols are tried. */
function isSameStructure(prediction: string, target: string, state: State): boolean {
  const reference =
    prediction.includes("pmatrix") && !target.includes("pmatrix") ? asMatrices(target) : target;
  if (isSameWithoutBrackets(prediction, reference)) return true;
  const isTuple = (text: string) => /^[([].+[)\]]/.test(text);
  if (isTuple(prediction) && isTuple(reference)) {
    const [found, wanted] = [prediction.slice(1, -1).split(","), reference.slice(1, -1).split(",")];
    if (found.length === wanted.length && found.every((part, i) => mathEqual(part, wanted[i] ?? "", state)))
      return true;
  }
  if (isMatrix(prediction) && isMatrix(reference) && isSameMatrix(prediction, reference, state)) return true;
  if (isSameEquation(prediction, reference, state)) return true;
  return isSymbolicEqual(prediction, reference, state.work);
}

/** {1,2} as a matrix, as the grader writes it. */
function asMatrices(text: string): string {
  const groups = text.trim().match(/\{.*,.*\}/g) ?? [];
  const matrices = groups.map((group) => {
    const inner = group.trim().replace(/^[{}]+|[{}]+$/g, "");
    return `\\begin{pmatrix}${inner.replaceAll(",", "\\")}\\end{pmatrix}`;
  });
  return matrices.join(", ");
}

/** True if both are the same in lower case without brackets; square brackets go if the prediction has one kind all around. */
function isSameWithoutBrackets(prediction: string, reference: string): boolean {
  const isAround = (open: string, close: string) => prediction.startsWith(open) && prediction.endsWith(close);
  const isStripped =
    (isAround("[", "]") && !reference.startsWith("(")) || (isAround("(", ")") && !reference.startsWith("["));
  const bare = (text: string) =>
    (isStripped ? text.replace(/^[[\]()]+|[[\]()]+$/g, "") : text).replace(/[{}()]/g, "").toLowerCase();
  return bare(prediction) === bare(reference);
}

function isMatrix(text: string): boolean {
  return /^\\begin\{[pb]matrix\}/.test(text) && /\\end\{[pb]matrix\}$/.test(text);
}

function isSameMatrix(prediction: string, reference: string, state: State): boolean {
  const rows = (text: string) =>
    text
      .slice("\\begin{pmatrix}".length, -"\\end{pmatrix}".length)
      .split("\\\\")
      .map((line) => line.trim())
      .filter((line) => line !== "");
  const [found, wanted] = [rows(prediction), rows(reference)];
  if (found.length !== wanted.length) return false;
  return found.every((row, i) => {
    const [cells, others] = [row.split("&"), (wanted[i] ?? "").split("&")];
    return (
      cells.length === others.length && cells.every((cell, j) => mathEqual(cell, others[j] ?? "", state))
    );
  });
}

function isSameEquation(prediction: string, reference: string, state: State): boolean {
  const [found, wanted] = [prediction.split("="), reference.split("=")];
  const nameLength = (sides: readonly string[]) => [...(sides[0] ?? "").trim()].length;
  if (found.length === 2 && wanted.length === 2) {
    const moved = (sides: readonly string[]) => `${(sides[0] ?? "").trim()} - (${(sides[1] ?? "").trim()})`;
    const [a, b] = [moved(found), moved(wanted)];
    return isSymbolicEqual(a, b, state.work) || isSymbolicEqual(`-(${a})`, b, state.work);
  }
  if (found.length === 2 && nameLength(found) <= 2 && wanted.length === 1)
    return mathEqual(found[1] ?? "", reference, state);
  if (wanted.length === 2 && nameLength(wanted) <= 2 && found.length === 1)
    return mathEqual(prediction, wanted[1] ?? "", state);
  return false;
}

/** What SymPy decides there: the same tree, a difference that simplifies to 0, the same number to 1e-4, or the same Python value. */
function isSymbolicEqual(a: string, b: string, work: Work): boolean {
  const [x, y] = [readEither(a), readEither(b)];
  if (!x || !y) return a === b;
  return areValuesEqual(x, y, work);
}

/** SymPy's expressions are tried before LaTeX, and halved pairs of backslashes before whole ones. */
function readEither(text: string): PythonValue | undefined {
  const halved = text.replaceAll("\\\\", "\\");
  const python = readPython(halved) ?? readPython(text);
  return python ?? fromLatex(readLatex(halved) ?? readLatex(text));
}

function fromLatex(result: LatexResult | undefined): PythonValue | undefined {
  const [expression, second] = result?.sides ?? [];
  if (!result || !expression) return undefined;
  if (!second) return { kind: "expression", expression };
  // latex2sympy2 takes "x = …" for an assignment, whose value is the right side, and solves every other equation.
  const isAssignment = result.relations.join() === "=" && expression.kind === "symbol";
  if (isAssignment) return { kind: "expression", expression: second };
  if (result.relations.every((relation) => relation === ",")) return { kind: "list", items: result.sides };
  return { kind: "relation", sides: result.sides, relation: result.relations.join(" ") };
}

function areValuesEqual(a: PythonValue, b: PythonValue, work: Work): boolean {
  const areEqual = (x: Expression, y: Expression | undefined) =>
    y !== undefined && areExpressionsEqual(x, y, work);
  if (a.kind === "expression" && b.kind === "expression") {
    if (areEqual(a.expression, b.expression)) return true;
    const [left, right] = [realValue(a.expression, work), realValue(b.expression, work)];
    return left !== undefined && right !== undefined && isClose(left, right);
  }
  if (a.kind === "relation" && b.kind === "relation") {
    const isSame = a.relation === b.relation && a.sides.every((side, i) => areEqual(side, b.sides[i]));
    return isSame || areMovedAlike(a, b, work);
  }
  if (a.kind === "expression" || a.kind === "relation" || a.kind !== b.kind) return false;
  const [left, right] = [a.items, b.items];
  if (a.kind !== "set")
    return left.length === right.length && left.every((item, i) => areEqual(item, right[i]));
  const isIn = (item: Expression, set: readonly Expression[]) => set.some((other) => areEqual(item, other));
  return left.every((item) => isIn(item, right)) && right.every((item) => isIn(item, left));
}

/** latex2sympy2 solves equations, so that multiples are alike; of other relations the size of the difference counts. */
function areMovedAlike(a: RelationValue, b: RelationValue, work: Work): boolean {
  const [x, y] = [sideDifference(a.sides), sideDifference(b.sides)];
  if (!x || !y) return false;
  const areEquations = a.relation === "=" && b.relation === "=";
  if (areEquations && constantRatio(x, y, work) !== undefined) return true;
  return areExpressionsEqual(absolute(x), absolute(y), work);
}

type RelationValue = PythonValue & { readonly kind: "relation" };

function sideDifference(sides: readonly Expression[]): Expression | undefined {
  const [left, right] = sides;
  return left && right && sides.length === 2 ? difference(left, right) : undefined;
}

function absolute(inner: Expression): Expression {
  return { kind: "call", name: "abs", args: [inner] };
}
