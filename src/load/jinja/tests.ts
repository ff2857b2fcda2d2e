/** Jinja's tests, the operands of `is`. */
import { type Budget, TemplateRuntimeError } from "./budget.ts";
import { binary, compares } from "./operators.ts";
import { STRING_METHODS } from "./string-methods.ts";
import {
  type Arguments,
  bind,
  Callable,
  Dict,
  isEqual,
  iterable,
  known,
  length,
  NO_ARGUMENTS,
  printed,
  Tuple,
  Undefined,
  type Value,
  View,
} from "./values.ts";

export type Test = (value: Value, args: Arguments, budget: Budget) => boolean;

const isUndefined = (value: Value) => value === undefined || value instanceof Undefined;
const isNumber = (value: Value) =>
  typeof value === "bigint" || typeof value === "number" || typeof value === "boolean";

/** Creates a test without arguments. */
const alone =
  (test: (value: Value) => boolean): Test =>
  (value, args) => {
    bind("test", args, []);
    return test(value);
  };

const against =
  (operator: string): Test =>
  (value, args, budget) =>
    compares(operator, value, bind("test", args, ["other"], 1)[0], budget);

const remainder = (value: Value, by: Value, budget: Budget): boolean =>
  isEqual(binary("%", value, by, budget), 0n);

const hasCase =
  (name: "islower" | "isupper"): Test =>
  (value, _args, budget) =>
    STRING_METHODS.get(name)?.(printed(value, budget), NO_ARGUMENTS, budget, NO_REACH) === true;

const NO_REACH = { attribute: known, item: known };

function isSame(a: Value, b: Value): boolean {
  if (isUndefined(a) && isUndefined(b)) return a === b;
  if (a instanceof Tuple && b instanceof Tuple)
    return a === b || (a.items.length === 0 && b.items.length === 0);
  return a === b;
}

/** Returns true for values with a length and items by index or key. */
function isSequence(value: Value): boolean {
  if (isUndefined(value)) throw new TemplateRuntimeError("the value is undefined");
  return length(value) !== undefined && !(value instanceof View);
}

export const TESTS: ReadonlyMap<string, Test> = new Map<string, Test>([
  ["defined", alone((value) => !isUndefined(value))],
  ["undefined", alone(isUndefined)],
  ["none", alone((value) => value === null)],
  ["boolean", alone((value) => typeof value === "boolean")],
  ["true", alone((value) => value === true)],
  ["false", alone((value) => value === false)],
  ["integer", alone((value) => typeof value === "bigint")],
  ["float", alone((value) => typeof value === "number")],
  ["number", alone(isNumber)],
  ["string", alone((value) => typeof value === "string")],
  ["mapping", alone((value) => value instanceof Dict)],
  ["iterable", alone((value) => iterable(value) !== undefined)],
  ["sequence", alone((value) => isUndefined(value) || isSequence(value))],
  ["callable", alone((value) => value instanceof Callable || isUndefined(value))],
  ["escaped", alone(() => false)],
  ["lower", hasCase("islower")],
  ["upper", hasCase("isupper")],
  ["odd", (value, _args, budget) => isEqual(binary("%", value, 2n, budget), 1n)],
  ["even", (value, _args, budget) => remainder(value, 2n, budget)],
  [
    "divisibleby",
    (value, args, budget) => remainder(value, bind("test_divisibleby", args, ["num"], 1)[0], budget),
  ],
  ["sameas", (value, args) => isSame(value, bind("test_sameas", args, ["other"], 1)[0])],
  ["in", (value, args, budget) => compares("in", value, bind("test_in", args, ["seq"], 1)[0], budget)],
  ["==", against("==")],
  ["eq", against("==")],
  ["equalto", against("==")],
  ["!=", against("!=")],
  ["ne", against("!=")],
  [">", against(">")],
  ["gt", against(">")],
  ["greaterthan", against(">")],
  [">=", against(">=")],
  ["ge", against(">=")],
  ["<", against("<")],
  ["lt", against("<")],
  ["lessthan", against("<")],
  ["<=", against("<=")],
  ["le", against("<=")],
]);

/** @throws TemplateRuntimeError when no test has this name */
export function testNamed(name: string): Test {
  const test = TESTS.get(name);
  if (!test) throw new TemplateRuntimeError(`No test named '${name}'.`);
  return test;
}
