/**
 * A backtracking matcher with memoisation: a pair of (instruction, text position) that failed once is not tried again.
 * Its work is therefore at most the size of the pattern times the length of the text. JavaScript's own regular
 * expressions are ten times faster but can take exponential time; `pattern.ts` chooses between the two.
 */
import { type Pattern, PatternError } from "./pattern-ast.ts";

type Instruction =
  | { readonly op: "set"; readonly test: (code: number) => boolean }
  | { readonly op: "assertion"; readonly regex: RegExp }
  /** Tries `first`, then `second`. */
  | { readonly op: "split"; first: number; second: number }
  | { readonly op: "jump"; to: number }
  | { readonly op: "lookaround"; readonly program: Program; readonly isNegated: boolean }
  | { readonly op: "atomic"; readonly program: Program }
  | { readonly op: "match" };

interface Program {
  readonly instructions: readonly Instruction[];
  /** A loop may iterate without consuming text. A failure inside may then hold only for the current iteration. */
  readonly hasEmptyLoop: boolean;
}

/** Maximum instructions; counted repetitions are unrolled. */
const MAX_INSTRUCTIONS = 20_000;
/** Maximum size of the set of visited (instruction, position) pairs, in bits. */
const MAX_VISITED = 2 ** 31;
/** A search stops after this many steps a pair of (instruction, position), or after `MIN_STEP_LIMIT` if that is more. */
const STEPS_PER_PAIR = 8;
const MIN_STEP_LIMIT = 1_000_000;

export interface Matcher {
  /** Returns the end of the match that begins at `start`, or -1. Keeps its visited set for later starts. */
  matchAt(start: number): number;
}

/** Compiles a pattern to a program. @throws PatternError when the program is too large */
export function compileMatcher(pattern: Pattern): (text: string) => Matcher {
  const program = compile(pattern, { count: 0, hasEmptyLoop: false });
  return (text) => {
    const runs = new Map<Program, Run>();
    return { matchAt: (start) => runOf(program, text, runs).at(start) };
  };
}

interface Size {
  count: number;
  hasEmptyLoop: boolean;
}

function compile(pattern: Pattern, size: Size): Program {
  const instructions: Instruction[] = [];
  const emit = (instruction: Instruction): number => {
    if (++size.count > MAX_INSTRUCTIONS) throw new PatternError("its counted repetitions are too many");
    return instructions.push(instruction) - 1;
  };
  write(pattern, emit, instructions, size);
  emit({ op: "match" });
  return { instructions, hasEmptyLoop: size.hasEmptyLoop };
}

type Emit = (instruction: Instruction) => number;

function write(node: Pattern, emit: Emit, code: Instruction[], size: Size): void {
  switch (node.kind) {
    case "empty":
      return;
    case "set":
      emit({ op: "set", test: setTest(node.source) });
      return;
    case "assertion":
      emit({ op: "assertion", regex: new RegExp(node.source, "vy") });
      return;
    case "sequence":
      for (const item of node.items) write(item, emit, code, size);
      return;
    case "choice":
      writeChoice(node.items, emit, code, size);
      return;
    case "repeat":
      writeRepeat(node, emit, code, size);
      return;
    case "atomic":
      emit({ op: "atomic", program: compile(node.item, size) });
      return;
    case "lookaround":
      if (node.isBehind) emit({ op: "assertion", regex: lookBehind(node) });
      else emit({ op: "lookaround", program: compile(node.item, size), isNegated: node.isNegated });
  }
}

/** Compiles a lookbehind, which JavaScript runs: its alternatives must be sequences of sets. */
function lookBehind({ item, isNegated }: Pattern & { kind: "lookaround" }): RegExp {
  const widths = item.kind === "choice" ? item.items : [item];
  const sources = widths.map((one) => {
    const items = one.kind === "sequence" ? one.items : [one];
    return items.map((set) => {
      if (set.kind !== "set")
        throw new PatternError("a look behind with more than characters in it is not supported");
      return set.source;
    });
  });
  return new RegExp(
    `(?<${isNegated ? "!" : "="}${sources.map((source) => source.join("")).join("|")})`,
    "vy",
  );
}

/** Returns true if a pattern can match the empty text. */
function canBeEmpty(node: Pattern): boolean {
  if (node.kind === "sequence") return node.items.every(canBeEmpty);
  if (node.kind === "choice") return node.items.some(canBeEmpty);
  if (node.kind === "repeat") return node.min === 0 || canBeEmpty(node.item);
  return node.kind === "atomic" ? canBeEmpty(node.item) : node.kind !== "set";
}

function writeChoice(items: readonly Pattern[], emit: Emit, code: Instruction[], size: Size): void {
  const jumps: number[] = [];
  for (const [i, item] of items.entries()) {
    if (i === items.length - 1) {
      write(item, emit, code, size);
      break;
    }
    const split = emit({ op: "split", first: code.length + 1, second: 0 });
    write(item, emit, code, size);
    jumps.push(emit({ op: "jump", to: 0 }));
    code[split] = { op: "split", first: split + 1, second: code.length };
  }
  for (const jump of jumps) code[jump] = { op: "jump", to: code.length };
}

