/** Whether an answer says the same as the target. */
import type { Answer } from "./answer.ts";
import { areExpressionsEqual, constantRatio, realValue, treeText } from "./compare-expressions.ts";
import { difference, type Expression, expandSigns } from "./expression.ts";
import { parseAnswer } from "./parse-answer.ts";
import { integer } from "./rational.ts";
import { areSegmentsEqual } from "./segments.ts";
import { plainText } from "./text.ts";
import type { Work } from "./work.ts";

/** True if the answer is the target in another form. Units, brackets, ends and order matter where they carry meaning. */
export function compareAnswers(target: Answer, answer: Answer, work: Work): boolean {
  if (!work.spend(1)) return false;
  if (target.kind === "assignment" || answer.kind === "assignment")
    return compareAssigned(target, answer, work);
  const values = namedValues(target, answer);
  if (values) return haveSameOrder(values[0], values[1], work);
  if (isCollection(target) || isCollection(answer)) return compareCollections(target, answer, work);
  if (target.kind === "combination" || answer.kind === "combination")
    return compareCombinations(target, answer, work);
  if (target.kind !== answer.kind) return compareKinds(target, answer, work);
  switch (target.kind) {
    case "expression":
      return answer.kind === "expression" && compareQuantities(target, answer, work);
    case "tuple":
      return answer.kind === "tuple" && compareTuples(target, answer, work);
    case "matrix":
      return answer.kind === "matrix" && compareMatrices(target, answer, work);
    case "relation":
      return answer.kind === "relation" && compareRelations(target, answer, work);
    case "ratio":
      return answer.kind === "ratio" && compareTimesOrRatios(target, answer, work);
    case "text":
      return answer.kind === "text" && plainText(target.text) === plainText(answer.text);
    default:
      return false;
  }
}

/** "x = 5" answers 5, and 5 answers "x = 5"; of two equations both must name the same, or be multiples of one another. */
function compareAssigned(target: Answer, answer: Answer, work: Work): boolean {
  if (target.kind === "assignment" && answer.kind === "assignment") {
    const isSameName = target.name === answer.name && compareAnswers(target.value, answer.value, work);
    if (isSameName || !target.equation || !answer.equation) return isSameName;
    return compareAnswers(target.equation, answer.equation, work);
  }
  if (target.kind === "assignment") {
    if (answer.kind === "relation") return compareAnswers(target.equation ?? target.value, answer, work);
    const isCompound = /[+,*]/.test(target.name.replace(/\(.*\)/, ""));
    return !isCompound && compareAnswers(target.value, answer, work);
  }
  if (answer.kind !== "assignment") return false;
  if (target.kind === "relation") return compareAnswers(target, answer.equation ?? answer.value, work);
  return compareAnswers(target, answer.value, work);
}

/** The values of a point and of "x = 3, y = -4", in the order of the names; undefined for other pairs. */
function namedValues(target: Answer, answer: Answer): [readonly Answer[], readonly Answer[]] | undefined {
  const pair = [target, answer].map((side) => {
    if (side.kind === "tuple") return side.open === "(" && side.close === ")" ? side.items : undefined;
    return side.kind === "list" ? valuesByName(side.items) : undefined;
  });
  const [wanted, found] = pair;
  const isPair = target.kind !== answer.kind && wanted && found && wanted.length === found.length;
  return isPair ? [wanted, found] : undefined;
}

function valuesByName(items: readonly Answer[]): readonly Answer[] | undefined {
  const named = items.filter((item) => item.kind === "assignment");
  if (named.length !== items.length || new Set(named.map(({ name }) => name)).size !== named.length)
    return undefined;
  return [...named].sort((a, b) => (a.name < b.name ? -1 : 1)).map(({ value }) => value);
}

function isCollection(answer: Answer): boolean {
  if (answer.kind === "expression") return expandSigns(answer.expression).length > 1;
  return answer.kind === "list" || answer.kind === "set";
}

/** The values of a list or set, both values of each "±" apart. */
function itemsOf(answer: Answer): readonly Answer[] {
  if (answer.kind === "list" || answer.kind === "set") return answer.items.flatMap(itemsOf);
  if (answer.kind !== "expression") return [answer];
  return expandSigns(answer.expression).map((expression) => ({ ...answer, expression }));
}

/** Compares values in any order: a list with its repetitions, a set without. One value may be said twice: 1/2 or 0.5. */
function compareCollections(target: Answer, answer: Answer, work: Work): boolean {
  if (answer.kind === "list" && !isCollection(target) && !isRepetition(answer.items)) {
    if (answer.items.every((item) => compareAnswers(target, item, work))) return true;
  }
  const isSet = target.kind === "set" || answer.kind === "set";
  const items = (of: Answer) => (isSet ? distinct(itemsOf(of), work) : itemsOf(of));
  const [wanted, found] = [items(target), [...items(answer)]];
  if (wanted.length === found.length && haveSameItems(wanted, found, work)) return true;
  const hasRelation = [target, answer].some((of) => itemsOf(of).some(({ kind }) => kind === "relation"));
  const isMixed = target.kind === "combination" || answer.kind === "combination" || hasRelation;
  return isMixed && areSegmentsEqual(target, answer, work) === true;
}

