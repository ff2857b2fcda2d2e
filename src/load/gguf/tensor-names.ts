/** Names outside the layers. */
const OUTSIDE: Readonly<Record<string, string>> = {
  "token_embd.weight": "model.embed_tokens.weight",
  "output_norm.weight": "model.norm.weight",
  "output.weight": "lm_head.weight",
  "output.bias": "lm_head.bias",
};

/** Names within a layer, without `.weight` or `.bias`. */
const IN_LAYER: Readonly<Record<string, string>> = {
  attn_norm: "input_layernorm",
  attn_q: "self_attn.q_proj",
  attn_k: "self_attn.k_proj",
  attn_v: "self_attn.v_proj",
  attn_output: "self_attn.o_proj",
  attn_q_norm: "self_attn.q_norm",
  attn_k_norm: "self_attn.k_norm",
  ffn_norm: "post_attention_layernorm",
  ffn_gate: "mlp.gate_proj",
  ffn_up: "mlp.up_proj",
  ffn_down: "mlp.down_proj",
  ffn_gate_inp: "mlp.gate",
  ffn_gate_exps: "mlp.experts.gate_proj",
  ffn_up_exps: "mlp.experts.up_proj",
  ffn_down_exps: "mlp.experts.down_proj",
};

/**
 * Translates a tensor's name from llama.cpp's spelling to Hugging Face's. A name that it does not know keeps its last part,
 * within its layer or outside, where the check of the weights finds it.
 *
 * own: names of the architecture that differ from the common ones
 */
export function huggingFaceName(name: string, own: Readonly<Record<string, string>> = {}): string {
  const parts = /^blk\.(\d{1,6})\.(.+?)(\.weight|\.bias)?$/.exec(name);
  if (!parts) return Object.hasOwn(OUTSIDE, name) ? (OUTSIDE[name] ?? name) : name;
  const [, layer, rest = "", ending = ""] = parts;
  const translated = [own, IN_LAYER].find((names) => Object.hasOwn(names, rest))?.[rest];
  return `model.layers.${layer}.${translated ?? rest}${ending}`;
}
