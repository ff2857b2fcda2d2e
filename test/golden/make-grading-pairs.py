"""
Writes grading-pairs.json: math-verify's verdict on every pair of grading-pairs.txt.

    pip install math-verify==0.9.0
    python test/golden/make-grading-pairs.py
"""

import json
import logging
import pathlib
from importlib.metadata import version

from math_verify import parse, verify

logging.disable(logging.CRITICAL)
HERE = pathlib.Path(__file__).parent


def verdict(target: str, answer: str) -> bool:
    """Both are parsed as the content of a box, which is where answers come from."""
    return bool(verify(parse(f"\\boxed{{{target}}}"), parse(f"\\boxed{{{answer}}}")))


def pairs():
    for line in (HERE / "grading-pairs.txt").read_text().splitlines():
        if line.startswith("#") or not line.strip():
            continue
        target, answers = line.split(" => ")
        equal, different = answers.split(" ## ")
        for is_equal, group in ((True, equal), (False, different)):
            for answer in group.split(" || "):
                yield target.strip(), answer.strip(), is_equal


rows = [[target, answer, is_equal, verdict(target, answer)] for target, answer, is_equal in pairs()]
lines = ",\n".join("    " + json.dumps(row) for row in rows)
head = json.dumps({"math-verify": version("math-verify"), "latex2sympy2_extended": version("latex2sympy2_extended")})
columns = json.dumps(["target", "answer", "isEqual", "mathVerify"])
text = f'{{\n  "versions": {head},\n  "columns": {columns},\n  "pairs": [\n{lines}\n  ]\n}}\n'
(HERE / "grading-pairs.json").write_text(text)
print(len(rows), "pairs,", sum(row[2] != row[3] for row in rows), "where math-verify disagrees")
