/** Texts that satisfy several patterns and lengths at once, as a part of an automaton. */
import type { PointRange } from "./code-points.ts";
import { refuse } from "./limits.ts";
import type { Lengths, Pattern, WriteSet } from "./pattern.ts";
import type { GrammarBuilder, Part } from "./program.ts";

/** A pattern that a text must match as a whole, or must not. */
export interface Language {
  readonly pattern: Pattern;
  readonly isNegated: boolean;
}

interface Context {
  readonly builder: GrammarBuilder;
  readonly write: WriteSet;
  readonly where: string;
}

/** States of one pattern, and of all of them together; each of these takes about three nodes. */
const [MAX_STATES, MAX_JOINED] = [20_000, 15_000];
/** The number of the empty set of states. */
const NOWHERE = 0;
/**
 * Compiles what is in all languages and of the lengths: their automata run side by side over the characters, and a state of the
 * result is one of each. @throws RequestError if there is no such text, or the result is too large
 */
export function compileLanguages(
  languages: readonly Language[],
  lengths: Lengths,
  { builder, write, where }: Context,
): Part {
  const joined = join(languages, lengths, { builder, where });
  if (!joined.isLive[0]) throw refuse(where, "no text satisfies its patterns, formats and lengths at once");
  const parts = new Map<readonly PointRange[], Part>(); // states that differ in their length alone share their sets
  const partOf = (set: readonly PointRange[]): Part => {
    const part = parts.get(set) ?? write(set);
    parts.set(set, part);
    return part;
  };
  return (from) => {
    const end = builder.newNode();
    const nodes = joined.isLive.map((isLive, i) => (i === 0 ? from : isLive ? builder.newNode() : -1));
    for (const [state, node] of nodes.entries()) {
      if (!joined.isLive[state]) continue;
      if (joined.isEnd[state]) builder.epsilon(node, end);
      for (const [target, set] of joined.edges[state] ?? []) {
        const next = nodes[target];
        if (next !== undefined && joined.isLive[target]) builder.epsilon(partOf(set)(node), next);
      }
    }
    return end;
  };
}

interface Joined {
  /** Characters from each state to another. */
  readonly edges: readonly ReadonlyMap<number, readonly PointRange[]>[];
  readonly isEnd: readonly boolean[];
  /** True if an end is reached from the state. */
  readonly isLive: readonly boolean[];
}

/** A state of all automata at once: the number of each one's set of states, and the characters so far as far as they count. */
interface JoinedState {
  readonly sets: readonly number[];
  readonly count: number;
}

function join(
  languages: readonly Language[],
  { min, max }: Lengths,
  { builder, where }: Pick<Context, "builder" | "where">,
): Joined {
  const tooLarge = () =>
    refuse(where, "its patterns, formats and lengths are too large together; use fewer, or smaller counts");
  const spend = (steps: number) => {
    if (!builder.countSteps(steps)) throw tooLarge();
  };
  const automata = languages.map(({ pattern }) => new Automaton(pattern, tooLarge, spend));
  const borders = [...new Set(automata.flatMap((one) => one.borders()))].sort((a, b) => a - b);
  for (const one of automata) one.readClasses(borders);
  const moves = new JointMoves(automata, languages, borders, spend);
  const most = Number.isFinite(max) ? max : min;
  const states: JoinedState[] = [];
  const known = new Map<string, number>();
  const stateOf = (sets: readonly number[], count: number): number => {
    const key = `${count} ${sets.join()}`;
    let state = known.get(key);
    if (state === undefined) {
      state = states.length;
      if (state >= MAX_JOINED) throw tooLarge();
      states.push({ sets, count });
      known.set(key, state);
    }
    return state;
  };
  stateOf(
    automata.map((one) => one.start()),
    0,
  );
  const edges: Map<number, readonly PointRange[]>[] = [];
  const isEnd: boolean[] = [];
  for (const { sets, count } of states) {
    isEnd.push(
      count >= min && languages.every(({ isNegated }, i) => automata[i]?.hasEnd(sets[i]) !== isNegated),
    );
    const out = new Map<number, readonly PointRange[]>();
    edges.push(out);
    if (count >= max) continue;
    const next = moves.of(sets);
    spend(next.length);
    for (const { to, points } of next) out.set(stateOf(to, Math.min(most, count + 1)), points);
  }
  return { edges, isEnd, isLive: liveStates(edges, isEnd) };
}

