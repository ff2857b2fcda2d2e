"""Trains the tokenizer and the model from scratch on generated problems and writes the checkpoint folder.

  python training/train.py --out out/pico-reasoner --minutes 18      # the bundled model: one H200, 14 processes make data
  python training/train.py --out out/small --small --minutes 0.33    # a small one, on a CPU, to see that it works

Progress goes to standard output; the last line is one JSON object. The workers' order depends on the machine, so a second
run trains a similar model, not the same one; with --workers 0 the seed fixes the data, and --steps the end.
"""

import argparse
import json
import time

import torch
import torch.nn.functional as F

from checkpoint import save_checkpoint
from data import Batches
from model import SMALL_SHAPE, LanguageModel, ModelShape, make_folder
from tokenizer import train_tokenizer

LENGTHS = [512, 1024, 2048, 4096, 8192]
#: (share of the training time at which it starts, shares of the lengths)
CURRICULUM = [
    (0.00, [0.60, 0.40, 0.00, 0.00, 0.00]),
    (0.10, [0.30, 0.40, 0.30, 0.00, 0.00]),
    (0.22, [0.15, 0.25, 0.35, 0.25, 0.00]),
    (0.40, [0.10, 0.15, 0.25, 0.30, 0.20]),
    (0.70, [0.08, 0.12, 0.20, 0.30, 0.30]),
]
SMALL_LENGTHS, SMALL_CURRICULUM = [256, 512], [(0.0, [0.7, 0.3])]
MATRIX_RATE, OTHER_RATE = 0.02, 2e-3
WARM_UP_STEPS, DECAY_FROM, LEAST_RATE = 100, 0.6, 0.02
SAVE_EVERY = 1000


def rate_factor(step, progress, warm_up_steps):
    warm_up = min(1.0, step / warm_up_steps)
    decay = 1.0 if progress < DECAY_FROM else max(LEAST_RATE, (1 - progress) / (1 - DECAY_FROM))
    return warm_up * decay


def make_optimizers(model, device):
    """Muon for the matrices, AdamW for embeddings and norms; each with its rate."""
    is_matrix = {name: p.ndim == 2 and "embed" not in name for name, p in model.named_parameters()}
    matrices = [p for name, p in model.named_parameters() if is_matrix[name]]
    others = [p for name, p in model.named_parameters() if not is_matrix[name]]
    is_fused = device == "cuda"
    return [
        (torch.optim.Muon(matrices, lr=MATRIX_RATE, momentum=0.95, weight_decay=0.01, adjust_lr_fn="original"), MATRIX_RATE),
        (torch.optim.AdamW(others, lr=OTHER_RATE, betas=(0.9, 0.95), weight_decay=0.0, fused=is_fused), OTHER_RATE),
    ]


def loss_of(model, rows, cos, sin, device):
    """Returns the cross entropy over reasoning and answer."""
    ids = torch.from_numpy(rows.ids.astype("int64")).to(device, non_blocking=True)
    prompts, ends = (torch.from_numpy(part).to(device)[:, None] for part in (rows.prompts, rows.ends))
    places = torch.arange(1, ids.shape[1], device=device)
    targets = ((places >= prompts) & (places < ends)).reshape(-1).nonzero().squeeze(1)
    with torch.autocast(device, dtype=torch.bfloat16, enabled=device == "cuda"):
        hidden = model(ids[:, :-1], cos, sin)
        logits = model.logits(hidden.reshape(-1, hidden.shape[-1])[targets])
    return F.cross_entropy(logits.float(), ids[:, 1:].reshape(-1)[targets])


