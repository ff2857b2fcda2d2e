import { calculate, LETTERS, lookUp, type Problem } from "./generated-problem.ts";
import type { Random } from "./random.ts";

/** A number, or the sum or difference of a variable and a variable or number. */
type Equation =
  | { readonly value: number }
  | { readonly left: string; readonly sign: string; readonly right: string | number };

const MAX_EQUATIONS = 600;

/** Task: resolve one variable of a shuffled system of equations, depth first; about 8 tokens an equation, 17 a line of reasoning. */
export function variables(random: Random, budget: number): Problem {
  const needed = Math.max(3, Math.trunc((budget - 90) / random.uniform(34, 44)));
  const total = Math.min(MAX_EQUATIONS, needed + Math.trunc(needed * random.uniform(0.2, 0.9)) + 2);
  const pairs = [...LETTERS].flatMap((first) => [...LETTERS].map((second) => first + second));
  const names = random.sample(pairs, total);
  const order = names.slice(0, needed);
  const rest = names.slice(needed);
  const equations = new Map([...drawNeeded(random, order), ...drawRest(random, rest, order)]);
  const asked = names[0] ?? "";
  const describe = (name: string) => `${name}=${describeRight(lookUp(equations, name))}`;
  const problem = [`Find ${asked}. Arithmetic is modulo 100.`, ...random.shuffled(names).map(describe)];
  const { lines, value } = resolve(equations, asked);
  return { problem: problem.join("\n"), reasoning: lines.join("\n"), answer: String(value) };
}

/** Makes the equations that the first variable needs: a directed acyclic graph in which it reaches all. */
function drawNeeded(random: Random, order: readonly string[]): [string, Equation][] {
  const children = order.map((): string[] => []);
  for (let i = 1; i < order.length; i++) {
    const hasRoom = (j: number) => (children[j]?.length ?? 2) < 2;
    const lowest = Math.max(0, i - random.choice([1, 2, 4, 8]));
    let parents = integers(lowest, i).filter(hasRoom);
    if (parents.length === 0) parents = integers(0, i).filter(hasRoom);
    children[random.choice(parents)]?.push(order[i] ?? "");
  }
  return order.map((name, i) => [name, drawEquation(random, children[i] ?? [], order.slice(i + 1))]);
}

function drawEquation(random: Random, children: readonly string[], later: readonly string[]): Equation {
  const [only] = children;
  if (only === undefined) return { value: random.range(0, 100) };
  let pair: readonly string[] = [];
  if (children.length === 2) pair = random.shuffled(children);
  else if (later.length > 0 && random.unit() < 0.4) pair = random.shuffled([only, random.choice(later)]);
  const [left, right] = pair;
  if (left !== undefined && right !== undefined) return { left, sign: random.choice("+-"), right };
  return { left: only, sign: random.choice("+-"), right: random.integer(1, 99) };
}

/** Makes equations that the asked variable does not need. */
function drawRest(random: Random, rest: readonly string[], order: readonly string[]): [string, Equation][] {
  return rest.map((name, i) => {
    const isConstant = random.unit() < 0.35 || i + 1 >= rest.length;
    if (isConstant) return [name, { value: random.range(0, 100) }];
    const pool = [...rest.slice(i + 1), ...order];
    const left = random.choice(pool);
    const sign = random.choice("+-");
    return [name, { left, sign, right: random.unit() < 0.5 ? random.choice(pool) : random.integer(1, 99) }];
  });
}

function describeRight(equation: Equation): string {
  if ("value" in equation) return String(equation.value);
  return `${equation.left}${equation.sign}${equation.right}`;
}

function resolve(equations: ReadonlyMap<string, Equation>, asked: string) {
  const lines: string[] = [];
  const known = new Map<string, number>();
  const evaluate = (name: string): number => {
    const found = known.get(name);
    if (found !== undefined) return found;
    const equation = lookUp(equations, name);
    const text = `${name}=${describeRight(equation)}`;
    lines.push(`? ${text}`);
    let value: number;
    if ("value" in equation) value = equation.value;
    else {
      const left = evaluate(equation.left);
      const right = typeof equation.right === "number" ? equation.right : evaluate(equation.right);
      value = calculate(left, equation.sign, right);
      lines.push(`${text}=${left}${equation.sign}${right}=${value}`);
    }
    known.set(name, value);
    return value;
  };
  return { value: evaluate(asked), lines };
}

function integers(low: number, high: number): number[] {
  return Array.from({ length: high - low }, (_, i) => low + i);
}
