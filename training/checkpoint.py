"""A checkpoint folder in Hugging Face's format, which transformers and the engine open."""

import json

from model import config_of, make_folder, save_weights

CHAT_TEMPLATE = """\
{%- for message in messages -%}
{%- set content = message.content -%}
{%- if message.role == 'assistant' and '</think>' in content and not (loop.last and not add_generation_prompt) -%}
{%- set content = content.split('</think>')[-1].lstrip('\\n') -%}
{%- endif -%}
{{- '<|im_start|>' + message.role + '\\n' + content + '<|im_end|>\\n' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}
{{- '<|im_start|>assistant\\n<think>\\n' -}}
{%- endif -%}
"""
#: Where the engine's policy needs settings, a checkpoint names them here.
SPARSE_ATTENTION = "less-is-more:budget=256,layers=2+7"


def save_checkpoint(model, tokenizer, folder):
    """Writes every file of the folder; the weights in bf16."""
    make_folder(folder)
    config = config_of(model.shape, tokenizer)
    save_weights(model, folder)
    tokenizer.save(f"{folder}/tokenizer.json")
    write_json(f"{folder}/config.json", config)
    write_json(
        f"{folder}/tokenizer_config.json",
        {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "bos_token": None,
            "eos_token": "<|im_end|>",
            "pad_token": "<|endoftext|>",
            "clean_up_tokenization_spaces": False,
            "model_max_length": model.shape.context_length,
        },
    )
    generation = {"do_sample": False, "eos_token_id": config["eos_token_id"], "pad_token_id": config["pad_token_id"]}
    if model.shape.num_layers > 7:
        generation["sparse_attention"] = SPARSE_ATTENTION
    write_json(f"{folder}/generation_config.json", generation)
    with open(f"{folder}/chat_template.jinja", "w") as file:
        file.write(CHAT_TEMPLATE)


def write_json(path, value):
    with open(path, "w") as file:
        json.dump(value, file, indent=2)
        file.write("\n")
