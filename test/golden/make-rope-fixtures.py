"""Writes test/golden/rope.json: inverse frequencies, cosines and sines of transformers 5.24.

    pip install torch transformers==5.24 && python test/golden/make-rope-fixtures.py   (from the root)
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
# values that look wrong, which transformers uses unchanged
swapped=dict(rope_type="llama3",rope_theta=1e4,factor=8.0,low_freq_factor=4.0,high_freq_factor=1.0,original_max_position_embeddings=64)
case("llama3 factors swapped",32,512,swapped)
yarn=dict(rope_type="yarn",rope_theta=1e4,factor=4.0,original_max_position_embeddings=512)
case("yarn truncate null",32,2048,dict(yarn,truncate=None))
case("yarn truncate 0",32,2048,dict(yarn,truncate=0))
case("yarn truncate text",32,2048,dict(yarn,truncate="no"))
case("yarn betas swapped",32,2048,dict(yarn,beta_fast=1,beta_slow=32))
case("yarn betas null and 0",32,2048,dict(yarn,beta_fast=None,beta_slow=0))
case("yarn attention factor negative",32,2048,dict(yarn,attention_factor=-1.5))
case("yarn attention factor beside mscale",32,2048,dict(yarn,attention_factor=1.2,mscale="a",mscale_all_dim=2))
case("yarn one mscale",32,2048,dict(yarn,mscale="a"))
case("yarn factor below 1",32,2048,dict(yarn,factor=0.5))
case("default beside keys of other types",32,2048,dict(rope_type="default",rope_theta=1e4,factor=-8,beta_fast="x",partial_rotary_factor=0.5,other={"a":1}))
case("dynamic up to max_position_embeddings",32,131072,dict(rope_type="dynamic",rope_theta=1e4,factor=2.0))
json.dump(cases,open("test/golden/rope.json", "w"), separators=(",", ":"))
