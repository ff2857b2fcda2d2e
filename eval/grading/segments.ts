/** Sets of real numbers as segments: intervals, their unions, inequalities in one symbol. */
import type { Answer, Relation } from "./answer.ts";
import { areExpressionsEqual, realValue } from "./compare-expressions.ts";
import { difference, type Expression, negated, symbolsOf } from "./expression.ts";
import { integer } from "./rational.ts";
import type { Work } from "./work.ts";

interface End {
  readonly at: number;
  readonly expression: Expression;
  readonly isClosed: boolean;
}

interface Segment {
  readonly low: End;
  readonly high: End;
}

const INFINITY: Expression = { kind: "constant", name: "infinity" };
const ZERO: Expression = { kind: "number", value: integer(0) };
const BELOW_ALL: End = { at: Number.NEGATIVE_INFINITY, expression: INFINITY, isClosed: false };
const ABOVE_ALL: End = { at: Number.POSITIVE_INFINITY, expression: INFINITY, isClosed: false };

/** True if both answers are sets of real numbers and have the same members; undefined if one is no such set. */
export function areSegmentsEqual(a: Answer, b: Answer, work: Work): boolean | undefined {
  const [x, y] = [segmentsOf(a, work), segmentsOf(b, work)];
  const [names, others] = [namesIn(a), namesIn(b)];
  if (!x || !y || names.size > 1 || others.size > 1) return undefined;
  if (names.size + others.size === 2 && [...names].join() !== [...others].join()) return false;
  const [left, right] = [merge(x), merge(y)];
  return left.length === right.length && left.every((segment, i) => isSame(segment, right[i], work));
}

/** The symbols that the inequalities of an answer are about. */
function namesIn(answer: Answer): ReadonlySet<string> {
  const names = new Set<string>();
  const visit = (one: Answer) => {
    if (one.kind === "relation") for (const side of one.sides) symbolsOf(side, names);
    else if (one.kind === "combination") one.parts.forEach(visit);
    else if (one.kind === "list" || one.kind === "set") one.items.forEach(visit);
  };
  visit(answer);
  return names;
}

function isSame(a: Segment, b: Segment | undefined, work: Work): boolean {
  if (!b) return false;
  const ends = [
    [a.low, b.low],
    [a.high, b.high],
  ] as const;
  return ends.every(([x, y]) => {
    if (x.isClosed !== y.isClosed) return false;
    return Number.isFinite(x.at) ? areExpressionsEqual(x.expression, y.expression, work) : x.at === y.at;
  });
}

function segmentsOf(answer: Answer, work: Work): readonly Segment[] | undefined {
  switch (answer.kind) {
    case "tuple":
      return answer.items.length === 2 ? intervalOf(answer, work) : undefined;
    case "relation":
      return solve(answer.sides, answer.relations, work);
    case "combination":
      return answer.operation === "∪" ? together(answer.parts, work) : without(answer, work);
    case "list":
      return answer.items.some(({ kind }) => kind === "relation") ? together(answer.items, work) : undefined;
    case "set":
      return together(answer.items, work);
    case "expression":
      return pointsOf(answer.expression, work);
    default:
      return undefined;
  }
}

function together(parts: readonly Answer[], work: Work): readonly Segment[] | undefined {
  const all: Segment[] = [];
  for (const part of parts) {
    const segments = segmentsOf(part, work);
    if (!segments) return undefined;
    all.push(...segments);
  }
  return all;
}

function endOf(expression: Expression, isClosed: boolean, work: Work): End | undefined {
  const at = realValue(expression, work);
  return at === undefined ? undefined : { at, expression, isClosed: isClosed && Number.isFinite(at) };
}

function intervalOf(answer: Answer & { kind: "tuple" }, work: Work): readonly Segment[] | undefined {
  const [low, high] = answer.items;
  if (low?.kind !== "expression" || high?.kind !== "expression") return undefined;
  const ends = [
    endOf(low.expression, answer.open === "[", work),
    endOf(high.expression, answer.close === "]", work),
  ] as const;
  return ends[0] && ends[1] && ends[0].at < ends[1].at ? [{ low: ends[0], high: ends[1] }] : undefined;
}

function pointsOf(expression: Expression, work: Work): readonly Segment[] | undefined {
  if (expression.kind === "symbol" && expression.name === "set R")
    return [{ low: BELOW_ALL, high: ABOVE_ALL }];
  const end = endOf(expression, true, work);
  return end && Number.isFinite(end.at) ? [{ low: end, high: end }] : undefined;
}

