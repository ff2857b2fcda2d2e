"""Writes small files of made-up problems in the formats of published data sets: test/golden/eval-data/.

Run:  python test/golden/make-eval-data.py
It needs pyarrow (26.0 wrote the files that are here). The columns are those that the published sets have; the rows are our own.
"""

import csv
import json
import pathlib

import pyarrow as pa
import pyarrow.parquet as pq

OUT = pathlib.Path(__file__).resolve().parent / "eval-data"

AIME = [
    {"ID": f"2024-X-{i + 1}", "Problem": f"Find the remainder of $7^{i + 2}$ on division by $100$.", "Solution": "by hand", "Answer": pow(7, i + 2, 100)}
    for i in range(6)
]
MATH = [
    {
        "problem": f"Write $\\frac{{{i}}}{{{i + 1}}}$ in lowest terms – with “care”.",
        "solution": "it is",
        "answer": f"\\frac{{{i}}}{{{i + 1}}}",
        "subject": "Prealgebra",
        "level": 1 + i % 5,
        "unique_id": f"test/prealgebra/{i}.json",
    }
    for i in range(1, 41)
]
GPQA = [
    {
        "Record ID": f"rec{i}",
        "Question": f"A box holds {i} stones, some \"round\", some not.\nHow many are there, twice over?",
        "Correct Answer": f"{2 * i} stones",
        "Incorrect Answer 1": f"{2 * i + 1} stones",
        "Incorrect Answer 2": f"{i} stones, or fewer",
        "Incorrect Answer 3": "none",
        "Subdomain": "Counting",
    }
    for i in range(1, 13)
]


def main() -> None:
    OUT.mkdir(exist_ok=True)
    with open(OUT / "gpqa_diamond.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=GPQA[0].keys())
        writer.writeheader()
        writer.writerows(GPQA)
    for compression in ["none", "snappy", "gzip", "zstd", "brotli", "lz4"]:
        pq.write_table(pa.Table.from_pylist(MATH), OUT / f"math-{compression}.parquet", compression=compression, row_group_size=16)
    # The columns of another writer: pages of version 2, no dictionaries, large strings, and columns that no reader asks for.
    aime = pa.Table.from_pylist(AIME)
    extra = {
        "when": pa.array([None, 1, 2, 3, 4, 5], pa.timestamp("us")),
        "tags": pa.array([["a"], [], None, ["b", "c"], ["d"], []], pa.list_(pa.string())),
        "bytes": pa.array([b"\xff\x00"] * 6, pa.binary()),
        "nested": pa.array([{"x": 1.5, "y": None}] * 6),
    }
    for name, values in extra.items():
        aime = aime.append_column(name, values)
    aime = aime.set_column(1, "Problem", aime["Problem"].cast(pa.large_string()))
    pq.write_table(aime, OUT / "aime-v2.parquet", version="2.6", data_page_version="2.0", use_dictionary=False, compression="snappy")
    json.dump({"aime": AIME, "math": MATH, "gpqa": GPQA}, open(OUT / "rows.json", "w"), ensure_ascii=False, indent=1)


main()
