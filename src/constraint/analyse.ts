import { LIMITS, refuse } from "./limits.ts";
import type { Grammar, Node } from "./program.ts";

/** What a grammar can do with the bytes and tokens of a vocabulary. */
export interface Alphabet {
  /** True for each byte that is a token by itself; whatever the output is, such tokens can finish it. */
  readonly hasByte: readonly boolean[];
  hasMarker(text: string): boolean;
}

/** A grammar ready to run. */
export interface Program extends Grammar {
  /** Class of each byte: no rule tells bytes of one class apart. */
  readonly classOf: Uint8Array;
  /** A byte of each class. */
  readonly byteOf: readonly number[];
  /**
   * For each node the open calls that the shortest way to the end of its rule takes, in depth; Infinity if there is no way. Nodes
   * that the open calls cannot finish are never entered, so that the output can always end.
   */
  readonly need: Float64Array;
  readonly alphabet: Alphabet;
}

/**
 * Finds what a grammar needs, and refuses one that no text satisfies.
 * @throws RequestError
 */
export function analyse(grammar: Grammar, alphabet: Alphabet): Program {
  const { classOf, byteOf } = byteClasses(grammar.nodes, alphabet);
  const need = findNeed(grammar, alphabet);
  if ((need[grammar.starts[0] ?? 0] ?? Number.POSITIVE_INFINITY) >= LIMITS.frames)
    throw refuse(
      "compiling",
      "no text of this vocabulary satisfies it (a schema that contradicts or always contains itself, or characters that no token has)",
    );
  return { ...grammar, classOf, byteOf, need, alphabet };
}

function byteClasses(nodes: readonly Node[], { hasByte }: Alphabet) {
  const isBorder = new Uint8Array(257);
  isBorder[0] = 1;
  for (let byte = 1; byte < 256; byte++) if (hasByte[byte] !== hasByte[byte - 1]) isBorder[byte] = 1;
  for (const { bytes } of nodes)
    for (let i = 0; i < bytes.length; i += 3) {
      isBorder[bytes[i] ?? 0] = 1;
      isBorder[(bytes[i + 1] ?? 0) + 1] = 1;
    }
  const classOf = new Uint8Array(256);
  const byteOf: number[] = [];
  for (let byte = 0; byte < 256; byte++) {
    if (isBorder[byte]) byteOf.push(byte);
    classOf[byte] = byteOf.length - 1;
  }
  return { classOf, byteOf };
}

/** True if some byte of a range is a token. */
function isUsable(low: number, high: number, { hasByte }: Alphabet): boolean {
  for (let byte = low; byte <= high; byte++) if (hasByte[byte]) return true;
  return false;
}

interface Backward {
  /** Nodes before each node, by edges that call nothing. */
  readonly plain: readonly number[][];
  /** Calls that wait for a node: the callers by the first node of the rule, and by the node behind the call. */
  readonly calls: readonly { readonly from: number; readonly start: number; readonly target: number }[][];
}

function reverse({ nodes, starts }: Grammar, alphabet: Alphabet): Backward {
  const plain: number[][] = nodes.map(() => []);
  const calls: { from: number; start: number; target: number }[][] = nodes.map(() => []);
  for (const [from, { bytes, epsilons, markers, calls: called }] of nodes.entries()) {
    for (let i = 0; i < bytes.length; i += 3)
      if (isUsable(bytes[i] ?? 0, bytes[i + 1] ?? 0, alphabet)) plain[bytes[i + 2] ?? 0]?.push(from);
    for (const target of epsilons) plain[target]?.push(from);
    for (const { text, target } of markers) if (alphabet.hasMarker(text)) plain[target]?.push(from);
    for (let i = 0; i < called.length; i += 2) {
      const call = { from, start: starts[called[i] ?? 0] ?? 0, target: called[i + 1] ?? 0 };
      calls[call.start]?.push(call);
      calls[call.target]?.push(call);
    }
  }
  return { plain, calls };
}

/** Finds the need of each node, level by level: a node of need n has a way to its rule's end with calls of need below n. */
function findNeed(grammar: Grammar, alphabet: Alphabet): Float64Array {
  const { plain, calls } = reverse(grammar, alphabet);
  const need = new Float64Array(grammar.nodes.length).fill(Number.POSITIVE_INFINITY);
  /** Nodes by the level at which they may be settled. */
  const levels: number[][] = [[]];
  for (const [node, { isEnd }] of grammar.nodes.entries()) if (isEnd) levels[0]?.push(node);
  for (let level = 0; level < levels.length && level <= LIMITS.frames; level++) {
    const open = levels[level] ?? [];
    for (let node = open.pop(); node !== undefined; node = open.pop()) {
      if ((need[node] ?? 0) <= level) continue;
      need[node] = level;
      for (const before of plain[node] ?? []) open.push(before);
      for (const { from, start, target } of calls[node] ?? []) {
        const whole = Math.max((need[start] ?? 0) + 1, need[target] ?? 0);
        if (whole === Number.POSITIVE_INFINITY) continue;
        while (levels.length <= whole) levels.push([]);
        levels[whole]?.push(from);
      }
    }
  }
  return need;
}