function writeRepeat(
  { item, min, max, isGreedy }: Pattern & { kind: "repeat" },
  emit: Emit,
  code: Instruction[],
  size: Size,
): void {
  for (let i = 0; i < min; i++) write(item, emit, code, size);
  const splits: number[] = [];
  const optional = () => {
    splits.push(emit({ op: "split", first: 0, second: 0 }));
    write(item, emit, code, size);
  };
  if (max === Number.POSITIVE_INFINITY) {
    if (canBeEmpty(item)) size.hasEmptyLoop = true;
    const start = code.length;
    optional();
    emit({ op: "jump", to: start });
  } else for (let i = min; i < max; i++) optional();
  for (const split of splits)
    code[split] = isGreedy
      ? { op: "split", first: split + 1, second: code.length }
      : { op: "split", first: code.length, second: split + 1 };
}

const ASCII = 128;

/** Creates a membership test of a class. Caches its results, since a regular expression is slow. */
function setTest(source: string): (code: number) => boolean {
  const regex = new RegExp(`^${source}$`, "v");
  const ascii = Array.from({ length: ASCII }, (_, code) => regex.test(String.fromCharCode(code)));
  const known = new Map<number, boolean>();
  return (code) => {
    if (code < ASCII) return ascii[code] === true;
    const kept = known.get(code);
    if (kept !== undefined) return kept;
    const answer = regex.test(String.fromCodePoint(code));
    if (known.size < 20_000) known.set(code, answer);
    return answer;
  };
}

function runOf(program: Program, text: string, runs: Map<Program, Run>): Run {
  let run = runs.get(program);
  if (!run) {
    run = new Run(program, text, runs);
    runs.set(program, run);
  }
  return run;
}

/** The state of one program on one text. */
class Run {
  readonly #program: Program;
  readonly #text: string;
  readonly #runs: Map<Program, Run>;
  /** Visited set: one bit a (position, instruction) pair, in words of 32 instructions. */
  readonly #tried: Uint32Array;
  readonly #width: number;
  readonly #ends = new Map<number, number>();
  #steps: number;

  constructor(program: Program, text: string, runs: Map<Program, Run>) {
    this.#program = program;
    this.#text = text;
    this.#runs = runs;
    const { length } = program.instructions;
    this.#width = Math.ceil(length / 32);
    const words = this.#width * (text.length + 1);
    if (words * 32 > MAX_VISITED) throw new PatternError("the text is too long for it");
    this.#tried = new Uint32Array(words);
    this.#steps = Math.max(MIN_STEP_LIMIT, STEPS_PER_PAIR * length * (text.length + 1));
  }

  /** Returns the end of the match from `start`, or -1. */
  at(start: number): number {
    const known = this.#ends.get(start);
    if (known !== undefined) return known;
    const end = this.#search(start);
    this.#ends.set(start, end);
    return end;
  }

  /** Marks a pair as visited; returns false if it already was. */
  #mark(at: number, position: number, path: number[]): boolean {
    const word = position * this.#width + (at >>> 5);
    const bit = 1 << (at & 31);
    const before = this.#tried[word] ?? 0;
    if ((before & bit) !== 0) return false;
    this.#tried[word] = before | bit;
    path.push(word, bit);
    return true;
  }

  #unmark(path: readonly number[]): void {
    for (let i = 0; i < path.length; i += 2) {
      const word = path[i] ?? 0;
      this.#tried[word] = (this.#tried[word] ?? 0) & ~(path[i + 1] ?? 0);
    }
  }

  /**
   * Searches depth first in order of preference. `path` holds the marks of the current path, which a match removes.
   * Marks of failed paths stay, for later starts too.
   */
  #search(start: number): number {
    const { instructions, hasEmptyLoop } = this.#program;
    const path: number[] = [];
    const stack: number[] = [0, start, 0];
    while (stack.length > 0) {
      const kept = stack.pop() ?? 0;
      let position = stack.pop() ?? 0;
      let at = stack.pop() ?? 0;
      if (!hasEmptyLoop) path.length = kept;
      while (this.#mark(at, position, path)) {
        if (--this.#steps < 0) throw new PatternError("it takes too many steps on this text");
        const instruction = instructions[at];
        if (instruction === undefined) break;
        if (instruction.op === "match") {
          this.#unmark(path);
          return position;
        }
        if (instruction.op === "split") {
          stack.push(instruction.second, position, path.length);
          at = instruction.first;
        } else if (instruction.op === "jump") at = instruction.to;
        else {
          position = this.#step(instruction, position);
          if (position < 0) break;
          at++;
        }
      }
    }
    return -1;
  }

  /** Returns the position after an instruction, or -1 if it fails. */
  #step(instruction: Instruction, position: number): number {
    if (instruction.op === "set") {
      const code = this.#text.codePointAt(position);
      if (code === undefined || !instruction.test(code)) return -1;
      return position + (code > 0xffff ? 2 : 1);
    }
    if (instruction.op === "assertion") {
      instruction.regex.lastIndex = position;
      return instruction.regex.test(this.#text) ? position : -1;
    }
    if (instruction.op !== "lookaround" && instruction.op !== "atomic") return -1;
    const end = runOf(instruction.program, this.#text, this.#runs).at(position);
    if (instruction.op === "atomic") return end;
    return end >= 0 !== instruction.isNegated ? position : -1;
  }
}
