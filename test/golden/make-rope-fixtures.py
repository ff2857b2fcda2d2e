"""Makes test/golden/rope.json: inverse frequencies, cosines and sines of transformers 5.17.

    pip install torch transformers==5.17 && python test/golden/make-rope-fixtures.py   (from the root)
"""
import json

import torch
from transformers import LlamaConfig
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding
cases=[]
base=dict(vocab_size=32,hidden_size=64,intermediate_size=64,num_hidden_layers=1,num_attention_heads=2)
def case(name, head_dim, maxpos, rp):
    c=LlamaConfig(**base, head_dim=head_dim, max_position_embeddings=maxpos, rope_parameters=dict(rp))
    r=LlamaRotaryEmbedding(c)
    pos = [0, 1, 1000, 131071]
    x=torch.zeros(1,dtype=torch.float32)
    cos,sin=r(x,torch.tensor([pos]))
    h=head_dim//2
    cases.append(dict(name=name, config=dict(head_dim=head_dim,max_position_embeddings=maxpos,rope_parameters=rp), inverseFrequencies=r.inv_freq.tolist(), attentionFactor=float(r.attention_scaling), positions=pos, rows=[[*cos[0,i,:h].tolist(),*sin[0,i,:h].tolist()] for i in range(len(pos))]))
case("default 1e4",24,2048,dict(rope_type="default",rope_theta=1e4))
case("default 1e6",128,40960,dict(rope_type="default",rope_theta=1000000))
case("linear",16,4096,dict(rope_type="linear",rope_theta=1e4,factor=2.5))
case("llama3 8B",128,131072,dict(rope_type="llama3",rope_theta=5e5,factor=8.0,low_freq_factor=1.0,high_freq_factor=4.0,original_max_position_embeddings=8192))
case("llama3 1B",64,131072,dict(rope_type="llama3",rope_theta=5e5,factor=32.0,low_freq_factor=1.0,high_freq_factor=4.0,original_max_position_embeddings=8192))
case("yarn qwen3",128,131072,dict(rope_type="yarn",rope_theta=1e6,factor=4.0,original_max_position_embeddings=32768))
case("yarn mscale",64,163840,dict(rope_type="yarn",rope_theta=1e4,factor=40,mscale=0.707,mscale_all_dim=1.0,beta_fast=32,beta_slow=1,original_max_position_embeddings=4096))
case("yarn not truncated",64,131072,dict(rope_type="yarn",rope_theta=150000,factor=32.0,beta_fast=32.0,beta_slow=1.0,truncate=False,original_max_position_embeddings=4096))
case("yarn attention factor, tight range",16,4096,dict(rope_type="yarn",rope_theta=1e4,factor=2.0,attention_factor=1.25,beta_fast=2,beta_slow=1.9,original_max_position_embeddings=64))
case("yarn, no ramp", 16, 12, dict(rope_type="yarn", rope_theta=1e4, factor=2.0, original_max_position_embeddings=6))
case("yarn factor null",32,8192,dict(rope_type="yarn",rope_theta=1e4,factor=None,original_max_position_embeddings=1024))
json.dump(cases,open("test/golden/rope.json", "w"), separators=(",", ":"))
