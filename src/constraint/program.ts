import { type ByteRange, type PointRange, utf8Sequences } from "./code-points.ts";
import { LIMITS, refuse } from "./limits.ts";

/** Edges of a node. A *call* runs a rule from its start to its end and goes on at `target`. */
export interface Node {
  /** Ranges of bytes: low, high, target; three numbers each. */
  readonly bytes: number[];
  readonly epsilons: number[];
  /** Calls: rule, target; two numbers each. */
  readonly calls: number[];
  /** Tokens by their text, with the node behind each. */
  readonly markers: { readonly text: string; readonly target: number }[];
  isEnd: boolean;
}

/** An automaton with rules that call each other: a grammar. Rule 0 is the whole output. */
export interface Grammar {
  readonly nodes: readonly Node[];
  /** First node of each rule. */
  readonly starts: readonly number[];
}

/** Adds a part of an automaton behind a node; returns the node behind the part. */
export type Part = (from: number) => number;

const encoder = new TextEncoder();

/** Builds an automaton part by part. @throws RequestError beyond the limits on nodes and edges */
export class GrammarBuilder {
  readonly #nodes: Node[] = [];
  readonly #starts: number[] = [];
  readonly #classRules = new Map<string, number>();
  #edges = 0;
  #properties = 0;
  #steps = 0;

  newNode(): number {
    if (this.#nodes.length >= LIMITS.nodes)
      throw refuse(
        "compiling",
        `it takes more than ${LIMITS.nodes} states; use smaller counts of repetition, or a smaller schema`,
      );
    this.#nodes.push({ bytes: [], epsilons: [], calls: [], markers: [], isEnd: false });
    return this.#nodes.length - 1;
  }

  /** Counts a property of characters, which is slow to find. */
  countProperty(): void {
    if (++this.#properties > LIMITS.properties)
      throw refuse("compiling", `it has more than ${LIMITS.properties} properties such as \\p{L}`);
  }

  /** Counts work on patterns that hold together; false beyond its limit. */
  countSteps(steps: number): boolean {
    this.#steps += steps;
    return this.#steps <= LIMITS.joinSteps;
  }

  #node(id: number): Node {
    const node = this.#nodes[id];
    if (!node) throw new RangeError(`no node ${id}`);
    if (++this.#edges > LIMITS.edges)
      throw refuse("compiling", `it takes more than ${LIMITS.edges} transitions; use a smaller one`);
    return node;
  }

  range(from: number, { low, high }: ByteRange, to: number): void {
    this.#node(from).bytes.push(low, high, to);
  }

  epsilon(from: number, to: number): void {
    this.#node(from).epsilons.push(to);
  }

  /** Names a rule, which `define` gives its content. */
  newRule(): number {
    this.#starts.push(this.newNode());
    return this.#starts.length - 1;
  }

  define(rule: number, part: Part): void {
    const start = this.#starts[rule] ?? 0;
    this.#node(part(start)).isEnd = true;
  }

  rule(part: Part): Part {
    const rule = this.newRule();
    this.define(rule, part);
    return this.call(rule);
  }

  call(rule: number): Part {
    return (from) => {
      const to = this.newNode();
      this.#node(from).calls.push(rule, to);
      return to;
    };
  }

  marker(text: string): Part {
    return (from) => {
      const to = this.newNode();
      this.#node(from).markers.push({ text, target: to });
      return to;
    };
  }

  text(text: string): Part {
    return (from) => {
      let node = from;
      for (const byte of encoder.encode(text)) {
        const next = this.newNode();
        this.range(node, { low: byte, high: byte }, next);
        node = next;
      }
      return node;
    };
  }

  /** One code point of a set. A set of many ranges is a rule, so that its repetitions share it. */
  set(ranges: readonly PointRange[]): Part {
    const sequences = utf8Sequences(ranges);
    if (sequences.length <= 4) return (from) => this.#paths(from, sequences);
    const key = sequences.map((one) => one.map(({ low, high }) => `${low}-${high}`).join(" ")).join();
    let rule = this.#classRules.get(key);
    if (rule === undefined) {
      rule = this.newRule();
      this.#classRules.set(key, rule);
      this.define(rule, (from) => this.#paths(from, sequences));
    }
    return this.call(rule);
  }

  /** Adds sequences of bytes. Equal tails share their nodes. */
  #paths(from: number, sequences: readonly (readonly ByteRange[])[]): number {
    const to = this.newNode();
    const tails = new Map<string, number>();
    const before = (tail: readonly ByteRange[]): number => {
      const [head, ...rest] = tail;
      if (!head) return to;
      const key = tail.map(({ low, high }) => `${low}-${high}`).join();
      let node = tails.get(key);
      if (node === undefined) {
        node = this.newNode();
        tails.set(key, node);
        this.range(node, head, before(rest));
      }
      return node;
    };
    for (const [head, ...rest] of sequences) if (head) this.range(from, head, before(rest));
    return to;
  }

  sequence(parts: readonly Part[]): Part {
    return (from) => parts.reduce((node, part) => part(node), from);
  }

  anyOf(parts: readonly Part[]): Part {
    return (from) => {
      const to = this.newNode();
      for (const part of parts) {
        const start = this.newNode();
        this.epsilon(from, start);
        this.epsilon(part(start), to);
      }
      return to;
    };
  }

  optional(part: Part): Part {
    return this.anyOf([part, (from) => from]);
  }

  /** Repeats a part; without `max`, any number of times from `min`. */
  repeat(part: Part, min: number, max?: number): Part {
    return (from) => {
      let node = from;
      for (let i = 0; i < min; i++) node = part(node);
      if (max === undefined) {
        const loop = this.newNode();
        this.epsilon(node, loop);
        this.epsilon(part(loop), loop);
        return loop;
      }
      const to = this.newNode();
      for (let i = min; i < max; i++) {
        this.epsilon(node, to);
        node = part(node);
      }
      this.epsilon(node, to);
      return to;
    };
  }

  build(): Grammar {
    return { nodes: this.#nodes, starts: this.#starts };
  }
}
