import { calculate, LETTERS, lookUp, type Problem } from "./generated-problem.ts";
import type { Random } from "./random.ts";

type Instruction =
  | { readonly kind: "branch"; readonly left: string; readonly right: string; readonly goto: number }
  | { readonly kind: "copy"; readonly target: string; readonly source: string }
  | {
      readonly kind: "sum";
      readonly target: string;
      readonly left: string;
      readonly sign: string;
      readonly right: string | number;
    };

const TOKENS_PER_STEP = 17;

/** Task: run a small register machine; about 17 tokens an instruction. */
export function registers(random: Random, budget: number): Problem {
  const names = [...LETTERS.slice(0, random.integer(3, 10))];
  const length = random.integer(3, 14);
  const start = new Map(names.map((name) => [name, random.range(0, 100)]));
  const program = Array.from({ length }, () => drawInstruction(random, names, length));
  const room = budget - 120 - 9 * length - 5 * names.length;
  const steps = Math.max(4, Math.trunc((room / TOKENS_PER_STEP) * random.uniform(0.85, 1)));
  const asked = random.choice(names);
  const problem = [
    `Run the program for ${steps} steps, then give ${asked}. Arithmetic is modulo 100.`,
    `start: ${names.map((name) => `${name}=${lookUp(start, name)}`).join(" ")}`,
    ...program.map((instruction, i) => `${i + 1}: ${describe(instruction)}`),
  ].join("\n");
  const { lines, values } = run(program, start, steps);
  return { problem, reasoning: lines.join("\n"), answer: String(lookUp(values, asked)) };
}

function drawInstruction(random: Random, names: readonly string[], length: number): Instruction {
  const kind = random.unit();
  if (kind < 0.16 && length > 3) {
    const [left = "", right = ""] = random.sample(names, 2);
    return { kind: "branch", left, right, goto: random.integer(1, length) };
  }
  if (kind >= 0.9) return { kind: "copy", target: random.choice(names), source: random.choice(names) };
  const sign = random.choice("+-");
  const target = random.choice(names);
  const left = random.choice(names);
  const right = kind < 0.62 ? random.choice(names) : random.integer(1, 99);
  return { kind: "sum", target, left, sign, right };
}

function describe(instruction: Instruction): string {
  if (instruction.kind === "branch")
    return `if ${instruction.left}>${instruction.right} goto ${instruction.goto}`;
  if (instruction.kind === "copy") return `${instruction.target}=${instruction.source}`;
  return `${instruction.target}=${instruction.left}${instruction.sign}${instruction.right}`;
}

function run(program: readonly Instruction[], start: ReadonlyMap<string, number>, steps: number) {
  const values = new Map(start);
  const lines: string[] = [];
  let line = 1;
  for (let step = 1; step <= steps; step++) {
    const instruction = program[line - 1];
    if (instruction === undefined) throw new Error(`the program has no line ${line}`);
    const head = `#${step} ${line}`;
    const next = (line % program.length) + 1;
    line = next;
    if (instruction.kind === "branch") {
      const { left, right } = instruction;
      const [leftValue, rightValue] = [lookUp(values, left), lookUp(values, right)];
      const isTaken = leftValue > rightValue;
      lines.push(`${head} ${left}>${right} ${leftValue}>${rightValue} ${isTaken ? "yes" : "no"}`);
      if (isTaken) line = instruction.goto;
    } else if (instruction.kind === "copy") {
      const value = lookUp(values, instruction.source);
      lines.push(`${head} ${describe(instruction)}=${value}`);
      values.set(instruction.target, value);
    } else {
      const left = lookUp(values, instruction.left);
      const right =
        typeof instruction.right === "number" ? instruction.right : lookUp(values, instruction.right);
      const value = calculate(left, instruction.sign, right);
      lines.push(`${head} ${describe(instruction)}=${left}${instruction.sign}${right}=${value}`);
      values.set(instruction.target, value);
    }
  }
  return { lines, values };
}