interface Move {
  readonly to: readonly number[];
  readonly points: readonly PointRange[];
}

/** Where characters lead from states of all automata, whatever the length is. */
class JointMoves {
  readonly #automata: readonly Automaton[];
  readonly #languages: readonly Language[];
  readonly #borders: readonly number[];
  readonly #spend: (steps: number) => void;
  readonly #known = new Map<string, readonly Move[]>();

  constructor(
    automata: readonly Automaton[],
    languages: readonly Language[],
    borders: readonly number[],
    spend: (steps: number) => void,
  ) {
    this.#automata = automata;
    this.#languages = languages;
    this.#borders = borders;
    this.#spend = spend;
  }

  of(sets: readonly number[]): readonly Move[] {
    const key = sets.join();
    const known = this.#known.get(key);
    if (known) return known;
    const targets = this.#automata.map((one, i) => one.moves(sets[i] ?? 0));
    const found = new Map<string, { readonly to: readonly number[]; readonly points: PointRange[] }>();
    this.#spend(this.#borders.length * this.#automata.length);
    for (const [i, low] of this.#borders.entries()) {
      const to = targets.map((one) => one[i] ?? NOWHERE);
      // a text that is outside a language for good
      if (this.#languages.some(({ isNegated }, one) => !isNegated && to[one] === NOWHERE)) continue;
      const name = to.join();
      const move = found.get(name) ?? { to, points: [] };
      found.set(name, move);
      const high = (this.#borders[i + 1] ?? 0x110000) - 1;
      const last = move.points.at(-1);
      if (last && last.high + 1 === low) move.points.splice(-1, 1, { low: last.low, high });
      else move.points.push({ low, high });
    }
    const all = [...found.values()];
    this.#known.set(key, all);
    return all;
  }
}

function liveStates(
  edges: readonly ReadonlyMap<number, unknown>[],
  isEnd: readonly boolean[],
): readonly boolean[] {
  const before = edges.map((): number[] => []);
  for (const [state, out] of edges.entries()) for (const target of out.keys()) before[target]?.push(state);
  const isLive = [...isEnd];
  const open = isEnd.flatMap((one, state) => (one ? [state] : []));
  for (let state = open.pop(); state !== undefined; state = open.pop())
    for (const one of before[state] ?? [])
      if (!isLive[one]) {
        isLive[one] = true;
        open.push(one);
      }
  return isLive;
}

/** An automaton over characters, by Thompson's construction: state 0 is its start. */
class Automaton {
  readonly #epsilons: number[][] = [];
  readonly #edges: {
    readonly set: readonly PointRange[];
    readonly target: number;
    classes: readonly number[];
  }[][] = [];
  readonly #end: number;
  readonly #tooLarge: () => Error;
  readonly #spend: (steps: number) => void;
  /** Sets of states that a text can be in at once, by their numbers. */
  readonly #sets: (readonly number[])[] = [[]];
  readonly #numbers = new Map<string, number>([["", NOWHERE]]);
  readonly #moves = new Map<number, readonly number[]>();

  constructor(pattern: Pattern, tooLarge: () => Error, spend: (steps: number) => void) {
    this.#tooLarge = tooLarge;
    this.#spend = spend;
    this.#end = this.#add(pattern, this.#state());
  }

  #state(): number {
    if (this.#edges.length >= MAX_STATES) throw this.#tooLarge();
    this.#epsilons.push([]);
    this.#edges.push([]);
    return this.#edges.length - 1;
  }

  /** Adds a pattern behind a state. Returns the state behind it. */
  #add(pattern: Pattern, from: number): number {
    switch (pattern.kind) {
      case "set": {
        const to = this.#state();
        this.#edges[from]?.push({ set: pattern.set, target: to, classes: [] });
        return to;
      }
      case "sequence":
        return pattern.items.reduce((state, item) => this.#add(item, state), from);
      case "choice": {
        const to = this.#state();
        for (const item of pattern.items) {
          const start = this.#state();
          this.#epsilons[from]?.push(start);
          this.#epsilons[this.#add(item, start)]?.push(to);
        }
        return to;
      }
      case "repeat":
        return this.#repeat(pattern, from);
      default:
        return from; // what stands at the sides is taken off before
    }
  }

  #repeat({ item, min, max }: Extract<Pattern, { readonly kind: "repeat" }>, from: number): number {
    let state = from;
    for (let i = 0; i < min; i++) state = this.#add(item, state);
    const to = this.#state();
    this.#epsilons[state]?.push(to);
    if (max === undefined) this.#epsilons[this.#add(item, to)]?.push(to);
    else
      for (let i = min; i < max; i++) {
        state = this.#add(item, state);
        this.#epsilons[state]?.push(to);
      }
    return to;
  }

