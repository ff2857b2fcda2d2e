"""Writes statistics.json: attempts, and what numpy and scipy say of them. Checked by eval/statistics/golden.test.ts.

    python -m pip install numpy==2.4.6 scipy==1.17.1
    python test/golden/make-statistics.py
"""

import json
from fractions import Fraction
from math import comb
from pathlib import Path

import numpy as np
import scipy
from scipy import stats

RESAMPLES = 200_000
random = np.random.default_rng(11)


def interval(statistic, *columns):
    """Percentile bootstrap over problems, from so many resamples that its own error is small beside the checked one's."""
    result = stats.bootstrap(
        columns, statistic, paired=True, vectorized=True, n_resamples=RESAMPLES, batch=2000,
        confidence_level=0.95, method="percentile", rng=np.random.default_rng(5),
    )
    low, high = result.confidence_interval
    return {"value": float(statistic(*[np.asarray(c) for c in columns], axis=-1)), "low": float(low),
            "high": float(high), "standardError": float(result.standard_error)}


def mean(x, axis=-1):
    return np.mean(x, axis=axis)


def ratio(x, y, axis=-1):
    return np.sum(x, axis=axis) / np.sum(y, axis=axis)


def attempts(problems, most, metric, skill):
    """Rows of one method; `skill` moves the share of right answers, or the loss."""
    rows = []
    for problem in range(problems):
        ease = random.random()
        number = most if most < 4 or problem % 5 else most - 2
        for attempt in range(number):
            tokens = int(random.lognormal(6.5, 0.6))
            rows.append({
                "problemId": f"p{problem:03d}", "attempt": attempt, "seed": problem * 100 + attempt,
                "score": float(random.random() < 0.35 * ease + skill) if metric == "correct"
                else float(random.gamma(4, skill)),
                "tokens": tokens, "msPerToken": float(random.gamma(20, 0.2)), "isCut": bool(random.random() < 0.1),
            })
    return rows


def by_problem(rows):
    problems = {}
    for row in rows:
        problems.setdefault(row["problemId"], []).append(row)
    return [problems[name] for name in sorted(problems)]


def pass_at(rows, k):
    """1 - C(n - c, k) / C(n, k), in exact fractions."""
    values = []
    for problem in by_problem(rows):
        n, c = len(problem), sum(int(row["score"]) for row in problem)
        values.append(1 - Fraction(comb(n - c, k), comb(n, k)))
    return float(sum(values) / len(values))


def summary(rows, metric):
    problems = by_problem(rows)
    means = lambda figure: [np.mean([figure(row) for row in problem]) for problem in problems]
    sums = lambda figure: [np.sum([figure(row) for row in problem]) for problem in problems]
    times = [row["msPerToken"] for row in rows]
    out = {
        "msPerToken": interval(ratio, sums(lambda r: r["msPerToken"] * r["tokens"]), sums(lambda r: r["tokens"])),
        "median": float(np.quantile(times, 0.5)), "p99": float(np.quantile(times, 0.99)),
        "secondsPerProblem": interval(mean, means(lambda r: r["msPerToken"] * r["tokens"] / 1000)),
    }
    if metric == "loss":
        out["loss"] = interval(ratio, sums(lambda r: r["score"] * r["tokens"]), sums(lambda r: r["tokens"]))
        return out
    fewest = min(len(problem) for problem in problems)
    return out | {
        "accuracy": interval(mean, means(lambda r: r["score"])),
        "generationTokens": interval(mean, means(lambda r: r["tokens"])),
        "truncated": interval(mean, means(lambda r: float(r["isCut"]))),
        "passAt": {k: pass_at(rows, k) for k in range(2, fewest + 1)},
    }


def comparison(ours, theirs, metric):
    pairs = [list(zip(a, b)) for a, b in zip(by_problem(ours), by_problem(theirs))]
    means = lambda figure: [np.mean([figure(a) - figure(b) for a, b in problem]) for problem in pairs]
    sums = lambda figure, side: [np.sum([figure(pair[side]) for pair in problem]) for problem in pairs]
    seconds = lambda r: r["msPerToken"] * r["tokens"] / 1000
    scores = np.array(means(lambda r: r["score"])) * (-1 if metric == "loss" else 1)
    better, worse = int(np.sum(scores > 0)), int(np.sum(scores < 0))
    out = {
        "better": better, "worse": worse,
        "pValue": float(stats.binomtest(better, better + worse, 0.5).pvalue),
        "seconds": interval(mean, means(seconds)), "speedup": interval(ratio, sums(seconds, 1), sums(seconds, 0)),
    }
    if metric == "loss":
        weighted = [np.sum([(a["score"] - b["score"]) * a["tokens"] for a, b in problem]) for problem in pairs]
        return out | {"difference": interval(ratio, weighted, sums(lambda r: r["tokens"], 0))}
    length = lambda r: r["tokens"]
    return out | {
        "difference": interval(mean, means(lambda r: r["score"])),
        "generationTokens": interval(mean, means(length)),
        "lengthRatio": interval(ratio, sums(length, 0), sums(length, 1)),
    }


def case(name, problems, most, metric, skills):
    ours, theirs = (attempts(problems, most, metric, skill) for skill in skills)
    if metric == "loss":  # the same tokens are forced under every method
        for a, b in zip(ours, theirs):
            a["tokens"] = b["tokens"]
    return {"name": name, "metric": metric, "ours": ours, "theirs": theirs,
            "summary": summary(ours, metric), "comparison": comparison(ours, theirs, metric)}


cases = [
    case("one attempt a problem", 40, 1, "correct", (0.55, 0.7)),
    case("few problems", 12, 2, "correct", (0.3, 0.3)),
    case("8 attempts, 6 at every fifth problem", 30, 8, "correct", (0.4, 0.6)),
    case("loss", 25, 1, "loss", (0.55, 0.5)),
]
exact = [{"trials": n, "all": list(stats.binomtest(n, n).proportion_ci(0.95, "exact")),
          "none": list(stats.binomtest(0, n).proportion_ci(0.95, "exact"))} for n in (1, 2, 10, 100, 5000)]
signs = [{"better": b, "worse": w, "pValue": float(stats.binomtest(b, b + w, 0.5).pvalue) if b + w else 1.0}
         for b, w in ((0, 0), (1, 0), (0, 5), (3, 9), (6, 6), (40, 61), (900, 1000), (2600, 2400))]
path = Path(__file__).with_name("statistics.json")
path.write_text(json.dumps({
    "madeBy": f"make-statistics.py with numpy {np.__version__}, scipy {scipy.__version__}",
    "resamples": RESAMPLES, "cases": cases, "exact": exact, "signs": signs,
}) + "\n")