/** 5, 5: the same value in the same form. */
function isRepetition(items: readonly Answer[]): boolean {
  const [first, second] = items.map((item) => (item.kind === "expression" ? treeText(item.expression) : ""));
  return first === second;
}

function distinct(items: readonly Answer[], work: Work): readonly Answer[] {
  const kept: Answer[] = [];
  for (const item of items) if (!kept.some((other) => compareAnswers(other, item, work))) kept.push(item);
  return kept;
}

function haveSameItems(wanted: readonly Answer[], found: readonly Answer[], work: Work): boolean {
  const left = [...found];
  return wanted.every((item) => {
    const index = left.findIndex((other) => compareAnswers(item, other, work));
    if (index >= 0) left.splice(index, 1);
    return index >= 0;
  });
}

function compareCombinations(target: Answer, answer: Answer, work: Work): boolean {
  const verdict = areSegmentsEqual(target, answer, work);
  if (verdict !== undefined) return verdict;
  if (target.kind !== "combination" || answer.kind !== "combination" || target.operation !== answer.operation)
    return false;
  const [wanted, found] = [target.parts, answer.parts];
  if (wanted.length !== found.length) return false;
  if (target.operation !== "∖") return haveSameItems(wanted, found, work);
  return wanted.every((part, i) => {
    const other = found[i];
    return other !== undefined && compareAnswers(part, other, work);
  });
}

/** Different forms of one thing: an interval and an inequality, a ratio and a fraction. */
function compareKinds(target: Answer, answer: Answer, work: Work): boolean {
  const pair = [target, answer];
  if (pair.some(({ kind }) => kind === "relation")) return areSegmentsEqual(target, answer, work) === true;
  const ratio = pair.find((side) => side.kind === "ratio");
  const expression = pair.find((side) => side.kind === "expression");
  if (ratio?.kind === "ratio" && expression?.kind === "expression") {
    return compareRatios(ratio.parts, [expression.expression, ONE], work);
  }
  const text = pair.find((side) => side.kind === "text");
  const isReal =
    expression?.kind === "expression" &&
    expression.expression.kind === "symbol" &&
    expression.expression.name === "set R";
  if (isReal && pair.some(({ kind }) => kind === "tuple"))
    return areSegmentsEqual(target, answer, work) === true;
  return text?.kind === "text" && pair.some((side) => side.kind === "set" && side.items.length === 0);
}

const ONE: Expression = { kind: "number", value: integer(1) };
const HUNDRED: Expression = { kind: "number", value: integer(100) };

type Quantity = Answer & { kind: "expression" };

/** Both numbers, if their units do not contradict each other. */
function compareQuantities(target: Quantity, answer: Quantity, work: Work): boolean {
  const areEqual = (a: Expression, b: Expression) => areExpressionsEqual(a, b, work);
  const [wanted, found] = [target.unit, answer.unit];
  if (wanted === found) return areEqual(target.expression, answer.expression);
  if (wanted === "percent" || found === "percent") return comparePercent(target, answer, work);
  const isScaleLeftOut =
    wanted === "degree" ? found?.startsWith("degree ") : found === "degree" && wanted?.startsWith("degree ");
  if (wanted === undefined || found === undefined || isScaleLeftOut)
    return areEqual(target.expression, answer.expression) || hasUnitAsSymbols(target, answer, work);
  const inCents = ({ expression, unit }: Quantity): Expression =>
    unit === "dollar" ? { kind: "product", factors: [HUNDRED, expression] } : expression;
  const isMoney = [wanted, found].every((unit) => unit === "dollar" || unit === "cent");
  return isMoney && areEqual(inCents(target), inCents(answer));
}

/** "3 m" without \\text is three times a symbol: what the target's unit is spelled by. */
function hasUnitAsSymbols({ expression, unit }: Quantity, answer: Quantity, work: Work): boolean {
  if (answer.unit !== undefined || unit === undefined || !/^[a-z](?:\^\d)?(?:\/[a-z](?:\^\d)?)?$/.test(unit))
    return false;
  return [unit, unit.toUpperCase()].some((spelling) => {
    const symbols = parseAnswer(spelling, { commasGroupDigits: false });
    if (symbols?.kind !== "expression") return false;
    return areExpressionsEqual(
      { kind: "product", factors: [expression, symbols.expression] },
      answer.expression,
      work,
    );
  });
}

/**
 * 28 % is the number 0.28, and 28 where the problem asks for percent. It asks for percent if the target says so,
 * or if the target is no share: a target of 0.15 is not answered by 0.15 %.
 */