  /** The first character of each range, and that behind it. */
  borders(): number[] {
    const sets = new Set(this.#edges.flatMap((edges) => edges.map(({ set }) => set)));
    const ends = [...sets].flatMap((set) => set.flatMap(({ low, high }) => [low, high + 1]));
    return [0, ...ends.filter((point) => point < 0x110000)];
  }

  /** Turns the ranges of characters into the numbers of their classes. */
  readClasses(borders: readonly number[]): void {
    const numbers = new Map(borders.map((border, i) => [border, i]));
    const known = new Map<readonly PointRange[], readonly number[]>(); // repetitions share their sets
    for (const edge of this.#edges.flat()) {
      edge.classes =
        known.get(edge.set) ??
        edge.set.flatMap(({ low, high }) => {
          const [first, end] = [numbers.get(low) ?? 0, numbers.get(high + 1) ?? borders.length];
          return Array.from({ length: end - first }, (_, i) => first + i);
        });
      known.set(edge.set, edge.classes);
    }
  }

  /** The number of the set of states before any character. */
  start(): number {
    return this.#setOf([0]);
  }

  hasEnd(set: number | undefined): boolean {
    return set !== undefined && this.#sets[set]?.includes(this.#end) === true;
  }

  /** The number of the set that each class of characters leads to. */
  moves(set: number): readonly number[] {
    const known = this.#moves.get(set);
    if (known) return known;
    const byClass = new Map<number, number[]>();
    let steps = 0;
    for (const state of this.#sets[set] ?? [])
      for (const { classes, target } of this.#edges[state] ?? []) {
        steps += classes.length;
        for (const one of classes) {
          const targets = byClass.get(one);
          if (targets) targets.push(target);
          else byClass.set(one, [target]);
        }
      }
    this.#spend(steps);
    const closed = new Map<string, number>();
    const moves: number[] = [];
    for (const [one, found] of byClass) {
      const key = found.join();
      const target = closed.get(key) ?? this.#setOf(found);
      closed.set(key, target);
      moves[one] = target;
    }
    this.#moves.set(set, moves);
    return moves;
  }

  /** The number of a set of states and all that follow without a character. Set 0 is empty. */
  #setOf(states: readonly number[]): number {
    const all = new Set(states);
    for (const state of all) for (const next of this.#epsilons[state] ?? []) all.add(next);
    this.#spend(all.size);
    const set = [...all].sort((a, b) => a - b);
    const key = set.join();
    let number = this.#numbers.get(key);
    if (number === undefined) {
      number = this.#sets.push(set) - 1;
      this.#numbers.set(key, number);
    }
    return number;
  }
}
