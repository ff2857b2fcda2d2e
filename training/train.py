"""Trains the tokenizer and the model from scratch on generated problems.

Settings come from the environment: CK, the checkpoint folder (default "ck"); MINUTES of training (18);
TOK, tokens a step (2**18). Needs torch with Muon (2.9 or later), tokenizers, safetensors, numpy and one GPU.
"""

import multiprocessing
import os
import random
import time

import numpy
import torch
import torch.nn.functional as F
from torch import nn

from tasks import BUDGET_PER_TOKEN, TASKS, chat

FOLDER = os.environ.get("CK", "ck")
MINUTES = float(os.environ.get("MINUTES", "18"))
TOKENS_PER_STEP = int(os.environ.get("TOK", 1 << 18))
TOKENS_PER_SHARD = min(TOKENS_PER_STEP, 1 << 15)  # tokens of one queue entry of a worker
NUM_WORKERS = 14

VOCAB_SIZE, HIDDEN_SIZE, INTERMEDIATE_SIZE = 512, 256, 640
NUM_LAYERS, NUM_QUERY_HEADS, NUM_KV_HEADS, HEAD_DIM = 10, 8, 2, 64
ROPE_THETA, RMS_NORM_EPS, CONTEXT_LENGTH = 100000.0, 1e-6, 8192

LENGTHS = [512, 1024, 2048, 4096, 8192]
LONGEST_GRAPH = 4096
#: (share of the training time at which it starts, shares of the lengths)
CURRICULUM = [
    (0.00, [0.60, 0.40, 0.00, 0.00, 0.00]),
    (0.10, [0.30, 0.40, 0.30, 0.00, 0.00]),
    (0.22, [0.15, 0.25, 0.35, 0.25, 0.00]),
    (0.40, [0.10, 0.15, 0.25, 0.30, 0.20]),
    (0.70, [0.08, 0.12, 0.20, 0.30, 0.30]),
]
MATRIX_RATE, OTHER_RATE = 0.02, 2e-3
WARM_UP_STEPS, DECAY_FROM, LEAST_RATE = 100, 0.6, 0.02

SPECIAL_TOKENS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<think>", "</think>"]
#: Qwen's pattern: words, single digits, signs, white space.
SPLIT_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}|"
    r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
PROSE = (
    "Please reason step by step, and put your final answer within \\boxed{}. You are a helpful assistant that thinks "
    "before it answers. What is the value of the variable after the program has run? system user assistant hello thanks"
)


# Data


def open_tokenizer():
    """Opens the tokenizer of the checkpoint; trains one on 3000 problems if it does not exist."""
    from tokenizers import Tokenizer

    path = f"{FOLDER}/tokenizer.json"
    if not os.path.exists(path):
        train_tokenizer().save(path)
    return Tokenizer.from_file(path)


def train_tokenizer():
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    split = pre_tokenizers.Split(Regex(SPLIT_PATTERN), behavior="isolated")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split, byte_level])
    tokenizer.decoder = decoders.ByteLevel()
    rng = random.Random(7)
    documents = []
    for _ in range(3000):
        task = rng.choice(list(TASKS))
        text = "".join(chat(*TASKS[task](rng, rng.choice([512, 1024, 2048]))))
        for special in SPECIAL_TOKENS:
            text = text.replace(special, "")
        documents.append(text)
    trainer = trainers.BpeTrainer(
        vocab_size=VOCAB_SIZE - len(SPECIAL_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=[],
    )
    tokenizer.train_from_iterator(documents + [PROSE] * 400, trainer)
    tokenizer.add_special_tokens([AddedToken(text, special=True, normalized=False) for text in SPECIAL_TOKENS])
    return tokenizer


def encode(tokenizer, text):
    return tokenizer.encode(text, add_special_tokens=False).ids


def draw_document(rng, length):
    names = [name for name in TASKS if name != "graph" or length <= LONGEST_GRAPH]
    task = rng.choice(names)
    return chat(*TASKS[task](rng, int(length * BUDGET_PER_TOKEN[task] * rng.uniform(0.55, 1.0))))


def work(seed, queue, length_shares):
    """Puts (length, token ids, loss mask) on the queue for ever. The mask covers reasoning and answer."""
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    torch.set_num_threads(1)
    tokenizer, rng = open_tokenizer(), random.Random(seed)
    while True:
        length = rng.choices(LENGTHS, list(length_shares))[0]
        rows = TOKENS_PER_SHARD // length
        ids = numpy.zeros((rows, length + 1), numpy.int16)
        mask = numpy.zeros((rows, length + 1), numpy.bool_)
        row = 0
        while row < rows:
            prompt, completion = (encode(tokenizer, text) for text in draw_document(rng, length))
            end = len(prompt) + len(completion)
            if end > length + 1:
                continue
            ids[row, :end] = prompt + completion
            mask[row, len(prompt) : end] = True
            row += 1
        queue.put((length, ids, mask))


# Model: Qwen3


class RmsNorm(nn.Module):
    def __init__(self, size):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))

    def forward(self, x):
        h = x.float()
        h = h * torch.rsqrt(h.pow(2).mean(-1, keepdim=True) + RMS_NORM_EPS)
        return h.to(x.dtype) * self.weight.to(x.dtype)