/** ℝ or an interval without single points. */
function without(answer: Answer & { kind: "combination" }, work: Work): readonly Segment[] | undefined {
  const [whole, ...removed] = answer.parts;
  let segments = whole && answer.operation === "∖" ? segmentsOf(whole, work) : undefined;
  const holes = together(removed, work);
  if (!segments || !holes?.every(({ low, high }) => low.at === high.at)) return undefined;
  for (const { low: hole } of holes) segments = segments.flatMap((segment) => cut(segment, hole));
  return segments;
}

function cut(segment: Segment, hole: End): readonly Segment[] {
  const open: End = { ...hole, isClosed: false };
  if (hole.at > segment.low.at && hole.at < segment.high.at) {
    return [
      { low: segment.low, high: open },
      { low: open, high: segment.high },
    ];
  }
  if (hole.at === segment.low.at) return [{ ...segment, low: open }];
  return hole.at === segment.high.at ? [{ ...segment, high: open }] : [segment];
}

/** x > a, a < x <= b, x != a: one symbol alone on one side. */
function solve(
  sides: readonly Expression[],
  relations: readonly Relation[],
  work: Work,
): readonly Segment[] | undefined {
  const distance = solveDistance(sides, relations, work);
  if (distance) return distance;
  const index = sides.findIndex(({ kind }) => kind === "symbol");
  if (index < 0 || sides.length > 3 || (sides.length === 3 && index !== 1)) return undefined;
  if (relations.length === 1 && relations[0] === "!=") return exceptFor(sides[1 - index], work);
  let [low, high]: [End | undefined, End | undefined] = [BELOW_ALL, ABOVE_ALL];
  for (const [i, relation] of relations.entries()) {
    const isLeft = i >= index;
    const other = sides[isLeft ? i + 1 : i];
    const isBelow = relation.startsWith("<") === isLeft;
    if (!other || !/^[<>]=?$/.test(relation)) return undefined;
    const end = endOf(other, relation.endsWith("="), work);
    if (isBelow) high = end;
    else low = end;
  }
  return low && high && low.at < high.at ? [{ low, high }] : undefined;
}

/** |x - a| < b, and |x - a| > b. */
function solveDistance(
  sides: readonly Expression[],
  relations: readonly Relation[],
  work: Work,
): readonly Segment[] | undefined {
  const [left, right] = sides;
  const [relation = "="] = relations;
  if (sides.length !== 2 || left?.kind !== "call" || left.name !== "abs" || !right) return undefined;
  const [inner] = left.args;
  const terms = inner?.kind === "sum" ? inner.terms : inner ? [inner] : [];
  const symbols = terms.filter(({ kind }) => kind === "symbol");
  const rest = terms.filter(({ kind }) => kind !== "symbol");
  const size = realValue(right, work);
  if (symbols.length !== 1 || size === undefined || size <= 0 || !/^[<>]=?$/.test(relation)) return undefined;
  const centre: Expression = negated({ kind: "sum", terms: [...rest, ZERO] });
  const isClosed = relation.endsWith("=");
  const low = endOf(difference(centre, right), isClosed, work);
  const high = endOf({ kind: "sum", terms: [centre, right] }, isClosed, work);
  if (!low || !high) return undefined;
  if (relation.startsWith("<")) return [{ low, high }];
  return [
    { low: BELOW_ALL, high: low },
    { low: high, high: ABOVE_ALL },
  ];
}

function exceptFor(excluded: Expression | undefined, work: Work): readonly Segment[] | undefined {
  const end = excluded && endOf(excluded, false, work);
  return (
    end && [
      { low: BELOW_ALL, high: end },
      { low: end, high: ABOVE_ALL },
    ]
  );
}

/** Sorts segments and joins those that touch or overlap. */
function merge(segments: readonly Segment[]): readonly Segment[] {
  const sorted = [...segments].sort(
    (a, b) => a.low.at - b.low.at || Number(b.low.isClosed) - Number(a.low.isClosed),
  );
  const merged: Segment[] = [];
  for (const segment of sorted) {
    const last = merged.at(-1);
    const gap = last ? segment.low.at - last.high.at : 1;
    const touches = gap < 0 || (gap === 0 && (last?.high.isClosed || segment.low.isClosed));
    if (!last || !touches) merged.push(segment);
    else merged[merged.length - 1] = { low: last.low, high: higher(last.high, segment.high) };
  }
  return merged;
}

function higher(a: End, b: End): End {
  if (a.at !== b.at) return a.at > b.at ? a : b;
  return a.isClosed ? a : b;
}
