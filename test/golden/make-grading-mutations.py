"""
Ten mutations of every answer of a data set, with math-verify's verdict, for scripts/grading-agreement.mjs.

    pip install math-verify==0.9.0
    python test/golden/make-grading-mutations.py DATA.jsonl OUT.json

DATA.jsonl has a field "answer" in LaTeX on every line. The data set is published by others, so that OUT.json stays where it was made.
"""

import json
import logging
import re
import sys
from fractions import Fraction
from multiprocessing import Pool

from math_verify import parse, verify

logging.disable(logging.CRITICAL)
COUNT = 10


def is_words(answer):
    return re.fullmatch(r"\\text\{[^}]*\}", answer) is not None


def items_of(answer):
    """The items of a bare list, a set or a tuple, and what stands around them."""
    match = re.fullmatch(r"(\\left)?(\\?[\[({]|)(.*?)(\\right)?(\\?[\])}]|)", answer.strip())
    if match is None or "," not in match[3] or re.search(r",\\!|,\d{3}\b|cup|\\text|in ", answer):
        return None
    items = match[3].split(",")
    around = ((match[1] or "") + match[2], (match[4] or "") + match[5])
    return (items, around) if all(item.count("(") == item.count(")") for item in items) else None


def as_fraction(answer):
    text = re.sub(r"^(-?)\\[dt]?frac\s*(\d)\s*(\d)$", r"\1\2/\3", answer)
    text = re.sub(r"^(-?)\\[dt]?frac\s*\{?(-?\d+)\}?\s*\{?(\d+)\}?$", r"\1\2/\3", text)
    return Fraction(text) if re.fullmatch(r"-?(\d+(/\d+)?|\d*\.\d+)", text) else None


def decimal_form(value):
    """All places of a fraction that ends, else ten."""
    scaled, digits = value, 0
    while scaled.denominator != 1 and digits < 12:
        scaled, digits = scaled * 10, digits + 1
    text = f"{float(value):.{digits if scaled.denominator == 1 else 10}f}"
    return text + ".0" if digits == 0 else text


def equal_forms(answer):
    if is_words(answer):
        inner = answer[6:-1]
        yield "bare words", inner
        yield "bold", f"\\textbf{{{inner}}}"
        yield "blanks", f"\\text{{ {inner} }}"
        yield "capitals", f"\\text{{{inner.upper()}}}"
        yield "dollars", f"${answer}$"
        return
    yield "dollars", f"${answer}$"
    if "frac" in answer:
        yield "dfrac", re.sub(r"\\[dt]?frac", r"\\dfrac", answer)
        yield "tfrac", re.sub(r"\\[dt]?frac", r"\\tfrac", answer)
    if re.search(r"\\left|\\right", answer):
        yield "no left, right", re.sub(r"\\(left|right)\s*", "", answer)
    elif re.match(r"[(\[]", answer) and re.search(r"[)\]]$", answer) and "cup" not in answer:
        yield "left, right", f"\\left{answer[:-1]}\\right{answer[-1]}"
    yield "blanks", re.sub(r"(?<=[-+=,(\d])(?=[-+=\\(])", " ", answer)
    if not re.search(r"(?<=\w) (?=\w)|\\[a-zA-Z]+ [a-zA-Z]", answer):
        yield "no blanks", answer.replace(" ", "")
    value = as_fraction(answer)
    if value is not None:
        yield "decimal", decimal_form(value)
        yield "unit", answer + "\\text{ units}"
        yield "product", f"{answer} \\cdot 1" if value.denominator == 1 else f"1 \\cdot {answer}"
    listed = items_of(answer)
    if listed and listed[1][0] in ("", "\\{"):
        items, (left, right) = listed
        yield "order", left + ",".join(reversed(items)) + right
    if "=" not in answer and "\\in" not in answer and not listed:
        yield "named", f"x = {answer}"


def different_forms(answer):
    if is_words(answer):
        inner = answer[6:-1]
        yield "other word", f"\\text{{{inner[:-1]}z}}" if inner[-1] != ")" else "\\text{(Z)}"
        yield "longer word", f"\\text{{{inner}er}}"
        yield "number", "7"
        yield "negated", f"\\text{{not {inner}}}"
        yield "other", "\\text{none of these}"
        yield "wrapped", f"\\text{{{inner}, {inner}z}}"
        return
    digits = [match.start() for match in re.finditer(r"\d", answer)]
    for at in digits[:1] + digits[-1:]:
        yield "digit", answer[:at] + str((int(answer[at]) + 1) % 10) + answer[at + 1 :]
    listed = items_of(answer)
    if listed:
        items, (left, right) = listed
        if left in ("(", "[", "\\left(", "\\left[") and items[0].strip() != items[-1].strip():
            yield "swapped", left + ",".join(reversed(items)) + right
        if left.endswith("(") and "infty" not in items[0]:
            yield "bracket", left[:-1] + "[" + ",".join(items) + right
        if left.endswith("["):
            yield "bracket", left[:-1] + "(" + ",".join(items) + right
        yield "dropped", left + ",".join(items[:-1]) + right
        yield "added", left + ",".join([*items, "77"]) + right
    elif "=" not in answer and "begin" not in answer and "\\in" not in answer:
        if as_fraction(answer) == 0:
            yield from (("other", text, ) for text in ("1", "-1", "\\infty", "0.01", "x"))
            return
        yield "sign", answer[1:] if answer.startswith("-") else f"-({answer})" if "_" not in answer else f"-{answer}"
        yield "hundred", f"100({answer})" if as_fraction(answer) is None else str(as_fraction(answer) * 100)
        yield "hundredth", f"\\frac{{{answer}}}{{100}}"
        yield "plus one", f"{answer} + 1"
        yield "twice", f"2({answer})"
    yield "squared", f"\\left({answer}\\right)^2 + 3"
    for at in digits[1:-1] + digits[:1] * 4:
        yield "digit", answer[:at] + str((int(answer[at]) + 7) % 10) + answer[at + 1 :]
    yield "words", "\\text{no solution}"
    yield "nothing alike", "q^7 - 1"


def mutations(answer):
    equal = [(name, text, True) for name, text in equal_forms(answer)]
    different = [(name, text, False) for name, text in different_forms(answer)]
    chosen = equal[:5] + different[:5] + equal[5:] + different[5:]
    unique = {text: (name, text, is_equal) for name, text, is_equal in reversed(chosen) if text != answer}
    return [mutation for mutation in reversed(unique.values())][:COUNT]


def judged(row):
    target, name, answer, intended = row
    try:
        verdict = bool(verify(parse(f"\\boxed{{{target}}}"), parse(f"\\boxed{{{answer}}}")))
    except Exception:
        verdict = None
    return [target, answer, name, intended, verdict]


if __name__ == "__main__":
    answers = [str(json.loads(line)["answer"]) for line in open(sys.argv[1])]
    rows = [(answer, *mutation) for answer in answers for mutation in mutations(answer)]
    with Pool(2) as pool:
        json.dump({"answers": len(answers), "rows": pool.map(judged, rows, chunksize=50)}, open(sys.argv[2], "w"))
    print(len(answers), "answers,", len(rows), "mutations")
