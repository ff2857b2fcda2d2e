import { refuse } from "./limits.ts";
import type { GrammarBuilder, Part } from "./program.ts";

/** Bounds of a number; Infinity and -Infinity for none. */
export interface NumberRange {
  readonly low: number;
  readonly high: number;
  readonly isLowExcluded: boolean;
  readonly isHighExcluded: boolean;
}

/** A bound of numbers that are not negative, in decimal digits. */
interface Decimal {
  readonly whole: string;
  readonly fraction: string;
  readonly isExcluded: boolean;
}

const MAX_DIGITS = 15;
/** Numbers of 15 digits stay below it. */
const TOO_LARGE = 1e15;
/** Digits behind the point beyond those of the bounds. */
const EXTRA_DIGITS = 6;

/**
 * Numbers within bounds, written in decimal digits without an exponent: at most 15 digits in front of the point. A value near an
 * excluded bound has few enough digits that JavaScript reads it as another number.
 * @throws RequestError
 */
export function numberIn(
  builder: GrammarBuilder,
  range: NumberRange,
  isInteger: boolean,
  where: string,
): Part {
  const { low, high, isLowExcluded, isHighExcluded } = isInteger ? wholeBounds(range) : range;
  if (low > high || (low === high && (isLowExcluded || isHighExcluded)))
    throw refuse(where, "no number is within its bounds");
  if (low >= TOO_LARGE || high <= -TOO_LARGE)
    throw refuse(where, `its numbers need more than ${MAX_DIGITS} digits`);
  const parts: Part[] = [];
  if (high >= 0) {
    const from = low >= 0 ? decimal(low, isLowExcluded, where) : ZERO;
    const to = high >= TOO_LARGE ? undefined : decimal(high, isHighExcluded, where);
    parts.push(positive(builder, { from, to, isInteger, where }));
  }
  if (low < 0) {
    const from = high < 0 ? decimal(-high, isHighExcluded, where) : { ...ZERO, isExcluded: true };
    const to = low <= -TOO_LARGE ? undefined : decimal(-low, isLowExcluded, where);
    const after = positive(builder, { from, to, isInteger, where });
    parts.push(builder.sequence([builder.text("-"), after]));
  }
  return builder.anyOf(parts);
}

const ZERO: Decimal = { whole: "0", fraction: "", isExcluded: false };

/** The first and last whole number within bounds. */
function wholeBounds({ low, high, isLowExcluded, isHighExcluded }: NumberRange): NumberRange {
  const first = Math.ceil(low);
  const last = Math.floor(high);
  return {
    low: isLowExcluded && first === low ? first + 1 : first,
    high: isHighExcluded && last === high ? last - 1 : last,
    isLowExcluded: false,
    isHighExcluded: false,
  };
}

function decimal(value: number, isExcluded: boolean, where: string): Decimal {
  const text = String(value).includes("e") ? value.toFixed(20).replace(/0+$/, "") : String(value);
  const [whole = "0", fraction = ""] = text.split(".");
  if (Number(text) !== value || fraction.length > MAX_DIGITS)
    throw refuse(where, `the bound ${value} has more than ${MAX_DIGITS} digits behind its point`);
  return { whole, fraction, isExcluded };
}

interface Bounds {
  readonly from: Decimal;
  readonly to: Decimal | undefined;
  readonly isInteger: boolean;
  readonly where: string;
}

function positive(builder: GrammarBuilder, bounds: Bounds): Part {
  return (start) => {
    const end = builder.newNode();
    const digits = new DecimalDigits(builder, bounds, end);
    const longest = bounds.to?.whole.length ?? MAX_DIGITS;
    for (let length = bounds.from.whole.length; length <= longest; length++) digits.add(start, length);
    return end;
  };
}

/** The digits of one number, while they still equal those of a bound or not. */
class DecimalDigits {
  readonly #builder: GrammarBuilder;
  readonly #bounds: Bounds;
  readonly #end: number;
  readonly #nodes = new Map<string, number>();
  readonly #maxFraction: number;

  constructor(builder: GrammarBuilder, bounds: Bounds, end: number) {
    this.#builder = builder;
    this.#bounds = bounds;
    this.#end = end;
    const { from, to, isInteger, where } = bounds;
    const longest = Math.max(from.fraction.length, to?.fraction.length ?? 0);
    const room = MAX_DIGITS - Math.max(from.whole.length, to?.whole.length ?? 0);
    this.#maxFraction = isInteger ? 0 : Math.max(longest, Math.min(longest + EXTRA_DIGITS, room));
    if (!isInteger && this.#maxFraction > room && (from.isExcluded || to?.isExcluded))
      throw refuse(where, `an excluded bound has more than ${MAX_DIGITS} digits`);
  }

  /** Adds the numbers with so many digits in front of the point. */
  add(start: number, length: number): void {
    const isLow = length === this.#bounds.from.whole.length;
    const isHigh = length === this.#bounds.to?.whole.length;
    this.#whole(start, { at: 0, length, isLow, isHigh });
  }

  #whole(node: number, place: Place): void {
    const { at, length, isLow, isHigh } = place;
    if (at === length) {
      this.#fraction(node, { at: 0, length, isLow, isHigh });
      return;
    }
    const { from, to } = this.#bounds;
    const least = at === 0 && length > 1 ? 1 : 0;
    this.#step(node, place, {
      low: isLow ? Math.max(least, digitAt(from.whole, at)) : least,
      high: isHigh ? digitAt(to?.whole ?? "", at) : 9,
      kind: "whole",
    });
  }

  #fraction(node: number, place: Place): void {
    const { from, to } = this.#bounds;
    const { at, isLow, isHigh } = place;
    if (this.#mayEnd(place)) this.#builder.epsilon(node, this.#end);
    if (at >= this.#maxFraction) return;
    const digits = at === 0 ? this.#builder.text(".")(node) : node;
    this.#step(digits, place, {
      low: isLow ? digitAt(from.fraction, at) : 0,
      high: isHigh ? digitAt(to?.fraction ?? "", at) : 9,
      kind: "fraction",
    });
  }

  /** True if the digits so far are a number within the bounds. */
  #mayEnd({ at, isLow, isHigh }: Place): boolean {
    const { from, to } = this.#bounds;
    const restOfLow = /[1-9]/.test(from.fraction.slice(at));
    const restOfHigh = /[1-9]/.test(to?.fraction.slice(at) ?? "");
    const isAboveLow = !isLow || (!restOfLow && !from.isExcluded);
    return isAboveLow && (!isHigh || restOfHigh || to?.isExcluded !== true);
  }

  #step(node: number, place: Place, { low, high, kind }: { low: number; high: number; kind: string }): void {
    for (let digit = low; digit <= high; digit++) {
      const next = {
        ...place,
        at: place.at + 1,
        isLow: place.isLow && digit === low,
        isHigh: place.isHigh && digit === high,
      };
      const key = `${kind} ${next.at} ${kind === "whole" ? next.length : 0} ${next.isLow} ${next.isHigh}`;
      let target = this.#nodes.get(key);
      if (target === undefined) {
        target = this.#builder.newNode();
        this.#nodes.set(key, target);
        if (kind === "whole") this.#whole(target, next);
        else this.#fraction(target, next);
      }
      this.#builder.range(node, { low: 0x30 + digit, high: 0x30 + digit }, target);
    }
  }
}

interface Place {
  readonly at: number;
  readonly length: number;
  /** True while all digits equal those of the lower bound. */
  readonly isLow: boolean;
  readonly isHigh: boolean;
}

const digitAt = (digits: string, at: number): number => Number(digits[at] ?? "0");
