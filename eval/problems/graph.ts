import { lookUp, type Problem } from "./generated-problem.ts";
import type { Random } from "./random.ts";

type Graph = ReadonlyMap<number, readonly number[]>;

const MAX_NODES = 88;
const MAX_EDGES = 5; // Extra edges that leave a node.

/** Task: depth-first search with backtracking over adjacency lists; nodes are 10 to 99. */
export function graph(random: Random, budget: number): Problem {
  const count = Math.min(MAX_NODES, Math.max(6, Math.trunc((budget - 80) / random.uniform(38, 52))));
  const all = Array.from({ length: 90 }, (_, i) => 10 + i);
  const nodes = random.sample(all, count);
  const start = nodes[0] ?? 10;
  const edges = drawEdges(random, nodes);
  // A late goal makes the search long.
  const { order } = search(edges, start, undefined);
  const half = Math.floor(order.length / 2);
  const goal = order.length > 1 ? (order[random.range(half, order.length)] ?? start) : start;
  const { lines, parents } = search(edges, start, goal);
  const path = [goal];
  for (let node = parents.get(goal); node !== undefined; node = parents.get(node)) path.push(node);
  const describe = (node: number) => `${node}: ${lookUp(edges, node).join(" ") || "none"}`;
  const problem = [
    `Find the depth-first path from ${start} to ${goal}.`,
    ...random.shuffled(nodes).map(describe),
  ];
  const back = path.slice(0, -1).map((node) => `${node} from ${lookUp(parents, node)}`);
  return {
    problem: problem.join("\n"),
    reasoning: [...lines, `at ${goal}: goal`, ...back].join("\n"),
    answer: path.reverse().join(" "),
  };
}

/** Makes a tree, which has dead ends, and some extra edges. */
function drawEdges(random: Random, nodes: readonly number[]): Graph {
  const edges = new Map(nodes.map((node) => [node, [] as number[]]));
  for (const [i, node] of nodes.entries()) {
    if (i === 0) continue;
    const parent = nodes[random.range(Math.max(0, i - random.choice([2, 5, 12])), i)];
    if (parent !== undefined) lookUp(edges, parent).push(node);
  }
  const extra = Math.trunc(nodes.length * random.uniform(0.3, 0.9));
  for (let i = 0; i < extra; i++) {
    const [from = 0, to = 0] = random.sample(nodes, 2);
    const targets = lookUp(edges, from);
    if (!targets.includes(to) && targets.length < MAX_EDGES) targets.push(to);
  }
  return new Map([...edges].map(([node, targets]) => [node, random.shuffled(targets)]));
}

/** Searches depth-first and writes its steps; without a goal it visits all reachable nodes. */
function search(edges: Graph, start: number, goal: number | undefined) {
  const lines: string[] = [];
  const parents = new Map<number, number>();
  const order = [start];
  const seen = new Set(order);
  const tried = new Map<number, number>();
  let node = start;
  while (node !== goal) {
    const targets = lookUp(edges, node);
    const parts: string[] = [];
    let next: number | undefined;
    let at = tried.get(node) ?? 0;
    while (next === undefined && at < targets.length) {
      const target = targets[at++] ?? 0;
      parts.push(`${target} ${seen.has(target) ? "seen" : "new"}`);
      if (!seen.has(target)) next = target;
    }
    tried.set(node, at);
    const parent = parents.get(node);
    if (next !== undefined) {
      seen.add(next);
      parents.set(next, node);
      order.push(next);
    } else parts.push(parent === undefined ? "stuck" : `back to ${parent}`);
    lines.push(`at ${node}: ${parts.join(", ")}`);
    if (next === undefined && parent === undefined) break;
    node = next ?? parent ?? start;
  }
  return { lines, parents, order };
}