def rope_tables(length, device):
    """Returns cos and sin [length, headDim]."""
    powers = torch.arange(0, HEAD_DIM, 2, device=device).float() / HEAD_DIM
    angles = torch.outer(torch.arange(length, device=device).float(), 1.0 / ROPE_THETA**powers)
    angles = torch.cat([angles, angles], -1)
    return angles.cos(), angles.sin()


def rotate(x, cos, sin):
    first, second = x.chunk(2, -1)
    return (x * cos + torch.cat([-second, first], -1) * sin).to(x.dtype)


class Layer(nn.Module):
    def __init__(self):
        super().__init__()
        self.q_proj = nn.Linear(HIDDEN_SIZE, NUM_QUERY_HEADS * HEAD_DIM, bias=False)
        self.k_proj = nn.Linear(HIDDEN_SIZE, NUM_KV_HEADS * HEAD_DIM, bias=False)
        self.v_proj = nn.Linear(HIDDEN_SIZE, NUM_KV_HEADS * HEAD_DIM, bias=False)
        self.o_proj = nn.Linear(NUM_QUERY_HEADS * HEAD_DIM, HIDDEN_SIZE, bias=False)
        self.q_norm, self.k_norm = RmsNorm(HEAD_DIM), RmsNorm(HEAD_DIM)
        self.in_norm, self.post_norm = RmsNorm(HIDDEN_SIZE), RmsNorm(HIDDEN_SIZE)
        self.gate_proj = nn.Linear(HIDDEN_SIZE, INTERMEDIATE_SIZE, bias=False)
        self.up_proj = nn.Linear(HIDDEN_SIZE, INTERMEDIATE_SIZE, bias=False)
        self.down_proj = nn.Linear(INTERMEDIATE_SIZE, HIDDEN_SIZE, bias=False)

    def attention_input(self, x, cos, sin):
        """Returns q, k, v as [batch, heads, tokens, headDim]."""
        batch, tokens, _ = x.shape
        h = self.in_norm(x)
        q, k, v = (proj(h).view(batch, tokens, -1, HEAD_DIM) for proj in (self.q_proj, self.k_proj, self.v_proj))
        q, k = self.q_norm(q).transpose(1, 2), self.k_norm(k).transpose(1, 2)
        return rotate(q, cos, sin), rotate(k, cos, sin), v.transpose(1, 2)

    def after_attention(self, x, attended):
        x = x + self.o_proj(attended)
        h = self.post_norm(x)
        return x + self.down_proj(F.silu(self.gate_proj(h)) * self.up_proj(h))

    def forward(self, x, cos, sin):
        batch, tokens, _ = x.shape
        q, k, v = self.attention_input(x, cos, sin)
        attended = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
        return self.after_attention(x, attended.transpose(1, 2).reshape(batch, tokens, -1))


