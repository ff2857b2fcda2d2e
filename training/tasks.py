"""Synthetic long-reasoning tasks. Each generator draws a (problem, reasoning, answer) from a `random.Random`.

`eval/problems/` holds the same generators in TypeScript; its tests pin the sizes that these produce.
The order of random draws is part of the data: changing it changes the problems of a seed.
"""

import random
import statistics
import string

LETTERS = string.ascii_lowercase


def calculate(left, sign, right):
    """The arithmetic of the tasks: modulo 100, never negative."""
    return (left + right if sign == "+" else left - right) % 100


# registers: step a small register machine; about 17 tokens a step


def registers(rng, budget):
    num_registers, length = rng.randint(3, 10), rng.randint(3, 14)
    names = LETTERS[:num_registers]
    start = {name: rng.randrange(100) for name in names}
    program = [draw_instruction(rng, names, length) for _ in range(length)]
    room = budget - 120 - 9 * length - 5 * num_registers
    steps = max(4, int(room / 17.0 * rng.uniform(0.85, 1.0)))
    asked = rng.choice(names)
    lines = [
        f"Run the program for {steps} steps, then give {asked}. Arithmetic is modulo 100.",
        "start: " + " ".join(f"{name}={value}" for name, value in start.items()),
        *(f"{i}: {describe_instruction(instruction)}" for i, instruction in enumerate(program, 1)),
    ]
    reasoning, values = run_program(program, start, steps)
    return "\n".join(lines), "\n".join(reasoning), str(values[asked])


def draw_instruction(rng, names, length):
    """Returns ("if", left, right, goto), (sign, target, left, right name or number) or ("copy", target, source, None)."""
    kind = rng.random()
    if kind < 0.16 and length > 3:
        left, right = rng.sample(names, 2)
        return "if", left, right, rng.randint(1, length)
    if kind < 0.62:
        return rng.choice("+-"), rng.choice(names), rng.choice(names), rng.choice(names)
    if kind < 0.9:
        return rng.choice("+-"), rng.choice(names), rng.choice(names), rng.randint(1, 99)
    return "copy", rng.choice(names), rng.choice(names), None


def describe_instruction(instruction):
    kind, a, b, c = instruction
    if kind == "if":
        return f"if {a}>{b} goto {c}"
    return f"{a}={b}" if kind == "copy" else f"{a}={b}{kind}{c}"


def run_program(program, start, steps):
    values, lines, line = dict(start), [], 1
    for step in range(1, steps + 1):
        kind, a, b, c = instruction = program[line - 1]
        head, next_line = f"#{step} {line}", line % len(program) + 1
        if kind == "if":
            is_taken = values[a] > values[b]
            lines.append(f"{head} {a}>{b} {values[a]}>{values[b]} {'yes' if is_taken else 'no'}")
            next_line = c if is_taken else next_line
        elif kind == "copy":
            values[a] = values[b]
            lines.append(f"{head} {a}={b}={values[a]}")
        else:
            left, right = values[b], values.get(c, c)
            values[a] = calculate(left, kind, right)
            lines.append(f"{head} {describe_instruction(instruction)}={left}{kind}{right}={values[a]}")
        line = next_line
    return lines, values


# variables: resolve one variable of a shuffled system of equations, depth first;
# about 8 tokens an equation and 17 a resolution


def variables(rng, budget):
    needed = max(3, int((budget - 90) / rng.uniform(34, 44)))
    total = min(600, needed + int(needed * rng.uniform(0.2, 0.9)) + 2)
    names = rng.sample([a + b for a in LETTERS for b in LETTERS], total)
    order, rest = names[:needed], names[needed:]
    equations = {**draw_needed(rng, order), **draw_rest(rng, rest, order)}
    asked = order[0]
    shuffled = names[:]
    rng.shuffle(shuffled)
    lines = [
        f"Find {asked}. Arithmetic is modulo 100.",
        *(describe_equation(name, equations[name]) for name in shuffled),
    ]
    reasoning, value = resolve(equations, asked)
    return "\n".join(lines), "\n".join(reasoning), str(value)


def draw_needed(rng, order):
    """Draws the equations that the first variable depends on: a directed acyclic graph in which it reaches all."""
    children = {name: [] for name in order}
    for i in range(1, len(order)):
        lowest = max(0, i - rng.choice([1, 2, 4, 8]))
        parents = [j for j in range(lowest, i) if len(children[order[j]]) < 2]
        parents = parents or [j for j in range(i) if len(children[order[j]]) < 2]
        children[order[rng.choice(parents)]].append(order[i])
    equations = {}
    for i, name in enumerate(order):
        operands = children[name]
        if not operands:
            equations[name] = (rng.randrange(100),)
            continue
        if len(operands) == 1 and i + 1 < len(order) and rng.random() < 0.4:
            operands = [operands[0], rng.choice(order[i + 1 :])]
        if len(operands) == 2:
            rng.shuffle(operands)
            equations[name] = (operands[0], rng.choice("+-"), operands[1])
        else:
            equations[name] = (operands[0], rng.choice("+-"), rng.randint(1, 99))
    return equations


