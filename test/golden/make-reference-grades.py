"""
Writes reference-grades.json: what the published grader of LessIsMore extracts from responses and how it grades them.

    git clone https://github.com/DerrickYLJ/LessIsMore && git -C LessIsMore checkout 6753bf7
    pip install latex2sympy2==1.9.1 sympy==1.14.0 word2number==1.1 regex
    python test/golden/make-reference-grades.py LessIsMore

These are the packages that its pyproject.toml asks for. latex2sympy2 needs antlr4 4.7, with which SymPy's own LaTeX parser, which the
grader tries first, raises an error; so SymPy's expression parser comes first.
"""

import importlib.util
import json
import multiprocessing
import pathlib
import sys
import types
import warnings

warnings.filterwarnings("ignore")
HERE = pathlib.Path(__file__).parent
SEED = pathlib.Path(sys.argv[1]) / "experiments/reasoning/extraction"

# What a response is searched for, with questions and targets: (question, response, target).
CASES = [
    ("", "\\boxed{12} … \\boxed{204}", "204"),
    ("", "<think>\\boxed{5}</think> the answer is 7", "7"),
    ("", "<think>\\boxed{5}</think> the answer is 7", "5"),
    ("", "\\boxed{204", "204"),
    ("", "no box, but 204", "204"),
    ("", "so 17 and then 204", "204"),
    ("", "so 17 and then -204.5", "-204.5"),
    ("", "1,234 of them", "1234"),
    ("", "\\boxed{20400}", "204"),
    ("", "\\boxed{2.04}", "204"),
    ("", "\\boxed{50}", "0.5"),
    ("", "\\boxed{204.00009}", "204"),
    ("", "\\boxed{204.0002}", "204"),
    ("", "\\boxed{033}", "33"),
    ("", "\\boxed{20.0}", "20"),
    ("", "\\boxed{10,080}", "10080"),
    ("", "\\boxed{204 \\text{ minutes}}", "204"),
    ("Enter your answers separated by commas.", "\\boxed{1,-2}", "1,-2"),
    ("Enter your answers separated by commas.", "\\boxed{(1,-2)}", "(1,-2)"),
    ("Enter your answers separated by commas.", "\\boxed{1,-2}", "-2"),
    ("", "\\boxed{-2,1}", "1,-2"),
    ("", "\\boxed{1 \\text{ and } -2}", "-2"),
    ("", "\\boxed{(2,3)}", "[2,3)"),
    ("", "\\boxed{2, 3}", "(2,3)"),
    ("", "\\boxed{\\frac{1}{4}3}", "\\frac{14}{3}"),
    ("", "\\boxed{\\{2,1\\}}", "\\{1,2\\}"),
    ("", "\\boxed{2,1}", "\\{1,2\\}"),
    ("", "\\boxed{1,2}", "\\{1,2\\}"),
    ("", "\\boxed{(2,1)}", "(1,2)"),
    ("", "\\boxed{[2,1]}", "[1,2]"),
    ("", "\\boxed{2,1}", "(1,2)"),
    ("", "\\boxed{(A)}", "A"),
    ("", "\\boxed{A. 10^-4 eV}", "A"),
    ("", "\\boxed{\\textbf{A}}", "A"),
    ("", "\\boxed{a}", "A"),
    ("", "\\boxed{A, B}", "A"),
    ("", "\\boxed{A, B}", "B"),
    ("", "\\boxed{B) 5}", "5"),
    ("", "\\boxed{70}%", "70"),
    ("", "\\boxed{70\\%}", "70"),
    ("", "\\boxed{70\\%}", "0.7"),
    ("", "\\boxed{\\sqrt{117}}", "3\\sqrt{13}"),
    ("", "\\boxed{4.6667}", "\\frac{14}{3}"),
    ("", "\\boxed{4.66}", "\\frac{14}{3}"),
    ("", "The final answer is $5$. I hope it is correct. \\boxed{6}", "5"),
    ("", "the answer is 7.", "7"),
    ("", "The answer is: 3/4.", "\\frac{3}{4}"),
    ("", "The answer is 7. The answer is 8 apples", "8"),
    ("", "```output\n42\n```", "42"),
    ("", "```output\n42\n``` then 43", "42"),
    ("", "\\boxed{twelve}", "12"),
    ("", "\\boxed{twenty one}", "21"),
    ("", "\\boxed{two hundred}", "200"),
    ("", "\\boxed{five point two}", "5.2"),
    ("", "\\boxed{3 million}", "3000000"),
    ("", "\\boxed{one thousand and five}", "1005"),
    ("", "\\boxed{x = 5}", "5"),
    ("", "\\boxed{5}", "x = 5"),
    ("", "\\boxed{n = 5}", "5"),
    ("", "\\boxed{abc = 5}", "5"),
    ("", "\\boxed{y = 2x + 3}", "y = 3 + 2x"),
    ("", "\\boxed{2x + 3 = y}", "y = 2x + 3"),
    ("", "\\boxed{5\\text{ cm}}", "5"),
    ("", "\\boxed{5 m}", "5"),
    ("", "\\boxed{5 apples}", "5"),
    ("", "\\boxed{\\$5}", "5"),
    ("", "\\boxed{March 5}", "5"),
    ("", "\\boxed{\\text{east}}", "\\text{west}"),
    ("", "\\boxed{\\text{Evelyn}}", "\\text{evelyn}"),
    ("", "\\boxed{\\begin{pmatrix} 1 \\\\ 2 \\end{pmatrix}}", "\\begin{pmatrix} 1 \\\\ 2 \\end{pmatrix}"),
    ("", "\\boxed{\\begin{bmatrix} 1 \\\\ 2 \\end{bmatrix}}", "\\begin{pmatrix} 1.0 \\\\ 2 \\end{pmatrix}"),
    ("", "\\boxed{\\begin{pmatrix} 100 \\\\ 2 \\end{pmatrix}}", "\\begin{pmatrix} 1 \\\\ 2 \\end{pmatrix}"),
    ("", "\\boxed{}", "5"),
    ("", "boxed", "5"),
    ("", "", "5"),
    ("", "\\boxed{j+1}", "i+1"),
    ("", "\\boxed{\\infty}", "infinity"),
    ("", "\\boxed{(-\\infty,\\infty)}", "\\mathbb{R}"),
    ("", "\\boxed{\\frac12}", "0.5"),
    ("", "\\boxed{\\sqrt3}", "\\sqrt{3}"),
    ("", "\\boxed{1/2}", "\\frac{1}{2}"),
    ("", "\\boxed{0.50}", "\\frac{1}{2}"),
    ("", "\\boxed{5.}", "5"),
    ("", "\\boxed{5/}", "5"),
    ("", "\\boxed{: 5}", "5"),
    ("", "\\boxed{5\n6}", "5"),
    ("", "\\boxed{\\dfrac{14}{3}}", "4\\frac{2}{3}"),
    ("", "\\boxed{90^\\circ}", "90"),
    ("", "\\boxed{90^{\\circ}}", "90"),
    ("", "\\boxed{\\emptyset}", "\\{\\}"),
]