class LanguageModel(nn.Module):
    """Returns the last hidden states. Embeddings are tied: callers use the embedding matrix as output projection."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(VOCAB_SIZE, HIDDEN_SIZE)
        self.layers = nn.ModuleList(Layer() for _ in range(NUM_LAYERS))
        self.norm = RmsNorm(HIDDEN_SIZE)
        for name, weight in self.named_parameters():
            if "embed" in name:
                nn.init.normal_(weight, std=0.02)
            elif weight.ndim == 2:
                is_output = "o_proj" in name or "down" in name
                nn.init.normal_(weight, std=weight.shape[1] ** -0.5 * (0.5 if is_output else 1.0))

    def forward(self, ids, cos, sin):
        x = self.embed(ids).to(torch.bfloat16)
        for layer in self.layers:
            x = layer(x, cos, sin)
        return self.norm(x)


def checkpoint_tensors(model):
    """Maps Hugging Face's names to the model's parameters."""
    norms = {"in_norm": "input_layernorm", "post_norm": "post_attention_layernorm"}
    tensors = {"model.embed_tokens.weight": model.embed.weight, "model.norm.weight": model.norm.weight}
    for i, layer in enumerate(model.layers):
        for name, weight in layer.named_parameters():
            part = name.split(".")[0]
            group = "mlp" if part in ("gate_proj", "up_proj", "down_proj") else "self_attn"
            tensors[f"model.layers.{i}.{norms.get(part, f'{group}.{part}')}.weight"] = weight
    return tensors


def save(model):
    from safetensors.torch import save_file

    tensors = {name: w.detach().to(torch.bfloat16).contiguous().cpu() for name, w in checkpoint_tensors(model).items()}
    save_file(tensors, f"{FOLDER}/model.safetensors", metadata={"format": "pt"})


# Training


class Batches:
    """Batches of one length each, collected from the shards of the workers."""

    def __init__(self):
        context = multiprocessing.get_context("spawn")
        self.length_shares = context.Array("d", CURRICULUM[0][1])
        self.queue = context.Queue(64)
        first_seed = 1000 + int(time.time()) % 1000 * 100
        self.workers = [
            context.Process(target=work, args=(first_seed + i, self.queue, self.length_shares), daemon=True)
            for i in range(NUM_WORKERS)
        ]
        self.shards = {length: [] for length in LENGTHS}
        for worker in self.workers:
            worker.start()

    def next(self, progress):
        self.length_shares[:] = [shares for start, shares in CURRICULUM if start <= progress][-1]
        while True:
            length, ids, mask = self.queue.get()
            self.shards[length].append((ids, mask))
            if len(self.shards[length]) == TOKENS_PER_STEP // TOKENS_PER_SHARD:
                break
        ids, mask = (numpy.concatenate(parts) for parts in zip(*self.shards[length]))
        self.shards[length] = []
        return length, torch.from_numpy(ids.astype(numpy.int64)), torch.from_numpy(mask)

    def close(self):
        for worker in self.workers:
            worker.kill()


def rate_factor(step, progress):
    warm_up = min(1.0, step / WARM_UP_STEPS)
    decay = 1.0 if progress < DECAY_FROM else max(LEAST_RATE, (1 - progress) / (1 - DECAY_FROM))
    return warm_up * decay


def make_optimizers(model):
    is_matrix = {name: p.ndim == 2 and "embed" not in name for name, p in model.named_parameters()}
    matrices = [p for name, p in model.named_parameters() if is_matrix[name]]
    others = [p for name, p in model.named_parameters() if not is_matrix[name]]
    return [
        torch.optim.Muon(matrices, lr=MATRIX_RATE, momentum=0.95, weight_decay=0.01, adjust_lr_fn="original"),
        torch.optim.AdamW(others, lr=OTHER_RATE, betas=(0.9, 0.95), weight_decay=0.0, fused=True),
    ]


def loss_of(model, ids, mask, cos, sin):
    """Returns the cross entropy over reasoning and answer."""
    with torch.autocast("cuda", dtype=torch.bfloat16):
        hidden = model(ids[:, :-1], cos, sin)
    target_rows = mask[:, 1:].reshape(-1).nonzero().squeeze(1)
    logits = hidden.reshape(-1, HIDDEN_SIZE)[target_rows] @ model.embed.weight.to(torch.bfloat16).T
    return F.cross_entropy(logits.float(), ids[:, 1:].reshape(-1)[target_rows])


def main():
    device = "cuda"
    torch.manual_seed(0)
    torch.set_float32_matmul_precision("high")
    os.makedirs(FOLDER, exist_ok=True)
    open_tokenizer()  # creates the file before the workers open it
    batches = Batches()
    model = LanguageModel().to(device)
    print(f"{sum(p.numel() for p in model.parameters()) / 1e6:.2f} M parameters", flush=True)
    for layer in model.layers:
        layer.forward = torch.compile(layer.forward, dynamic=False)
    cos, sin = (table.bfloat16() for table in rope_tables(CONTEXT_LENGTH + 1, device))
    optimizers = make_optimizers(model)
    start, step, losses = time.time(), 0, {}
    while (progress := (time.time() - start) / (60 * MINUTES)) < 1:
        length, ids, mask = batches.next(progress)
        factor = rate_factor(step, progress)
        for optimizer, rate in zip(optimizers, (MATRIX_RATE, OTHER_RATE)):
            for group in optimizer.param_groups:
                group["lr"] = rate * factor
        loss = loss_of(model, ids.to(device, non_blocking=True), mask.to(device), cos[:length], sin[:length])
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()
        step += 1
        losses[length] = losses.get(length, loss.detach()) * 0.9 + loss.detach() * 0.1
        if step % 50 == 0:
            means = " ".join(f"{length}:{mean.item():.4f}" for length, mean in sorted(losses.items()))
            millions = step * TOKENS_PER_STEP / 1e6
            print(f"step {step}, {time.time() - start:.0f} s, {millions:.0f} M tokens, loss {means}", flush=True)
        if step % 1000 == 0:
            save(model)
    save(model)
    batches.close()
    os._exit(0)  # the queue's feeder threads would wait for the killed workers


if __name__ == "__main__":
    main()