def draw_rest(rng, rest, order):
    """Draws equations that are irrelevant to the variable asked for."""
    equations = {}
    for i, name in enumerate(rest):
        if rng.random() < 0.35 or i + 1 >= len(rest):
            equations[name] = (rng.randrange(100),)
            continue
        pool = rest[i + 1 :] + order
        left, sign = rng.choice(pool), rng.choice("+-")
        equations[name] = (left, sign, rng.choice(pool) if rng.random() < 0.5 else rng.randint(1, 99))
    return equations


def describe_equation(name, equation):
    return f"{name}=" + "".join(map(str, equation))


def resolve(equations, asked):
    """Resolves with an explicit stack: chains of dependencies exceed Python's recursion limit."""
    lines, known, opened, stack = [], {}, set(), [asked]
    while stack:
        name = stack[-1]
        equation = equations[name]
        text = describe_equation(name, equation)
        if name not in opened:
            opened.add(name)
            lines.append(f"? {text}")
        missing = [part for part in equation[::2] if isinstance(part, str) and part not in known]
        if missing:
            stack.append(missing[0])
            continue
        if len(equation) == 1:
            known[name] = equation[0]
        else:
            left, sign, right = known[equation[0]], equation[1], known.get(equation[2], equation[2])
            known[name] = calculate(left, sign, right)
            lines.append(f"{text}={left}{sign}{right}={known[name]}")
        stack.pop()
    return lines, known[asked]


# graph: depth-first search with backtracking over adjacency lists; nodes are 10..99


def graph(rng, budget):
    count = min(88, max(6, int((budget - 80) / rng.uniform(38, 52))))
    nodes = rng.sample(range(10, 100), count)
    edges = draw_edges(rng, nodes)
    start = nodes[0]
    # choose a goal that the search finds late, for a long search
    _, _, order = search(edges, start, None)
    goal = order[rng.randrange(len(order) // 2, len(order))] if len(order) > 1 else start
    reasoning, parents, _ = search(edges, start, goal)
    path = [goal]
    while parents[path[-1]] is not None:
        path.append(parents[path[-1]])
    shuffled = nodes[:]
    rng.shuffle(shuffled)
    lines = [
        f"Find the depth-first path from {start} to {goal}.",
        *(f"{node}: " + (" ".join(map(str, edges[node])) or "none") for node in shuffled),
    ]
    reasoning += [f"at {goal}: goal", *(f"{node} from {parents[node]}" for node in path[:-1])]
    return "\n".join(lines), "\n".join(reasoning), " ".join(map(str, path[::-1]))


def draw_edges(rng, nodes):
    """Draws a tree, which has dead ends, and a few more edges."""
    edges = {node: [] for node in nodes}
    for i in range(1, len(nodes)):
        parent = nodes[rng.randrange(max(0, i - rng.choice([2, 5, 12])), i)]
        edges[parent].append(nodes[i])
    for _ in range(int(len(nodes) * rng.uniform(0.3, 0.9))):
        source, target = rng.sample(nodes, 2)
        if target not in edges[source] and len(edges[source]) < 5:
            edges[source].append(target)
    for node in nodes:
        rng.shuffle(edges[node])
    return edges


def search(edges, start, goal):
    """Searches depth first and returns its steps as text; without a goal it visits every reachable node."""
    lines, parents, order, node = [], {start: None}, [start], start
    untried = {source: iter(targets) for source, targets in edges.items()}
    while node != goal:
        parts, found = [], None
        for target in untried[node]:
            parts.append(f"{target} {'seen' if target in parents else 'new'}")
            if target not in parents:
                found = target
                break
        if found is None:
            parts.append("stuck" if parents[node] is None else f"back to {parents[node]}")
        lines.append(f"at {node}: " + ", ".join(parts))
        if found is not None:
            parents[found] = node
            order.append(found)
        elif parents[node] is None:
            break
        node = parents[node] if found is None else found
    return lines, parents, order


TASKS = {"registers": registers, "variables": variables, "graph": graph}

#: Budget units of a generator for each token of the problem.
BUDGET_PER_TOKEN = {"registers": 1.18, "variables": 1.1, "graph": 1.35}


def chat(problem, reasoning, answer):
    """Returns the training example's prompt and completion."""
    return (
        f"<|im_start|>user\n{problem}<|im_end|>\n<|im_start|>assistant\n<think>\n",
        f"{reasoning}\n</think>\n\nThe answer is \\boxed{{{answer}}}.<|im_end|>\n",
    )


if __name__ == "__main__":
    rng = random.Random(1)
    for name, draw in TASKS.items():
        prompt, completion = chat(*draw(rng, 500))
        print(f"{prompt}{completion}{len(prompt + completion)} chars\n----")
        for budget in (512, 1024, 2048, 4096, 8192):
            chars = [sum(map(len, chat(*draw(rng, budget)))) for _ in range(30)]
            print(name, budget, statistics.mean(chars), max(chars))