class Run:
    """The state of a training: model, data, and the running mean of the loss by length."""

    def __init__(self, options):
        self.options, self.device = options, "cuda" if torch.cuda.is_available() else "cpu"
        lengths, self.curriculum = (SMALL_LENGTHS, SMALL_CURRICULUM) if options.small else (LENGTHS, CURRICULUM)
        make_folder(options.out)
        self.tokenizer, path = train_tokenizer(), f"{options.out}/tokenizer.json"
        self.tokenizer.save(path)  # the workers open it
        self.model = LanguageModel(SMALL_SHAPE if options.small else ModelShape()).to(self.device)
        self.batches = Batches(path, lengths, options.tokens, options.workers, options.seed)
        dtype = torch.bfloat16 if self.device == "cuda" else torch.float32
        self.cos, self.sin = self.model.rope(lengths[-1], self.device, dtype)
        self.optimizers = make_optimizers(self.model, self.device)
        self.step, self.first, self.losses, self.start = 0, {}, {}, time.time()

    def progress(self):
        """Share of the training that is done, by time or by steps."""
        elapsed = (time.time() - self.start) / (60 * self.options.minutes)
        return max(elapsed, self.step / self.options.steps)

    def train_step(self, progress):
        shares = [shares for start, shares in self.curriculum if start <= progress][-1]
        rows = self.batches.next(shares)
        factor = rate_factor(self.step, progress, 10 if self.options.small else WARM_UP_STEPS)
        for optimizer, rate in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = rate * factor
        loss = loss_of(self.model, rows, self.cos[: rows.length], self.sin[: rows.length], self.device)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        for optimizer, _ in self.optimizers:
            optimizer.step()
            optimizer.zero_grad()
        self.step += 1
        self.first.setdefault(rows.length, loss.detach())
        self.losses[rows.length] = self.losses.get(rows.length, loss.detach()) * 0.9 + loss.detach() * 0.1

    def describe(self):
        means = " ".join(f"{length}:{mean.item():.4f}" for length, mean in sorted(self.losses.items()))
        millions = self.step * self.options.tokens / 1e6
        return f"step {self.step}, {time.time() - self.start:.0f} s, {millions:.1f} M tokens, loss {means}"

    def report(self):
        numbers = lambda table: {length: round(value.item(), 5) for length, value in sorted(table.items())}
        return {
            "device": torch.cuda.get_device_name() if self.device == "cuda" else "cpu",
            "torch": torch.__version__,
            "parameters": sum(p.numel() for p in self.model.parameters()),
            "steps": self.step,
            "tokens": self.step * self.options.tokens,
            "seconds": round(time.time() - self.start, 1),
            "firstLoss": numbers(self.first),
            "lastLoss": numbers(self.losses),
        }


def read_options(arguments=None):
    parser = argparse.ArgumentParser(description="Trains the bundled model from scratch.")
    parser.add_argument("--out", default="out/pico-reasoner", help="checkpoint folder")
    parser.add_argument("--minutes", type=float, default=18.0)
    parser.add_argument("--steps", type=int, default=10**9, help="most steps")
    parser.add_argument("--tokens", type=int, help="per step (default 262144; small: 4096)")
    parser.add_argument("--workers", type=int, help="processes that make documents (default 14; small: 0, in place)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--small", action="store_true", help="two layers of 64, problems of up to 512 tokens")
    options = parser.parse_args(arguments)
    options.tokens = options.tokens or (1 << 12 if options.small else 1 << 18)
    options.workers = (0 if options.small else 14) if options.workers is None else options.workers
    return options


def main(arguments=None):
    options = read_options(arguments)
    torch.manual_seed(options.seed)
    torch.set_float32_matmul_precision("high")
    run = Run(options)
    if run.device == "cuda":
        for layer in run.model.layers:
            layer.forward = torch.compile(layer.forward, dynamic=False)
    try:
        while (progress := run.progress()) < 1:
            run.train_step(progress)
            if run.step % 50 == 0:
                print(run.describe(), flush=True)
            if run.step % SAVE_EVERY == 0:
                save_checkpoint(run.model, run.tokenizer, options.out)
    finally:
        run.batches.close()
    save_checkpoint(run.model, run.tokenizer, options.out)
    report = run.report()
    print(json.dumps(report), flush=True)
    return report


if __name__ == "__main__":
    main()
