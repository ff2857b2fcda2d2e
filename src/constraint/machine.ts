import type { Program } from "./analyse.ts";
import { LIMITS, refuse } from "./limits.ts";

/** A call that is open: where it goes on, and the call around it. Equal frames are one object. */
interface Frame {
  readonly id: number;
  readonly target: number;
  readonly parent: Frame | undefined;
  readonly depth: number;
  readonly children: Map<number, Frame>;
}

/** A place of the automaton: a node that reads something, and the calls open there. */
interface Config {
  readonly node: number;
  readonly frame: Frame;
}

/** A set of places, all those that the output so far may have led to. */
export interface State {
  readonly configs: readonly Config[];
  /** Keys of the places in order. */
  readonly keys: Float64Array;
  /** True if the output may end here. */
  readonly isComplete: boolean;
  /** State behind each class of bytes; null: there is none; undefined: not known yet. */
  readonly next: (State | null | undefined)[];
  /** Texts of the tokens that may come as a whole, with the state behind each. Empty for almost all states. */
  readonly markers: ReadonlyMap<string, State>;
  /** Tokens that may come next, once somebody asked. */
  mask: Uint32Array | undefined;
}

/**
 * Runs a program: a deterministic automaton over sets of places, made as the output needs it. Every place of a state can reach the
 * end of the output, so no state is a dead end.
 */
export class Machine {
  readonly program: Program;
  readonly start: State;
  /** States by the hash of their keys. */
  readonly #states = new Map<number, readonly State[]>();
  #numStates = 0;
  readonly #root: Frame;
  #numConfigs = 0;
  #numFrames = 0;
  #work = 0;
  /** States with a mask, oldest first. */
  readonly #masked: State[] = [];

  /** @throws RequestError if the first state is too large */
  constructor(program: Program) {
    this.program = program;
    this.#root = this.#frame(-1, undefined);
    const start = this.#close([{ node: program.starts[0] ?? 0, frame: this.#root }]);
    if (!start) throw refuse("compiling", "no text satisfies it");
    this.start = start;
  }

  /** Starts the count of work anew: of a mask, or of a token. */
  begin(): void {
    this.#work = 0;
  }

  /** Counts work. @throws RequestError beyond the limit */
  count(work: number): void {
    this.#work += work;
    if (this.#work > LIMITS.work)
      throw refuse(
        "running",
        "it takes too much work for one token; use a simpler pattern, with less that overlaps",
      );
  }

  /** The state behind a byte, or null. */
  step(state: State, byte: number): State | null {
    const byteClass = this.program.classOf[byte] ?? 0;
    const known = state.next[byteClass];
    if (known !== undefined) return known;
    const made = this.#read(state, this.program.byteOf[byteClass] ?? 0);
    state.next[byteClass] = made;
    return made;
  }

  #read({ configs }: State, byte: number): State | null {
    const { nodes, need, alphabet } = this.program;
    if (!alphabet.hasByte[byte]) return null;
    const reached: Config[] = [];
    for (const { node, frame } of configs) {
      const bytes = nodes[node]?.bytes ?? [];
      this.count(1 + bytes.length / 3);
      for (let i = 0; i < bytes.length; i += 3) {
        const target = bytes[i + 2] ?? 0;
        if (byte < (bytes[i] ?? 0) || byte > (bytes[i + 1] ?? 0)) continue;
        if (this.#canFinish(need[target], frame)) reached.push({ node: target, frame });
      }
    }
    return this.#close(reached);
  }

  #frame(target: number, parent: Frame | undefined): Frame {
    const depth = parent ? parent.depth + 1 : 0;
    return { id: this.#numFrames++, target, parent, depth, children: new Map() };
  }

  #canFinish(need: number | undefined, { depth }: Frame): boolean {
    return depth + (need ?? Number.POSITIVE_INFINITY) <= LIMITS.frames;
  }