function comparePercent(target: Quantity, answer: Quantity, work: Work): boolean {
  if (target.unit !== undefined && answer.unit !== undefined) return false;
  const share = ({ expression, unit }: Quantity): Expression =>
    unit === "percent" ? { kind: "quotient", top: expression, bottom: HUNDRED } : expression;
  if (areExpressionsEqual(share(target), share(answer), work)) return true;
  const mayBePercent = target.unit === "percent" || Math.abs(realValue(target.expression, work) ?? 0) > 1;
  return mayBePercent && areExpressionsEqual(target.expression, answer.expression, work);
}

/** Two values in brackets may be an interval, so its brackets count; of three or more "[…]" and "(…)" both are a vector. */
function compareTuples(
  target: Answer & { kind: "tuple" },
  answer: Answer & { kind: "tuple" },
  work: Work,
): boolean {
  if (target.items.length !== answer.items.length) return false;
  const isPair = target.items.length === 2;
  const bracketsOf = ({ open, close, items }: Answer & { kind: "tuple" }) => {
    const isEndless = (item: Answer | undefined) =>
      item?.kind === "expression" && !Number.isFinite(realValue(item.expression, work) ?? 0);
    return `${isEndless(items[0]) ? "(" : open}${isEndless(items.at(-1)) ? ")" : close}`;
  };
  const isMatched = (brackets: string) => brackets === "()" || brackets === "[]";
  const brackets = [bracketsOf(target), bracketsOf(answer)] as const;
  const isSameBrackets = brackets[0] === brackets[1] || (!isPair && brackets.every(isMatched));
  return isSameBrackets && haveSameOrder(target.items, answer.items, work);
}

function haveSameOrder(wanted: readonly Answer[], found: readonly Answer[], work: Work): boolean {
  return wanted.every((item, i) => {
    const other = found[i];
    return other !== undefined && compareAnswers(item, other, work);
  });
}

function compareMatrices(
  target: Answer & { kind: "matrix" },
  answer: Answer & { kind: "matrix" },
  work: Work,
): boolean {
  if (target.isDeterminant !== answer.isDeterminant || target.rows.length !== answer.rows.length)
    return false;
  return target.rows.every((row, i) => {
    const other = answer.rows[i];
    return other !== undefined && row.length === other.length && haveSameOrder(row, other, work);
  });
}

/** Two-sided relations are equal if one is a multiple of the other, by a positive number for inequalities; chains side by side. */
function compareRelations(
  target: Answer & { kind: "relation" },
  answer: Answer & { kind: "relation" },
  work: Work,
): boolean {
  if (areSegmentsEqual(target, answer, work) === true) return true;
  if (target.sides.length !== answer.sides.length) return false;
  const [sign, other] = [target.relations[0], answer.relations[0]];
  const [left, right] = [sideDifference(target), sideDifference(answer)];
  if (target.sides.length === 2 && left && right) {
    const ratio = constantRatio(left, right, work);
    if (ratio !== undefined)
      return (ratio > 0 ? sign : flipped(sign)) === other || (sign === other && sign === "=");
  }
  const isSameChain = target.relations.every((relation, i) => relation === answer.relations[i]);
  return (
    isSameChain &&
    target.sides.every((side, i) => {
      const match = answer.sides[i];
      return match !== undefined && areExpressionsEqual(side, match, work);
    })
  );
}

function sideDifference({ sides }: Answer & { kind: "relation" }): Expression | undefined {
  const [left, right] = sides;
  return left && right && difference(left, right);
}

function flipped(relation: string | undefined): string | undefined {
  const flips: Readonly<Record<string, string>> = {
    "<": ">",
    ">": "<",
    "<=": ">=",
    ">=": "<=",
    "=": "=",
    "!=": "!=",
  };
  return relation === undefined ? undefined : flips[relation];
}

/** Times of day are equal part by part; the half of the day may be left out. */
function compareTimesOrRatios(
  target: Answer & { kind: "ratio" },
  answer: Answer & { kind: "ratio" },
  work: Work,
): boolean {
  if (!target.isClock && !answer.isClock) return compareRatios(target.parts, answer.parts, work);
  if (target.half && answer.half && target.half !== answer.half) return false;
  const others = answer.parts;
  if (target.parts.length !== others.length) return false;
  return target.parts.every((part, i) => areExpressionsEqual(part, others[i] ?? ONE, work));
}

/** a:b:c and 2a:2b:2c are one ratio. */
function compareRatios(target: readonly Expression[], answer: readonly Expression[], work: Work): boolean {
  const [first, other] = [target[0], answer[0]];
  if (!first || !other || target.length !== answer.length) return false;
  return target.every((part, i) => {
    const match = answer[i] ?? part;
    return areExpressionsEqual(
      { kind: "product", factors: [part, other] },
      { kind: "product", factors: [match, first] },
      work,
    );
  });
}
