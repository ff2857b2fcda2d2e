"""Writes test/golden/chat-templates.json: chat templates as transformers 5.17 renders them.

    pip install transformers==5.17 jinja2 && python test/golden/make-chat-fixtures.py   (from the root)
"""
import json
from transformers.utils.chat_template_utils import render_jinja_template
T = {
 "pico": open("models/pico-reasoner/chat_template.jinja").read(),
 "chatml-thinking": "{%- for message in messages %}\n    {%- if message.role == 'system' and loop.first %}\n        {{- '<|im_start|>system\\n' + message.content + '<|im_end|>\\n' }}\n    {%- elif message.role == 'assistant' %}\n        {%- set content = message.content %}\n        {%- if '</think>' in content %}\n            {%- set content = content.split('</think>')[-1].lstrip('\\n') %}\n        {%- endif %}\n        {{- '<|im_start|>assistant\\n' + content + '<|im_end|>\\n' }}\n    {%- else %}\n        {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}\n    {%- endif %}\n{%- endfor %}\n{%- if add_generation_prompt %}\n    {{- '<|im_start|>assistant\\n' }}\n    {%- if enable_thinking is defined and enable_thinking is false %}\n        {{- '<think>\\n\\n</think>\\n\\n' }}\n    {%- endif %}\n{%- endif %}\n",
 "llama-inst": "{% if messages[0]['role'] == 'system' %}{% set loop_messages = messages[1:] %}{% set system_message = '<<SYS>>\\n' + messages[0]['content'].strip() + '\\n<</SYS>>\\n\\n' %}{% else %}{% set loop_messages = messages %}{% set system_message = '' %}{% endif %}{{ bos_token }}{% for message in loop_messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}{% if loop.index0 == 0 %}{% set content = system_message + message['content'] %}{% else %}{% set content = message['content'] %}{% endif %}{% if message['role'] == 'user' %}{{ '[INST] ' + content | trim + ' [/INST]' }}{% elif message['role'] == 'assistant' %}{{ ' ' + content | trim + ' ' + eos_token }}{% endif %}{% endfor %}",
}
U=dict(role="user",content="What is 1+1?\n  {{ x }} <b>&amp;</b>"); A=dict(role="assistant",content="<think>\nhm\n</think>\n\nTwo."); S=dict(role="system",content=" Be brief. ")
M=[[U],[S,U],[U,A,U],[S,U,A,U],[U,A]]
out=[]
for n,t in T.items():
    for m in M:
        for gen in (True,False):
            for th in (None,True,False):
                kw=dict(bos_token="<s>",eos_token="</s>")
                if th is not None: kw["enable_thinking"]=th
                r,_=render_jinja_template(conversations=[m],chat_template=t,add_generation_prompt=gen,**kw)
                out.append(dict(template=n,messages=m,addGenerationPrompt=gen,enableThinking=th,text=r[0]))
json.dump(dict(templates=T,renders=out),open("test/golden/chat-templates.json","w"),indent=1)