  /** Follows all edges that read nothing. Returns null if nothing is reached. */
  #close(from: readonly Config[]): State | null {
    const { nodes, starts, need } = this.program;
    const seen = new Set<number>();
    const open: Config[] = [];
    const kept: Config[] = [];
    let isComplete = false;
    const reach = (node: number, frame: Frame) => {
      if (!this.#canFinish(need[node], frame)) return;
      const key = keyOf(node, frame);
      if (seen.has(key)) return;
      seen.add(key);
      open.push({ node, frame });
    };
    for (const { node, frame } of from) reach(node, frame);
    for (let config = open.pop(); config; config = open.pop()) {
      this.count(1);
      const { node: id, frame } = config;
      const node = nodes[id];
      if (!node) continue;
      if (node.bytes.length > 0 || node.markers.length > 0) kept.push(config);
      for (const target of node.epsilons) reach(target, frame);
      for (let i = 0; i < node.calls.length; i += 2)
        this.#call(starts[node.calls[i] ?? 0] ?? 0, node.calls[i + 1] ?? 0, frame, reach);
      if (!node.isEnd) continue;
      if (frame.parent) reach(frame.target, frame.parent);
      else isComplete = true;
    }
    return kept.length > 0 || isComplete ? this.#intern(kept, isComplete) : null;
  }

  #call(start: number, target: number, frame: Frame, reach: (node: number, frame: Frame) => void): void {
    const { nodes, need } = this.program;
    const behind = nodes[target];
    // a call at the end of a rule needs no frame: what follows is the end of the caller
    const isLast =
      behind?.isEnd &&
      behind.bytes.length + behind.epsilons.length + behind.calls.length === 0 &&
      behind.markers.length === 0;
    if (isLast) {
      reach(start, frame);
      return;
    }
    if (!this.#canFinish(need[target], frame)) return;
    let inner = frame.children.get(target);
    if (!inner) {
      if (!this.#canFinish((need[start] ?? Number.POSITIVE_INFINITY) + 1, frame)) return;
      inner = this.#frame(target, frame);
      frame.children.set(target, inner);
    }
    reach(start, inner);
  }

  /** Returns the one object of a state. */
  #intern(configs: readonly Config[], isComplete: boolean): State {
    this.count(configs.length);
    const keys = Float64Array.from(configs, ({ node, frame }) => keyOf(node, frame)).sort();
    let hash = isComplete ? 1 : 0;
    for (const key of keys) hash = (Math.imul(hash, 31) + (key % 4_294_967_291)) | 0;
    const bucket = this.#states.get(hash) ?? [];
    const known = bucket.find((one) => one.isComplete === isComplete && isSame(one.keys, keys));
    if (known) return known;
    if (this.#numStates >= LIMITS.states || this.#numConfigs > LIMITS.configs) this.#forget();
    const next = new Array(this.program.byteOf.length);
    const state: State = { configs, keys, isComplete, next, markers: new Map(), mask: undefined };
    this.#states.set(hash, [...(this.#states.get(hash) ?? []), state]);
    this.#numStates++;
    this.#numConfigs += configs.length;
    this.#addMarkers(state);
    return state;
  }

  #addMarkers(state: State): void {
    const { nodes, alphabet } = this.program;
    const targets = new Map<string, Config[]>();
    for (const { node, frame } of state.configs)
      for (const { text, target } of nodes[node]?.markers ?? []) {
        if (!alphabet.hasMarker(text)) continue;
        const reached = targets.get(text) ?? [];
        reached.push({ node: target, frame });
        targets.set(text, reached);
      }
    const markers = state.markers as Map<string, State>;
    for (const [text, reached] of targets) {
      const next = this.#close(reached);
      if (next) markers.set(text, next);
    }
  }

  /** Drops what it knows of states. Those in use keep what they point to. */
  #forget(): void {
    for (const bucket of this.#states.values()) for (const state of bucket) state.next.fill(undefined);
    this.#states.clear();
    this.#numStates = 0;
    this.#root.children.clear();
    this.#numConfigs = 0;
  }

  /** Remembers the mask of a state, and drops the oldest masks beyond the limit. */
  keepMask(state: State, mask: Uint32Array): void {
    state.mask = mask;
    this.#masked.push(state);
    const most = Math.max(1, Math.floor(LIMITS.maskWords / Math.max(1, mask.length)));
    for (let old = this.#masked.length > most ? this.#masked.shift() : undefined; old; old = undefined)
      old.mask = undefined;
  }
}

/** Equal for equal places. Frames stay below 2^36, nodes below 2^16. */
const keyOf = (node: number, { id }: Frame): number => id * 65_536 + node;

function isSame(a: Float64Array, b: Float64Array): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}