def load():
    """The seed's modules, with a stub for one that grading does not use."""
    sys.modules["utils"] = types.ModuleType("utils")
    package = types.ModuleType("seed")
    package.__path__ = [str(SEED / "utils")]
    sys.modules["seed"] = package
    import seed.grader as grader

    spec = importlib.util.spec_from_file_location("answer_extraction", SEED / "sg_lang_utils/answer_extraction.py")
    extraction = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(extraction)
    return grader, extraction


def grade(case):
    """As eval_reasoning.py: the last of the extracted answers is graded."""
    question, response, target = case
    extracted = EXTRACTION.extract_math_answer(question, response, "limo")
    predicted = extracted[-1] if extracted else ""
    return [question, response, target, predicted, bool(GRADER.check_is_correct(predicted, target))]


GRADER, EXTRACTION = load()

if __name__ == "__main__":
    multiprocessing.set_start_method("fork")
    pairs = json.loads((HERE / "grading-pairs.json").read_text())["pairs"]
    cases = CASES + [("", f"\\boxed{{{answer}}}", target) for target, answer, _, _ in pairs[::3]]
    rows = [grade(case) for case in cases]
    columns = json.dumps(["question", "response", "target", "extracted", "isCorrect"])
    lines = ",\n".join("    " + json.dumps(row) for row in rows)
    (HERE / "reference-grades.json").write_text(f'{{\n  "columns": {columns},\n  "grades": [\n{lines}\n  ]\n}}\n')
    print(len(rows), "grades,", sum(row[4] for row in rows), "correct")
