"""The engine's random numbers in Python: with them `tasks.py` draws the problems of `eval/problems`, letter for letter.

`eval/problems/random.ts` has the generator (sfc32 by Chris Doty-Humphrey) and says how each method uses its numbers.
"""

from tasks import BUDGET_PER_TOKEN, TASKS, chat

MASK = 0xFFFFFFFF
AIM = 0.8  # share of the length to aim at, as in eval/problems/index.ts


class Sfc32:
    """Has those methods of `random.Random` that the tasks call."""

    def __init__(self, seed):
        self.state = [0x2545F491, seed & MASK, (seed >> 32) & MASK, 1]
        for _ in range(20):
            self._next()

    def _next(self):
        a, b, c, counter = self.state
        total = (a + b + counter) & MASK
        rotated = ((c << 21) | (c >> 11)) & MASK
        self.state = [b ^ (b >> 9), (c + (c << 3)) & MASK, (rotated + total) & MASK, (counter + 1) & MASK]
        return total

    def random(self):
        high = self._next() >> 5
        return (high * 0x4000000 + (self._next() >> 6)) / 2**53

    def uniform(self, low, high):
        return low + (high - low) * self.random()

    def randrange(self, low, high=None):
        low, high = (0, low) if high is None else (low, high)
        return low + int(self.random() * (high - low))

    def randint(self, low, high):
        return self.randrange(low, high + 1)

    def choice(self, items):
        return items[self.randrange(len(items))]

    def sample(self, items, count):
        drawn = list(items)
        self.shuffle(drawn)
        return drawn[:count]

    def shuffle(self, items):
        rest = items[:]
        items[:] = [rest.pop(self.randrange(len(rest))) for _ in range(len(rest))]


def make_problems(task, total_tokens, count, seed, count_tokens):
    """The problems of `makeProblems` of eval/problems: (problem, reasoning, answer), shorter than `total_tokens` tokens.

    `count_tokens` returns the tokens of a text.
    """
    rng, found = Sfc32(seed * 100_000 + total_tokens), []
    while len(found) < count:
        drawn = TASKS[task](rng, int(total_tokens * BUDGET_PER_TOKEN[task] * AIM))
        if sum(map(count_tokens, chat(*drawn))) < total_tokens:
            found.append(drawn)
    return found
