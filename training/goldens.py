"""Writes the golden files that the engine's tests read, from the root of the checkout; each takes less than a minute.

  python training/goldens.py tasks    # test/golden/tasks.json: hashes of problems, for the generators in TypeScript
  python training/goldens.py model    # test/golden/pico-reasoner.json: greedy texts and logits of transformers in f32
  python training/goldens.py small    # test/golden/trained: a checkpoint of `train.py --small` and its logits in PyTorch
"""

import argparse
import hashlib
import json
import random

import torch

import train
from model import load_model
from sfc32 import Sfc32
from tasks import TASKS, chat

SEED, BUDGETS, MAX_NEW_TOKENS = 4242, (300, 700), 1200
TASK_SEEDS, TASK_BUDGETS, PROBLEMS_PER_HASH = (1, 2**40 + 7), (150, 1500, 9000), 20
SMALL_STEPS, SMALL_TOKENS = 120, 96


def write(path, value):
    with open(path, "w") as file:
        json.dump(value, file, indent=1)
        file.write("\n")


def task_hashes():
    """One hash for each task, seed and budget, of problems drawn one after the other from one generator."""
    rows = []
    for task, draw in TASKS.items():
        for seed in TASK_SEEDS:
            for budget in TASK_BUDGETS:
                rng, digest = Sfc32(seed), hashlib.sha256()
                for _ in range(PROBLEMS_PER_HASH):
                    digest.update("\0".join(draw(rng, budget)).encode())
                rows.append({"task": task, "seed": seed, "budget": budget, "sha256": digest.hexdigest()})
    return rows


def write_tasks():
    write("test/golden/tasks.json", {"problemsPerHash": PROBLEMS_PER_HASH, "rows": task_hashes()})


@torch.no_grad()
def golden_row(model, tokenizer, task, problem, reasoning, answer):
    prompt, _ = chat(problem, reasoning, answer)
    prompt_ids = tokenizer(prompt, add_special_tokens=False).input_ids
    ids = torch.tensor([prompt_ids], device=model.device)
    logits = model(ids).logits[0, -1].double().cpu()
    output = model.generate(
        ids, attention_mask=torch.ones_like(ids), max_new_tokens=MAX_NEW_TOKENS, do_sample=False
    )
    greedy_ids = output[0, len(prompt_ids) :].tolist()
    text = tokenizer.decode(greedy_ids)
    return {
        "task": task,
        "prompt": prompt,
        "prompt_ids": prompt_ids,
        "last_logits": [round(logit, 6) for logit in logits.tolist()],
        "greedy_ids": greedy_ids,
        "greedy_text": text,
        "expected": f"{reasoning}|{answer}",
        "answer": answer,
        "correct": f"\\boxed{{{answer}}}" in text,
    }


def write_model(folder):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    device = "cuda" if torch.cuda.is_available() else "cpu"
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager")
    model, rng = model.to(device).eval(), random.Random(SEED)
    rows = [
        golden_row(model, tokenizer, task, *draw(rng, budget)) for task, draw in TASKS.items() for budget in BUDGETS
    ]
    with open("test/golden/pico-reasoner.json", "w") as file:
        json.dump(rows, file)
    print(f"{sum(row['correct'] for row in rows)} of {len(rows)} right")


def write_small():
    folder = "test/golden/trained"
    report = train.main(["--small", "--out", folder, "--steps", str(SMALL_STEPS), "--minutes", "10"])
    model = load_model(folder, "cpu", torch.float32)
    ids = torch.tensor([[(7 * place) % 500 for place in range(SMALL_TOKENS)]])
    with torch.no_grad():
        logits = model.logits(model(ids, *model.rope(SMALL_TOKENS, "cpu", torch.float32)))[0]
    rows = {place: [round(logit, 5) for logit in logits[place].tolist()] for place in (0, 31, SMALL_TOKENS - 1)}
    write(f"{folder}/golden.json", {"training": report, "tokenIds": ids[0].tolist(), "logits": rows})


def main():
    parser = argparse.ArgumentParser(description="Writes golden files.")
    parser.add_argument("what", choices=["tasks", "model", "small"])
    parser.add_argument("--model", default="models/pico-reasoner", help="checkpoint folder")
    options = parser.parse_args()
    {"tasks": write_tasks, "model": lambda: write_model(options.model), "small": write_small}[options.what]()


if __name__ == "__main__":
    main()
