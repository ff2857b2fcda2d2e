"""Writes the checkpoint's config.json and the golden file that the engine is tested against.

CK is the checkpoint folder, OUT the folder for pico-golden.json. Texts and logits are those of `transformers` (5.17)
in f32 with eager attention, on a GPU.
"""

import json
import os
import random

import torch
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

import train
from tasks import TASKS, chat

FOLDER, OUT = os.environ["CK"], os.environ["OUT"]
SEED, BUDGETS, MAX_NEW_TOKENS = 4242, (300, 700), 1200


def model_config(tokenizer):
    return {
        "architectures": ["Qwen3ForCausalLM"],
        "model_type": "qwen3",
        "vocab_size": train.VOCAB_SIZE,
        "hidden_size": train.HIDDEN_SIZE,
        "intermediate_size": train.INTERMEDIATE_SIZE,
        "num_hidden_layers": train.NUM_LAYERS,
        "num_attention_heads": train.NUM_QUERY_HEADS,
        "num_key_value_heads": train.NUM_KV_HEADS,
        "head_dim": train.HEAD_DIM,
        "hidden_act": "silu",
        "max_position_embeddings": train.CONTEXT_LENGTH,
        "rms_norm_eps": train.RMS_NORM_EPS,
        "rope_theta": train.ROPE_THETA,
        "tie_word_embeddings": True,
        "attention_bias": False,
        "attention_dropout": 0.0,
        "use_sliding_window": False,
        "use_cache": True,
        "initializer_range": 0.02,
        "torch_dtype": "bfloat16",
        "eos_token_id": tokenizer.convert_tokens_to_ids("<|im_end|>"),
        "pad_token_id": tokenizer.convert_tokens_to_ids("<|endoftext|>"),
        "bos_token_id": None,
    }


@torch.no_grad()
def golden_row(model, tokenizer, task, problem, reasoning, answer):
    prompt, _ = chat(problem, reasoning, answer)
    prompt_ids = tokenizer(prompt, add_special_tokens=False).input_ids
    ids = torch.tensor([prompt_ids]).cuda()
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


def main():
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_file=f"{FOLDER}/tokenizer.json",
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        additional_special_tokens=["<|im_start|>", "<think>", "</think>"],
    )
    with open(f"{FOLDER}/config.json", "w") as file:
        json.dump(model_config(tokenizer), file, indent=2)
    model = AutoModelForCausalLM.from_pretrained(FOLDER, dtype=torch.float32, attn_implementation="eager")
    model = model.cuda().eval()
    rng = random.Random(SEED)
    rows = [
        golden_row(model, tokenizer, task, *draw(rng, budget)) for task, draw in TASKS.items() for budget in BUDGETS
    ]
    with open(f"{OUT}/pico-golden.json", "w") as file:
        json.dump(rows, file)
    print(f"{sum(row['correct'] for row in rows)} of {len(rows)} right")


if __name__ == "__main__":
    main()
