"""Writes test/golden/jinja.json: renders by transformers, of templates with the features that instruct models use.

    pip install transformers==5.24 jinja2 && python test/golden/make-jinja-fixtures.py   (from the root)

Every case has a template, the arguments of `apply_chat_template`, and Python's text or error.
"""
import datetime
import itertools
import json
import sys

import transformers.utils.chat_template_utils as utils
from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast

NOW = datetime.datetime(2026, 5, 7, 4, 5, 9, 81000)


class FixedTime(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return NOW


utils.datetime = FixedTime
TOKENIZER = PreTrainedTokenizerFast(
    tokenizer_object=Tokenizer(models.WordLevel({"<s>": 0, "</s>": 1}, unk_token="<s>")), bos_token="<s>", eos_token="</s>"
)

USER = {"role": "user", "content": "What is 1+1?\n  {{ x }} <b>&amp;</b> 😀"}
ASSISTANT = {"role": "assistant", "content": "<think>\nhm\n</think>\n\n    return x\n"}
SYSTEM = {"role": "system", "content": " Be brief. "}
CALL = {
    "role": "assistant",
    "content": None,
    "tool_calls": [
        {"id": "c1", "type": "function", "function": {"name": "get_weather", "arguments": {"city": "Zürich \"x\"", "days": 3, "exact": True, "at": 1.5, "none": None}}},
        {"id": "c2", "type": "function", "function": {"name": "add", "arguments": "{\"a\": 1}"}},
    ],
}
RESULT = {"role": "tool", "name": "get_weather", "tool_call_id": "c1", "content": "{\"t\": 21.5}"}
PARTS = {"role": "user", "content": [{"type": "text", "text": "Look: "}, {"type": "image"}, {"type": "text", "text": "what?"}]}
REASONED = {"role": "assistant", "content": "Two.", "reasoning_content": "\n1+1\n"}
TOOLS = [
    {"type": "function", "function": {"name": "get_weather", "description": "Weather in Zürich's <city>", "parameters": {"type": "object", "properties": {"city": {"type": "string", "description": "The city"}, "days": {"type": "integer", "enum": [1, 2, 3]}, "units": {"type": ["string", "null"]}}, "required": ["city"]}}},
    {"type": "function", "function": {"name": "add", "description": "Adds", "parameters": {"type": "object", "properties": {"a": {"type": "number", "default": 1.5}}}}},
]
CHATS = [[USER], [SYSTEM, USER], [USER, ASSISTANT, USER], [SYSTEM, USER, CALL, RESULT, REASONED, USER], [PARTS], [USER, CALL, RESULT]]

# --- whole templates, shaped like those in use --------------------------------------------------------------------
MODELS = {
    "chatml-default-system": "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system\nYou are helpful.<|im_end|>\n' }}{% endif %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}",
    "llama3-tools": """{{- bos_token }}
{%- if custom_tools is defined %}
    {%- set tools = custom_tools %}
{%- endif %}
{%- if not tools_in_user_message is defined %}
    {%- set tools_in_user_message = true %}
{%- endif %}
{%- if not date_string is defined %}
    {%- if strftime_now is defined %}
        {%- set date_string = strftime_now("%d %b %Y") %}
    {%- else %}
        {%- set date_string = "26 Jul 2024" %}
    {%- endif %}
{%- endif %}
{%- if not tools is defined %}
    {%- set tools = none %}
{%- endif %}

{#- This block extracts the system message, so we can slot it into the right place. #}
{%- if messages[0]['role'] == 'system' %}
    {%- set system_message = messages[0]['content']|trim %}
    {%- set messages = messages[1:] %}
{%- else %}
    {%- set system_message = "" %}
{%- endif %}

{#- System message #}
{{- "<|start_header_id|>system<|end_header_id|>\\n\\n" }}
{%- if tools is not none %}
    {{- "Environment: ipython\\n" }}
{%- endif %}
{{- "Cutting Knowledge Date: December 2023\\n" }}
{{- "Today Date: " + date_string + "\\n\\n" }}
{%- if tools is not none and not tools_in_user_message %}
    {%- for t in tools %}
        {{- t | tojson(indent=4) }}
        {{- "\\n\\n" }}
    {%- endfor %}
{%- endif %}
{{- system_message }}
{{- "<|eot_id|>" }}
{%- if tools_in_user_message and not tools is none %}
    {%- if messages | length != 0 %}
        {%- set first_user_message = messages[0]['content'] %}
        {%- set messages = messages[1:] %}
    {%- else %}
        {{- raise_exception("Cannot put tools in the first user message when there's no first user message!") }}
    {%- endif %}
    {{- '<|start_header_id|>user<|end_header_id|>\\n\\n' -}}
    {%- for t in tools %}
        {{- t | tojson(indent=4) }}
        {{- "\\n\\n" }}
    {%- endfor %}
    {{- first_user_message }}
{%- endif %}
{%- for message in messages %}
    {%- if not (message.role == 'ipython' or message.role == 'tool' or 'tool_calls' in message) %}
        {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n'+ message['content'] | trim + '<|eot_id|>' }}
    {%- elif 'tool_calls' in message %}
        {%- if not message.tool_calls|length == 1 %}
            {{- raise_exception("This model only supports single tool-calls at once!") }}
        {%- endif %}
        {%- set tool_call = message.tool_calls[0].function %}
        {{- '{"name": "' + tool_call.name + '", "parameters": ' }}
        {{- tool_call.arguments | tojson }}
        {{- "}" }}
    {%- elif message.role == "tool" or message.role == "ipython" %}
        {%- if message.content is mapping or message.content is iterable %}
            {{- message.content | tojson }}
        {%- else %}
            {{- message.content }}
        {%- endif %}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}
{%- endif %}
""",
    "qwen3-thinking": """{%- if tools %}
    {{- '<|im_start|>system\\n' }}
    {%- if messages[0].role == 'system' %}
        {{- messages[0].content + '\\n\\n' }}
    {%- endif %}
    {{- "# Tools\\n\\n<tools>" }}
    {%- for tool in tools %}
        {{- "\\n" }}
        {{- tool | tojson }}
    {%- endfor %}
    {{- "\\n</tools><|im_end|>\\n" }}
{%- else %}
    {%- if messages[0].role == 'system' %}
        {{- '<|im_start|>system\\n' + messages[0].content + '<|im_end|>\\n' }}
    {%- endif %}
{%- endif %}
{%- set ns = namespace(multi_step_tool=true, last_query_index=messages|length - 1) %}
{%- for message in messages[::-1] %}
    {%- set index = (messages|length - 1) - loop.index0 %}
    {%- if ns.multi_step_tool and message.role == "user" and message.content is string and not(message.content.startswith('<tool_response>') and message.content.endswith('</tool_response>')) %}
        {%- set ns.multi_step_tool = false %}
        {%- set ns.last_query_index = index %}
    {%- endif %}
{%- endfor %}
{%- for message in messages %}
    {%- if message.content is string %}
        {%- set content = message.content %}
    {%- else %}
        {%- set content = '' %}
    {%- endif %}
    {%- if (message.role == "user") or (message.role == "system" and not loop.first) %}
        {{- '<|im_start|>' + message.role + '\\n' + content + '<|im_end|>' + '\\n' }}
    {%- elif message.role == "assistant" %}
        {%- set reasoning_content = '' %}
        {%- if message.reasoning_content is string %}
            {%- set reasoning_content = message.reasoning_content %}
        {%- else %}
            {%- if '</think>' in content %}
                {%- set reasoning_content = content.split('</think>')[0].rstrip('\\n').split('<think>')[-1].lstrip('\\n') %}
                {%- set content = content.split('</think>')[-1].lstrip('\\n') %}
            {%- endif %}
        {%- endif %}
        {%- if loop.index0 > ns.last_query_index %}
            {%- if loop.last or (not loop.last and reasoning_content) %}
                {{- '<|im_start|>' + message.role + '\\n<think>\\n' + reasoning_content.strip('\\n') + '\\n</think>\\n\\n' + content.lstrip('\\n') }}
            {%- else %}
                {{- '<|im_start|>' + message.role + '\\n' + content }}
            {%- endif %}
        {%- else %}
            {{- '<|im_start|>' + message.role + '\\n' + content }}
        {%- endif %}
        {%- if message.tool_calls %}
            {%- for tool_call in message.tool_calls %}
                {%- if (loop.first and content) or (not loop.first) %}
                    {{- '\\n' }}
                {%- endif %}
                {%- if tool_call.function %}
                    {%- set tool_call = tool_call.function %}
                {%- endif %}
                {{- '<tool_call>\\n{"name": "' }}
                {{- tool_call.name }}
                {{- '", "arguments": ' }}
                {%- if tool_call.arguments is string %}
                    {{- tool_call.arguments }}
                {%- else %}
                    {{- tool_call.arguments | tojson }}
                {%- endif %}
                {{- '}\\n</tool_call>' }}
            {%- endfor %}
        {%- endif %}
        {{- '<|im_end|>\\n' }}
    {%- elif message.role == "tool" %}
        {%- if loop.first or (messages[loop.index0 - 1].role != "tool") %}
            {{- '<|im_start|>user' }}
        {%- endif %}
        {{- '\\n<tool_response>\\n' }}
        {{- content }}
        {{- '\\n</tool_response>' }}
        {%- if loop.last or (messages[loop.index0 + 1].role != "tool") %}
            {{- '<|im_end|>\\n' }}
        {%- endif %}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
    {%- if enable_thinking is defined and enable_thinking is false %}
        {{- '<think>\\n\\n</think>\\n\\n' }}
    {%- endif %}
{%- endif %}""",
    "deepseek-r1": "{% if not add_generation_prompt is defined %}{% set add_generation_prompt = false %}{% endif %}{% set ns = namespace(is_first=false, is_tool=false, is_output_first=true, system_prompt='') %}{%- for message in messages %}{%- if message['role'] == 'system' %}{% set ns.system_prompt = message['content'] %}{%- endif %}{%- endfor %}{{bos_token}}{{ns.system_prompt}}{%- for message in messages %}{%- if message['role'] == 'user' %}{%- set ns.is_tool = false -%}{{'<｜User｜>' + message['content']}}{%- endif %}{%- if message['role'] == 'assistant' and message['content'] is none %}{%- set ns.is_tool = false -%}{%- for tool in message['tool_calls']%}{%- if not ns.is_first %}{{'<｜Assistant｜><｜tool▁calls▁begin｜>' + tool['type'] + '\\n' + '```json' + '\\n' + tool['function']['arguments'] + '\\n' + '```'}}{%- set ns.is_first = true -%}{%- else %}{{'\\n' + tool['type']}}{%- endif %}{%- endfor %}{%- endif %}{%- if message['role'] == 'assistant' and message['content'] is not none %}{% set content = message['content'] %}{% if '</think>' in content %}{% set content = content.split('</think>')[-1] %}{% endif %}{{'<｜Assistant｜>' + content + '<｜end▁of▁sentence｜>'}}{%- endif %}{%- endfor -%}{% if add_generation_prompt and not ns.is_tool %}{{'<｜Assistant｜><think>\\n'}}{% endif %}",
    "mistral-tools": """{%- if messages[0]["role"] == "system" %}
    {%- set system_message = messages[0]["content"] %}
    {%- set loop_messages = messages[1:] %}
{%- else %}
    {%- set loop_messages = messages %}
{%- endif %}
{%- if not tools is defined %}
    {%- set tools = none %}
{%- endif %}
{%- set user_messages = loop_messages | selectattr("role", "equalto", "user") | list %}
{%- set ns = namespace() %}
{%- set ns.index = 0 %}
{%- for message in loop_messages %}
    {%- if not (message.role == "tool" or message.role == "tool_results" or (message.tool_calls is defined and message.tool_calls is not none)) %}
        {%- if (message["role"] == "user") != (ns.index % 2 == 0) %}
            {{- raise_exception("After the optional system message, conversation roles must alternate user/assistant/user/assistant/...") }}
        {%- endif %}
        {%- set ns.index = ns.index + 1 %}
    {%- endif %}
{%- endfor %}
{{- bos_token }}
{%- for message in loop_messages %}
    {%- if message["role"] == "user" %}
        {%- if tools is not none and (message == user_messages[-1]) %}
            {{- "[AVAILABLE_TOOLS] [" }}
            {%- for tool in tools %}
                {%- set tool = tool.function %}
                {{- '{"type": "function", "function": {' }}
                {%- for key, val in tool.items() if key != "return" %}
                    {%- if val is string %}
                        {{- '"' + key + '": "' + val + '"' }}
                    {%- else %}
                        {{- '"' + key + '": ' + val|tojson }}
                    {%- endif %}
                    {%- if not loop.last %}
                        {{- ", " }}
                    {%- endif %}
                {%- endfor %}
                {{- "}}" }}
                {%- if not loop.last %}
                    {{- ", " }}
                {%- else %}
                    {{- "]" }}
                {%- endif %}
            {%- endfor %}
            {{- "[/AVAILABLE_TOOLS]" }}
            {%- endif %}
        {%- if loop.last and system_message is defined %}
            {{- "[INST] " + system_message + "\\n\\n" + message["content"] + "[/INST]" }}
        {%- else %}
            {{- "[INST] " + message["content"] + "[/INST]" }}
        {%- endif %}
    {%- elif message.tool_calls is defined and message.tool_calls is not none %}
        {{- "[TOOL_CALLS] [" }}
        {%- for tool_call in message.tool_calls %}
            {%- set out = tool_call.function|tojson %}
            {{- out[:-1] }}
            {%- if not tool_call.id is defined or tool_call.id|length != 2 %}
                {{- raise_exception("Tool call IDs should be alphanumeric strings with length 2!") }}
            {%- endif %}
            {{- ', "id": "' + tool_call.id + '"}' }}
            {%- if not loop.last %}
                {{- ", " }}
            {%- else %}
                {{- "]" + eos_token }}
            {%- endif %}
        {%- endfor %}
    {%- elif message["role"] == "assistant" %}
        {{- " " + message["content"]|trim + eos_token}}
    {%- elif message["role"] == "tool_results" or message["role"] == "tool" %}
        {%- if message.content is defined and message.content.content is defined %}
            {%- set content = message.content.content %}
        {%- else %}
            {%- set content = message.content %}
        {%- endif %}
        {{- '[TOOL_RESULTS] {"content": ' + content|string + ", " }}
        {{- '"call_id": "' + message.tool_call_id + '"}[/TOOL_RESULTS]' }}
    {%- else %}
        {{- raise_exception("Only user and assistant roles are supported!") }}
    {%- endif %}
{%- endfor %}
""",
    "gemma3": """{{ bos_token }}
{%- if messages[0]['role'] == 'system' -%}
    {%- if messages[0]['content'] is string -%}
        {%- set first_user_prefix = messages[0]['content'] + '

' -%}
    {%- else -%}
        {%- set first_user_prefix = messages[0]['content'][0]['text'] + '

' -%}
    {%- endif -%}
    {%- set loop_messages = messages[1:] -%}
{%- else -%}
    {%- set first_user_prefix = "" -%}
    {%- set loop_messages = messages -%}
{%- endif -%}
{%- for message in loop_messages -%}
    {%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) -%}
        {{ raise_exception("Conversation roles must alternate user/assistant/user/assistant/...") }}
    {%- endif -%}
    {%- if (message['role'] == 'assistant') -%}
        {%- set role = "model" -%}
    {%- else -%}
        {%- set role = message['role'] -%}
    {%- endif -%}
    {{ '<start_of_turn>' + role + '
' + (first_user_prefix if loop.first else "") }}
    {%- if message['content'] is string -%}
        {{ message['content'] | trim }}
    {%- elif message['content'] is iterable -%}
        {%- for item in message['content'] -%}
            {%- if item['type'] == 'image' -%}
                {{ '<start_of_image>' }}
            {%- elif item['type'] == 'text' -%}
                {{ item['text'] | trim }}
            {%- endif -%}
        {%- endfor -%}
    {%- else -%}
        {{ raise_exception("Invalid content type") }}
    {%- endif -%}
    {{ '<end_of_turn>
' }}
{%- endfor -%}
{%- if add_generation_prompt -%}
    {{'<start_of_turn>model
'}}
{%- endif -%}
""",
    "gpt-oss": """{%- macro render_typescript_type(param_spec, required_params, is_nullable=false) -%}
    {%- if param_spec.type == "array" -%}
        {%- if param_spec['items'] -%}
            {{- "Array<" + render_typescript_type(param_spec['items'], required_params) + ">" -}}
        {%- else -%}any[]{%- endif -%}
        {%- if param_spec.nullable -%}{{- " | null" -}}{%- endif -%}
    {%- elif param_spec.type is defined and param_spec.type is iterable and param_spec.type is not string and param_spec.type is not mapping and param_spec.type[0] is defined -%}
        {%- if param_spec.type | length > 1 -%}
            {{- param_spec.type | join(" | ") }}
        {%- else -%}
            {{- param_spec.type[0] }}
        {%- endif -%}
    {%- elif param_spec.oneOf -%}
        {%- for variant in param_spec.oneOf -%}
            {{- render_typescript_type(variant, required_params) -}}
            {%- if not loop.last %}{{- " | " }}{% endif -%}
        {%- endfor -%}
    {%- elif param_spec.type == "string" -%}
        {%- if param_spec.enum -%}{{- '"' + param_spec.enum|join('" | "') + '"' -}}
        {%- else -%}string{%- if param_spec.nullable %}{{- " | null" -}}{%- endif -%}{%- endif -%}
    {%- elif param_spec.type == "number" or param_spec.type == "integer" -%}number
    {%- elif param_spec.type == "boolean" -%}boolean
    {%- elif param_spec.type == "object" -%}
        {%- if param_spec.properties -%}
            {{- "{\\n" }}
            {%- for prop_name, prop_spec in param_spec.properties.items() -%}
                {{- prop_name -}}
                {%- if prop_name not in (param_spec.required or []) -%}{{- "?" }}{%- endif -%}
                {{- ": " }}
                {{ render_typescript_type(prop_spec, param_spec.required or []) }}
                {%- if not loop.last -%}{{-", " }}{%- endif -%}
            {%- endfor -%}
            {{- "}" }}
        {%- else -%}object{%- endif -%}
    {%- else -%}any{%- endif -%}
{%- endmacro -%}
{%- macro render_tool_namespace(namespace_name, tools) -%}
    {{- "## " + namespace_name + "\\n\\n" }}
    {{- "namespace " + namespace_name + " {\\n\\n" }}
    {%- for tool in tools %}
        {%- set tool = tool.function %}
        {{- "// " + tool.description + "\\n" }}
        {{- "type "+ tool.name + " = " }}
        {%- if tool.parameters and tool.parameters.properties %}
            {{- "(_: {\\n" }}
            {%- for param_name, param_spec in tool.parameters.properties.items() %}
                {%- if param_spec.description %}{{- "// " + param_spec.description + "\\n" }}{%- endif %}
                {{- param_name }}
                {%- if param_name not in (tool.parameters.required or []) -%}{{- "?" }}{%- endif -%}
                {{- ": " }}
                {{- render_typescript_type(param_spec, tool.parameters.required or []) }}
                {%- if param_spec.default is defined -%}
                    {%- if param_spec.enum %}{{- ", // default: " + param_spec.default }}
                    {%- elif param_spec.oneOf %}{{- "// default: " + param_spec.default }}
                    {%- else %}{{- ", // default: " + param_spec.default|tojson }}{%- endif -%}
                {%- endif -%}
                {%- if not loop.last %}{{- ",\\n" }}{%- else %}{{- ",\\n" }}{%- endif -%}
            {%- endfor %}
            {{- "}) => any;\\n\\n" }}
        {%- else -%}{{- "() => any;\\n\\n" }}{%- endif -%}
    {%- endfor %}
    {{- "} // namespace " + namespace_name }}
{%- endmacro -%}
{%- macro build_system_message() -%}
    {%- if model_identity is not defined %}{%- set model_identity = "You are ChatGPT, a large language model trained by OpenAI." %}{%- endif %}
    {{- model_identity + "\\n" }}
    {{- "Current date: " + strftime_now("%Y-%m-%d") + "\\n\\n" }}
    {%- if reasoning_effort is not defined %}{%- set reasoning_effort = "medium" %}{%- endif %}
    {{- "Reasoning: " + reasoning_effort + "\\n\\n" }}
{%- endmacro -%}
{{- "<|start|>system<|message|>" }}
{{- build_system_message() }}
{{- "<|end|>" }}
{%- if messages[0].role == "developer" or messages[0].role == "system" %}
    {%- set developer_message = messages[0].content %}
    {%- set loop_messages = messages[1:] %}
{%- else %}
    {%- set developer_message = "" %}
    {%- set loop_messages = messages %}
{%- endif %}
{%- if developer_message or tools %}
    {{- "<|start|>developer<|message|>" }}
    {%- if tools -%}{{- "# Tools\\n\\n" }}{{- render_tool_namespace("functions", tools) }}{%- endif -%}
    {{- developer_message }}{{- "<|end|>" }}
{%- endif %}
{%- set last_tool_call = namespace(name=none) %}
{%- for message in loop_messages -%}
    {%- if message.role == 'assistant' -%}
        {%- if "content" in message %}
            {%- if "<|channel|>analysis<|message|>" in message.content %}{{- raise_exception("no") }}{%- endif %}
        {%- endif %}
        {%- if "tool_calls" in message %}
            {%- set future_final_message = namespace(found=false) %}
            {%- for future_message in loop_messages[loop.index:] %}
                {%- if future_message.role == 'assistant' and "tool_calls" not in future_message %}{%- set future_final_message.found = true %}{%- endif %}
            {%- endfor %}
            {%- set tool_call = message.tool_calls[0] %}
            {%- if tool_call.function %}{%- set tool_call = tool_call.function %}{%- endif %}
            {{- "<|start|>assistant to=functions." + tool_call.name + "<|channel|>commentary json<|message|>" + tool_call.arguments|tojson + "<|call|>" }}
            {%- set last_tool_call.name = tool_call.name %}
        {%- elif loop.last and not add_generation_prompt %}
            {%- if "thinking" in message %}{{- "<|start|>assistant<|channel|>analysis<|message|>" + message.thinking + "<|end|>" }}{%- endif %}
            {{- "<|start|>assistant<|channel|>final<|message|>" + message.content + "<|return|>" }}
        {%- else %}
            {{- "<|start|>assistant<|channel|>final<|message|>" + message.content + "<|end|>" }}
            {%- set last_tool_call.name = none %}
        {%- endif %}
    {%- elif message.role == 'tool' -%}
        {%- if last_tool_call.name is none %}{{- raise_exception("Message has tool role, but there was no previous assistant message with a tool call!") }}{%- endif %}
        {{- "<|start|>functions." + last_tool_call.name + " to=assistant<|channel|>commentary<|message|>" + message.content|tojson + "<|end|>" }}
    {%- elif message.role == 'user' -%}
        {{- "<|start|>user<|message|>" + message.content + "<|end|>" }}
    {%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}<|start|>assistant{%- endif -%}
""",
    "phi3": "{% for message in messages %}{% if message['role'] == 'system' and message['content'] %}{{'<|system|>\n' + message['content'] + '<|end|>\n'}}{% elif message['role'] == 'user' %}{{'<|user|>\n' + message['content'] + '<|end|>\n'}}{% elif message['role'] == 'assistant' %}{{'<|assistant|>\n' + message['content'] + '<|end|>\n'}}{% endif %}{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% else %}{{ eos_token }}{% endif %}",
    "smollm3": """{# a comment #}
{%- if enable_thinking is not defined -%}
{%- set enable_thinking = true -%}
{%- endif -%}
{%- if enable_thinking -%}
  {%- set reasoning_mode = "/think" -%}
{%- else -%}
  {%- set reasoning_mode = "/no_think" -%}
{%- endif -%}
{{- "<|im_start|>system\\n" -}}
{%- if messages[0].role == "system" -%}
  {%- set system_message = messages[0].content -%}
  {%- if "/no_think" in system_message -%}
    {%- set reasoning_mode = "/no_think" -%}
  {%- endif -%}
  {%- set custom_instructions = system_message.replace("/no_think", "").replace("/think", "").rstrip() -%}
{%- endif -%}
{%- set today = strftime_now("%d %B %Y") -%}
{{- "Today Date: " ~ today ~ "\\n" -}}
{{- "Reasoning Mode: " + reasoning_mode + "\\n\\n" -}}
{%- if custom_instructions -%}{{- custom_instructions + "\\n\\n" -}}{%- endif -%}
{%- if xml_tools or python_tools or tools -%}
  {%- set ns = namespace(xml_tool_string="You may call:\\n<tools>\\n") -%}
  {%- for tool in xml_tools or tools -%}
    {%- set ns.xml_tool_string = ns.xml_tool_string ~ (tool | string) ~ "\\n" -%}
  {%- endfor -%}
  {{- ns.xml_tool_string ~ "</tools>\\n" -}}
{%- endif -%}
{{- "<|im_end|>\\n" -}}
{%- for message in messages -%}
    {%- set content = message.content if message.content is string else "" -%}
    {%- if message.role == "user" -%}
        {{ "<|im_start|>user\\n" + content + "<|im_end|>\\n" }}
    {%- elif message.role == "assistant" -%}
        {% generation %}
        {%- if reasoning_mode == "/think" -%}
            {{ "<|im_start|>assistant\\n" + content.lstrip("\\n") + "<|im_end|>\\n" }}
        {%- else -%}
            {{ "<|im_start|>assistant\\n" + "<think>\\n\\n</think>\\n" + content.lstrip("\\n") + "<|im_end|>\\n" }}
        {%- endif -%}
        {% endgeneration %}
    {%- elif message.role == "tool" -%}
    {{ "<|im_start|>" + "user\\n"  + message.content + "<|im_end|>\\n" }}
    {%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}
    {%- if reasoning_mode == "/think" -%}
        {{ "<|im_start|>assistant\\n" }}
    {%- else -%}
        {{ "<|im_start|>assistant\\n" + "<think>\\n\\n</think>\\n"  }}
    {%- endif -%}
{%- endif -%}
""",
    "command-r": """{{ bos_token }}{%- macro document_turn(documents) -%}
{% for doc in documents %}
Document: {{ loop.index0 }}
{% for key, value in doc.items() %}{{ key | title }}: {{ value }}
{% endfor %}
{% endfor %}{%- endmacro %}
{%- macro tool_call_id_to_int(messages, tool_call_id) %}
{%- set counter = namespace(value=0) %}
{%- set tool_call_id_seen = namespace(value=false) %}
{%- for msg in messages %}
    {%- if msg.tool_calls %}
        {%- for tool_call in msg.tool_calls %}
            {%- if tool_call.id == tool_call_id and not tool_call_id_seen.value -%}
                {{ counter.value }}
                {%- set tool_call_id_seen.value = true %}
            {%- endif %}
            {%- set counter.value = counter.value + 1 %}
        {%- endfor %}
    {%- endif %}
{%- endfor %}
{%- endmacro %}
{%- if documents is not none %}{{ document_turn(documents) }}{%- endif %}
{%- for message in messages %}
{%- if message.role|lower == 'user' %}<|USER|>{% if message.content is string %}{{ message.content | replace("<", "&lt;") }}{% else %}{% for c in message.content %}{% if c.text is defined %}{{ c.text }}{% endif %}{% endfor %}{% endif %}
{%- elif message.role|lower == 'assistant' or message.role|lower == 'chatbot' %}<|CHATBOT|>{{ message.content }}
{%- elif message.role == 'tool' and loop.previtem.role|lower != "tool" %}<|RESULTS|>{{ tool_call_id_to_int(messages, message.tool_call_id) }}
{%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}<|CHATBOT|>{%- endif %}""",
    "granite": """{%- if messages[0]['role'] == 'system' %}{%- set system_message = messages[0]['content'] %}{%- set loop_messages = messages[1:] %}{%- else %}{%- set system_message = "Knowledge Cutoff Date: April 2024.\nToday's Date: " + strftime_now('%B %d, %Y') + ".\nYou are Granite." %}{%- if tools and documents %}{%- set system_message = system_message + " both" %}{%- elif tools %}{%- set system_message = system_message + " tools" %}{%- elif documents %}{%- set system_message = system_message + " documents" %}{%- elif thinking %}{%- set system_message = system_message + " thinking" %}{%- else %}{%- set system_message = system_message + " You are a helpful AI assistant." %}{%- endif %}{%- if 'citations' in controls and documents %}{%- set system_message = system_message + ' cite' %}{%- endif %}{%- set loop_messages = messages %}{%- endif %}{{- '<|start_of_role|>system<|end_of_role|>' + system_message + '<|end_of_text|>\n' }}{%- if tools %}{{- '<|start_of_role|>tools<|end_of_role|>' }}{{- tools | tojson(indent=4) }}{{- '<|end_of_text|>\n' }}{%- endif %}{%- if documents %}{%- for document in documents %}{{- '<|start_of_role|>document {"document_id": "' + document['doc_id'] | string + '"}<|end_of_role|>\n' }}{{- document['text'] }}{%- endfor %}{%- endif %}{%- for message in loop_messages %}{{- '<|start_of_role|>' + message['role'] + '<|end_of_role|>' + message['content'] + '<|end_of_text|>\n' }}{%- if loop.last and add_generation_prompt %}{{- '<|start_of_role|>assistant' }}{%- if controls %}{{- ' ' + controls | tojson()}}{%- endif %}{{- '<|end_of_role|>' }}{%- endif %}{%- endfor %}""",
    "glm4": """[gMASK]<sop>
{%- macro visible_text(content) -%}
    {%- if content is string -%}
        {{- content }}
    {%- elif content is iterable and content is not mapping -%}
        {%- for item in content -%}
            {%- if item is mapping and item.type == 'text' -%}
                {{- item.text }}
            {%- elif item is string -%}
                {{- item }}
            {%- endif -%}
        {%- endfor -%}
    {%- else -%}
        {{- content }}
    {%- endif -%}
{%- endmacro -%}
{%- set ns = namespace(last_user_index=-1) %}
{%- for m in messages %}
    {%- if m.role == 'user' %}
        {% set ns.last_user_index = loop.index0 -%}
    {%- endif %}
{%- endfor %}
{% for m in messages %}
{%- if m.role == 'user' -%}<|user|>
{{ visible_text(m.content) }}
{{- '/nothink' if (enable_thinking is defined and not enable_thinking and not visible_text(m.content).endswith("/nothink")) else '' -}}
{%- elif m.role == 'assistant' -%}
<|assistant|>
{%- set reasoning_content = '' %}
{%- set content = visible_text(m.content) %}
{%- if m.reasoning_content is string %}
    {%- set reasoning_content = m.reasoning_content %}
{%- else %}
    {%- if '</think>' in content %}
        {%- set reasoning_content = content.split('</think>')[0].rstrip('\\n').split('<think>')[-1].lstrip('\\n') %}
        {%- set content = content.split('</think>')[-1].lstrip('\\n') %}
    {%- endif %}
{%- endif %}
{%- if loop.index0 > ns.last_user_index and reasoning_content -%}
{{ '\\n<think>' + reasoning_content.strip() +  '</think>'}}
{%- else -%}
{{ '\\n<think></think>' }}
{%- endif -%}
{%- if content.strip() -%}
{{ '\\n' + content.strip() }}
{%- endif -%}
{% if m.tool_calls %}
{% for tc in m.tool_calls %}
{%- if tc.function %}
    {%- set tc = tc.function %}
{%- endif %}
{{ '\\n<tool_call>' + tc.name }}
{% set _args = tc.arguments %}
{% if _args is mapping %}
{% for k, v in _args.items() %}
<arg_key>{{ k }}</arg_key>
<arg_value>{{ v | tojson(ensure_ascii=False) if v is not string else v }}</arg_value>
{% endfor %}
{% endif %}
</tool_call>{% endfor %}
{% endif %}
{%- elif m.role == 'tool' -%}
{%- if m.content is string -%}
{%- if loop.first or (messages[loop.index0 - 1].role != "tool") %}
    {{- '<|observation|>' }}
{%- endif %}
{{- '\\n<tool_response>\\n' }}
{{- m.content }}
{{- '\\n</tool_response>' }}
{%- endif -%}
{%- elif m.role == 'system' -%}
<|system|>
{{ visible_text(m.content) }}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}
    <|assistant|>{{- '\\n<think></think>' if (enable_thinking is defined and not enable_thinking) else '' -}}
{%- endif -%}""",
    "blocks-on-lines": """<begin>
  {% for message in messages %}
    {% if message.role == 'user' %}
  U: {{ message.content }}
    {% else %}
  O: {{ message.role }}
    {% endif %}
  {% endfor %}
  {#- gone -#}
  {# also gone #}
x {%+ if true %}kept{%+ endif %}
	{% if add_generation_prompt %}
A:
	{% endif %}
{% raw %}{{ not }} {% rendered %}{% endraw %}

<end>

""",
    "plain-system": "{{ bos_token }}{% if system is defined %}{{ system }}{% endif %}{% for m in messages if m.role in ['user', 'assistant'] %}{{ loop.index }}/{{ loop.length }}{{ 'User' if m.role == 'user' else 'Assistant' }}: {{ m.content }}{{ '' if loop.last else '\n\n' }}{% else %}none{% endfor %}{{ '\n\nAssistant:' if add_generation_prompt }}",
}
MODELS["crlf"] = MODELS["blocks-on-lines"].replace("\n", "\r\n")
MODELS["cr"] = MODELS["blocks-on-lines"].replace("\n", "\r")

# --- expressions, each printed ----------------------------------------------------------------------------------------
E = r"""
none | True | false | 1 | 1.0 | 1e20 | 1e16 | 1e15 | 123456789012345678 | 0.1 | 1e-5 | 0.0001 | 1.5e300 | -0.0 | 10**20 | 2**-1 | 7 // 2 | -7 // 2 | 7 % 3 | -7 % 3 | 7.5 % 2 | -7.5 // 2 | 1/3 | 4/2 | 2*3.0 | 0x1F | 1_000
2 ** 3 ** 2 | -2 ** 2 | 1 + 2 * 3 | (1 + 2) * 3 | 1 - 1 - 1 | 1 ~ 2 ~ none | 'a' ~ 1.0 ~ true | 'a' + 'b' | 'ab' * 3 | 3 * 'ab' | [1] * 2 | [1, 2] + [3] | (1, 2) + (3,) | 'a' 'b'
[1, 'a', none, true, 1.5, [2], {'k': 'v'}, (1,), ()] | {'a': 1, 2: 'b', none: [1]} | ['it\'s', "q\"q", "b'\"b", 'é\n\t\\', '\u200b😀\x7f'] | {} | [] | (1, 2) | (1,)
1 == 1.0 | true == 1 | '1' == 1 | none == none | [1] == [1.0] | {'a': 1} == {'a': true} | (1,) == [1] | 1 < 2 < 3 | 1 < 2 > 5 | 'a' < 'b' | 'Z' < 'a' | '\uffff' < '😀' | [1, 2] < [1, 3] | 1 != 2 | 1 >= 1.0
1 in [1, 2] | '1' in '123' | 'x' not in 'abc' | 'k' in {'k': 1} | 1 in (1,) | 2 in range(3) | not 1 in [2] | not true | not '' | 1 and 0 | 0 or 'x' | '' or none | [] and 1 | none or [] | 1 if 0 else 2 | 1 if 0 | 'a' if 1 if 1 else 0 else 'b'
undefined_name | [undefined_name] | undefined_name is defined | undefined_name == other_undefined | undefined_name or 'x' | undefined_name ~ 'x' | undefined_name|length | undefined_name|list | undefined_name|default('d') | ''|default('d') | ''|default('d', true) | none|default('d') | none|d('d', boolean=true) | 'x' in undefined_name | undefined_name|string | undefined_name|upper | undefined_name|trim | undefined_name|join(',') | {'a': 1}.b | {'a': 1}['b'] | [1][5] | 'abc'[7] | not undefined_name
'abc'[0] | 'abc'[-1] | '😀bc'[1] | '😀bc'[:1] | 'abcdef'[1:3] | 'abcdef'[::-1] | 'abcdef'[::2] | 'abcdef'[-2:] | 'abcdef'[4:1:-1] | [1, 2, 3][::-1] | [1, 2, 3][1:] | (1, 2, 3)[:2] | [1, 2, 3][-1] | 'abc'[5:] | range(5)[2] | range(10)[::3]|list | 'abc'[true]
{'items': 1}.items is defined | {'items': 1}['items'] | {'a': 1}.items()|list | {'a': 1}.keys() | {'a': 1}.values() | {'a': 1}.items() | {'a': 1}.get('b') | {'a': 1}.get('b', 'c') | {'a': 1}.get('a') | {'a': 1}.keys()|list | {'x': {'y': {'z': 5}}}.x.y.z | {'a': [1, {'b': 2}]}.a[1].b | {'a': 1}.copy() | {1: 'x'}[1] | {true: 'x'}[1]
'😀é'|length | 'aXb'.lower() | 'aXb'.upper() | 'straße'.upper() | 'hELLO wORLD'.capitalize() | "they're bill's".title() | 'aB'.swapcase() | '  a '.strip() | 'xxaxx'.strip('x') | '\n\n  a'.lstrip('\n') | 'a\n \n'.rstrip('\n') | 'abcba'.strip('ab') | '\ufeffa\ufeff'.strip() | '\x1ca\x85'.strip() | 'a b  c'.split() | ' a b '.split(' ') | 'a,b,c'.split(',', 1) | 'a,b,c'.rsplit(',', 1) | ' a b  c '.split(none, 1) | 'a b c'.rsplit(none, 1) | 'abc'.split('b')[-1] | 'a\nb\r\nc'.splitlines() | 'a\nb'.splitlines(true) | ''.split() | ''.split(',') | 'a--b'.partition('--') | 'a--b--c'.rpartition('--') | 'x'.partition('-') | 'a,b,c'.split(sep=',', maxsplit=1)
'abc'.startswith('ab') | 'abc'.endswith(('x', 'c')) | 'abc'.startswith('b', 1) | 'hello'.find('l') | 'hello'.rfind('l') | 'hello'.find('x') | '😀l'.find('l') | 'hello'.index('e') | 'hello'.count('l') | 'aaa'.count('aa') | 'abc'.count('') | 'aXbX'.replace('X', '-') | 'aXbX'.replace('X', '-', 1) | 'ab'.replace('', '-') | '-'.join(['a', 'b']) | 'ab'.center(7, '*') | 'ab'.center(5) | 'abc'.center(6) | 'ab'.ljust(4) ~ '|' | 'ab'.rjust(4, '0') | '-5'.zfill(4) | 'abc'.removeprefix('a') | 'abc'.removesuffix('c') | 'a\tb'.expandtabs(4)
'abc'.isalpha() | 'ab1'.isalnum() | '12'.isdigit() | '½'.isnumeric() | '½'.isdigit() | '²'.isdigit() | ' \t'.isspace() | 'ABC'.isupper() | 'abc'.islower() | 'A1'.isupper() | '1'.islower() | 'Ab Cd'.istitle() | 'a_1'.isidentifier() | ''.isalpha() | 'é'.isascii() | '٣'.isdecimal()
'%s is %d' % ('a', 3) | '%05.2f|%-5s|%5s|%x|%r|%%' % (3.14159, 'ab', 'cd', 255, 'q') | '%(a)s' % {'a': 1} | '%s' % 'x' | '%s' % [1] | '%+d' % 5 | '%e' % 12345.678 | '%g' % 0.00001 | '%g' % 123456789.0 | '%.3g' % 1234.5 | '%i' % 3.9 | '{} and {}'.format(1, 'b') | '{0}{1}{0}'.format('a', 'b') | '{x}-{y!r}'.format(x=1, y='q') | '{:>5}|{:<5}|{:^5}'.format(1, 2, 3) | '{:05d}'.format(42) | '{:.2f}'.format(2.675) | '{:,}'.format(1234567) | '{:x}'.format(255) | '{:%}'.format(0.25) | '{{}}'.format() | '{0[a]}'.format({'a': 1}) | '{a.b}'.format(a={'b': 2}) | '{:*^9}'.format('mid') | '{:10.3f}|'.format(3.14159) | '{:e}'.format(12345.6) | '{:+}'.format(3) | '{}'.format(none) | '{:s}'.format('x') | '{!s:>4}'.format(1) | '%s' | '%c' % 'x' | '%5.1f' % 2.25
[3, 1, 2]|sort | ['b', 'A', 'c']|sort | ['b', 'A', 'c']|sort(case_sensitive=true) | [3, 1, 2]|sort(reverse=true) | [{'n': 2}, {'n': 1}]|sort(attribute='n') | [1, 2, 1]|unique|list | ['a', 'A']|unique|list | [1, 2, 3]|first | []|first | [1, 2, 3]|last | 'abc'|last | 'abc'|first | [1, 2]|join('-') | [1, none, 'x']|join(', ') | [{'a': 1}, {'a': 2}]|join('+', attribute='a') | [[1, 2], [3]]|map('length')|list | ['a', 'b']|map('upper')|list | [{'a': 1}, {}]|map(attribute='a', default='z')|list | [{'a': {'b': 3}}]|map(attribute='a.b')|list | ['a']|map('replace', 'a', 'b')|list | [1, 2, 3]|select('odd')|list | [0, 1]|select|list | [1, 2]|reject('even')|list | [{'r': 'x'}, {'r': 'y'}]|selectattr('r', 'equalto', 'x')|list | [{'r': 'x'}, {}]|selectattr('r')|list | [{'r': 'x'}, {'q': 1}]|rejectattr('r', 'defined')|list | [{'r': 1}, {'r': 3}]|selectattr('r', '>', 2)|list | [1, 2, 3, 4, 5]|batch(2)|list | [1, 2, 3]|batch(2, 'x')|list | [1, 2, 3, 4]|slice(3)|list | [1, 2, 3]|sum | [{'a': 1}, {'a': 2}]|sum(attribute='a') | [1, 5, 2]|max | [1, 5, 2]|min | []|max | 'abc'|reverse | [1, 2]|reverse|list | {'b': 1, 'a': 2}|dictsort | {'b': 1, 'a': 2}|dictsort(by='value') | {'b': 1, 'A': 2}|dictsort(reverse=true) | {'a': 1}|items|list | 'ab'|list | {'a': 1}|list | {'a': 1}|length | range(3)|list | range(1, 10, 3)|list | range(3, 0, -1)|list | range(3) | [{'t': 'x', 'v': 1}, {'t': 'y', 'v': 2}, {'t': 'x', 'v': 3}]|groupby('t') | ([{'t': 'x', 'v': 1}, {'t': 'X', 'v': 2}]|groupby('t')|list)[0].list|length
' a '|trim | 'xax'|trim('x') | 'a b-c (d)'|title | 'ABC'|lower | 'abc'|upper | 'aBC'|capitalize | 'a\nb\n\nc'|indent | 'a\nb\n\nc'|indent(2, true) | 'a\nb'|indent('> ') | 'a\n\nb'|indent(2, blank=true) | 'abc'|replace('b', 'x') | 123|replace(2, 'x') | 'aaa'|replace('a', 'b', 2) | 'abc'|string | 1|string | none|string | [1]|string | '12'|int | '12.7'|int | 'x'|int | 'x'|int(5) | '0x1f'|int(0, 16) | 'ff'|int(base=16) | 1.9|int | -1.9|int | true|int | none|int | ' 7 '|int | '1_000'|int | '1.5'|float | 'x'|float | 'x'|float(2.5) | 3|float | '1e3'|float | -3|abs | -2.5|abs | 2.5|round | 3.5|round | 2.675|round(2) | 42|round | 42.55|round(1, 'floor') | 42.51|round(1, 'ceil') | -2.5|round | 'a b c'|wordcount | 'foo bar baz qux'|truncate(9) | 'foo bar baz qux'|truncate(9, true) | 'foo bar'|truncate(11) | 'ab'|center(6) ~ '|' | '<a & "b">'|e | '<a>'|escape | '<a>'|safe | '%s!'|format('x') | 'a/b c?é'|urlencode | 'abc'|count
1|tojson | 1.0|tojson | 'é"\n\u2028\x7f</a>'|tojson | 'é'|tojson(ensure_ascii=true) | '😀'|tojson(ensure_ascii=true) | none|tojson | [1, {'a': none, 'b': [true, false]}]|tojson | {'b': 1, 'a': [1, 2]}|tojson(indent=2) | {'b': 1, 'a': {}}|tojson(indent=4, sort_keys=true) | {'a': 1, 'b': 2}|tojson(separators=(',', ':')) | {'a': [1]}|tojson(indent=1, separators=(',', ' : ')) | []|tojson(indent=2) | {1: 'a', none: 'b', true: 'c', 1.5: 'd'}|tojson | (1, 2)|tojson | 1e20|tojson | {'a': 1}|tojson(indent=0) | 'a\x00\x1f'|tojson | ''|tojson
1 is odd | 2 is even | 9 is divisibleby(3) | 9 is divisibleby 2 | 'a' is string | 1 is number | true is number | 1.0 is float | 1 is integer | true is integer | true is boolean | none is none | none is not none | {} is mapping | [] is mapping | [] is iterable | 'a' is iterable | 1 is iterable | [] is sequence | 'a' is sequence | {} is sequence | 1 is sequence | {}.items() is sequence | undefined_name is undefined | 1 is not defined | true is true | 1 is true | false is false | 'abc' is lower | 'ABC' is upper | 1 is eq 1 | 1 is ne 2 | 3 is gt 2 | 1 is lessthan(2) | 1 is in [1, 2] | none is sameas none | 1 is sameas true | range is callable | 'x' is callable | 'upper' is filter | 'odd' is test | undefined_name is iterable | undefined_name is none | 'a' is not string | 5 is divisibleby(5) and 1 is odd
strftime_now('%Y-%m-%d') | strftime_now('%d %b %Y') | strftime_now('%A %a %B %b %d %e %-d %H:%M:%S %I %p %j %-m %y %U %W %V %G %u %w %f %% %C %D %F %R %T %x %X %c %h %n%t| %z|%Z| %k %l %P %s') | strftime_now('%_d %03d %^a %#p %-H %-I %-M %-S %-j %Q %E %5Y %Ey %Od') | strftime_now('é %')
dict(a=1, b=2) | dict({'x': 1}, y=2) | dict([['a', 1]]) | namespace(a=1).a | namespace({'a': 5}).a | namespace(a=1).b is defined | [1, 2, 3].index(2) | [1, 2, 1].count(1) | (1, 2).index(2) | 'a'.join('bc') | [[1, 2], [3]]|sum(start=[]) | ({'a': 1}|items|first)[0] | 5 .__class__ is defined | messages[0].__class__ is defined | 'x' * 0 | 'x' * -1 | [1, 2, 3][1:][0] | {'a': 'b'}['a'].upper() | ('a', 'b')[1] | messages|length | messages[-1]['role'] | messages|map(attribute='role')|list | bos_token ~ eos_token | pad_token is defined | unk_token | tools is none | documents is none | add_generation_prompt | messages[0] is mapping | messages is iterable | 'ß'.casefold() | 'x'|attr('upper') is defined | {'a': 1}|attr('a') is defined | joiner is defined | cycler('a', 'b').next()
"""
ERRORS = r"""
1 + 'a' | 'a' + 1 | undefined_name.x | undefined_name + 1 | undefined_name() | none.x.y | {'a': 1}.b.c | 1 / 0 | 1 // 0 | 'a' < 1 | none|length | 1|length | [1].append(2) | {}.update({}) | 'x'.foo() | [] | join | nofilter | 1 is notest | 'abc'|nofilter | range(200000) | range(1000000000) | raise_exception('boom') | {'a': undefined_name}|tojson | undefined_name < 1 | 'a'.split('') | 'abc'.index('x') | '%d' % 'x' | '{} {}'.format(1) | namespace(_x=1) | ''.__class__.__mro__ | [1]|map('nofilter')|list | lipsum.__globals__ | messages.pop() | none + 1 | {[1]: 2} | -'a' | for | 1 = 2 | (1 | [1 | 'abc | messages[0]['content'].nope.x | 'abc'[1:2:0] | strftime_now(1) | dict.__class__.x | 'a' in 1 | 1 in 'a' | 5() | messages|first|last|foo
"""
# --- statements -------------------------------------------------------------------------------------------------------
STATEMENTS = [
    "{% set x = 1 %}{% for i in [1, 2] %}{{ x }}{% set x = 2 %}{{ x }}{% endfor %}{{ x }}",
    "{% set x = 1 %}{% if true %}{% set x = 2 %}{% endif %}{{ x }}",
    "{% set ns = namespace(x=1) %}{% for i in [1, 2] %}{% set ns.x = ns.x + i %}{% endfor %}{{ ns.x }}",
    "{% set a, b = 1, 2 %}{{ a }}{{ b }}{% set (c, d) = [3, 4] %}{{ c }}{{ d }}",
    "{% for a, b in [[1, 2], [3, 4]] %}{{ a }}-{{ b }};{% endfor %}{% for k, v in {'x': 1}.items() %}{{ k }}={{ v }}{% endfor %}",
    "{% for x in [1, 2, 3, 4, 5] %}{% if x == 2 %}{% continue %}{% endif %}{% if x == 4 %}{% break %}{% endif %}[{{ x }}]{% endfor %}",
    "{% for x in [1, 2, 3] %}a{{ x }}{% if x == 2 %}{% break %}{% endif %}b{% endfor %}",
    "{% for x in [] %}x{% else %}empty{% endfor %}{% for x in [1] %}{% continue %}{% else %}none{% endfor %}{% for x in [1] %}{% break %}{% else %}none{% endfor %}",
    "{% for x in [1, 2, 3, 4] if x is even %}{{ loop.index }}{{ loop.last }}{{ loop.length }}{% endfor %}",
    "{% for x in 'ab' %}{{ loop.index0 }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.first }}{{ loop.last }}{{ loop.length }}{{ loop.previtem }}{{ loop.nextitem }}{{ loop.cycle('o', 'e') }}{{ loop.depth }}{{ loop.depth0 }}{{ loop.changed(x) }};{% endfor %}",
    "{% for x in [1, 2, 3] %}{{ loop.previtem is defined }}{{ loop.nextitem is defined }}{% if loop.nextitem and loop.nextitem > 2 %}!{% endif %}{% endfor %}",
    "{% for row in [[1, [2, [3]]]] recursive %}{% if row is iterable %}({{ loop(row) }}){% else %}{{ row }}@{{ loop.depth }}{% endif %}{% endfor %}",
    "{% for i in [1, 2] %}{% for j in [1, 2] %}{{ loop.index }}{% endfor %}{{ loop.index }}{% endfor %}",
    "{% macro m(a, b=2, c='x') %}[{{ a }}{{ b }}{{ c }}]{% endmacro %}{{ m(1) }}{{ m(1, 3) }}{{ m(1, c='y') }}{{ m(a=5) }}{{ m() }}",
    "{% macro m(a) %}{{ a }}{{ varargs }}{{ kwargs }}{% endmacro %}{{ m(1, 2, 3, k=4) }}",
    "{% macro m() %}<{{ caller() }}>{% endmacro %}{% call m() %}in{% endcall %}",
    "{% macro m() %}<{{ caller('x') }}>{% endmacro %}{% call(a) m() %}in {{ a }}{% endcall %}",
    "{% macro f(n) %}{% if n > 0 %}{{ n }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(5) }}",
    "{% set y = 5 %}{% macro m() %}{{ y }}{% set y = 6 %}{{ y }}{% endmacro %}{{ m() }}{{ y }}",
    "{% macro m(x) %}{{ x }}{{ z }}{% endmacro %}{% set z = 9 %}{{ m(1) }}{% for z in [1] %}{{ m(2) }}{% endfor %}",
    "{% macro m(x, y=x) %}{{ x }}{{ y }}{% endmacro %}{{ m(1) }}",
    "{% set x %}a{{ 1 }}b{% endset %}{{ x }}|{% set y | upper | replace('A', 'z') %}a{{ 1 }}b{% endset %}{{ y }}",
    "{% filter upper %}abc{{ 'd' }}{% endfilter %}{% filter replace('a', 'b') | upper %}aa{% endfilter %}",
    "{% with a = 1, b = 2 %}{{ a + b }}{% set c = 3 %}{% endwith %}{{ c is defined }}{{ a is defined }}",
    "{% if 0 %}a{% elif 1 %}b{% else %}c{% endif %}{% if [] %}a{% elif '' %}b{% else %}c{% endif %}",
    "{% generation %}x{% set q = 1 %}{% endgeneration %}{{ q is defined }}",
    "{% block b %}in block {{ messages[0].role }}{% endblock %}",
    "{% raw %}{{ x }}{% endraw %}|{%- raw -%}  a {{ b }} {%- endraw -%}  |",
    "a  {#- c -#}  b {# d #}\n  {# e #}\nf",
    "  {%- if true -%}  x  {%- endif -%}  y",
    "{{ 'a' }}\n\n{{ 'b' }}\n\n\n",
    "x\n  {% if true %}\n    y\n  {% endif %}\n  z",
    "x\n  {%+ if true %}\n    y\n  {%+ endif +%}\n  z",
    "{{- '\\n' }}{{ \"\\t\\u00e9\\x41\\101\\'\\\"\\\\ \\q\" }}{{ 'a\\\nb' }}",
    "{{ 'line\nbreak' }}{{ 'cr\r\nlf' }}",
    "{% set gen = [1, 2, 3]|select('odd') %}{% for x in gen %}{{ x }}{% endfor %}|{% for x in gen %}{{ x }}{% endfor %}",
    "{% print 1, 'a' %}",
    "{{ {'a': {'b': [1, 2, {'c': 3}]}}.a.b[2].c }}{{ messages[0].content[:4] }}{{ messages[0]['content'].split('\n')[0] }}",
    "{% set x = messages|selectattr('role', 'equalto', 'user')|map(attribute='content')|first %}{{ x|length }}",
    "{% set c = cycler('a', 'b') %}{{ c.next() }}{{ c.next() }}{{ c.next() }}{{ c.current }}{% set j = joiner(', ') %}{{ j() }}1{{ j() }}2",
    "{% for m in messages %}{{ m.role }}{% if not loop.last %},{% endif %}{% endfor %}{{ loop is defined }}",
    "{% set ns = namespace(found=false) %}{% for m in messages if not ns.found %}{{ m.role }}{% set ns.found = true %}{% endfor %}",
    "{{ '{{' }}{{ '%}' }}{{ \"}}\" }}{{ {'a': {'b': 1}} }}",
    "{%set x=1%}{{x}}{%if x%}y{%endif%}",
    "{{ 1 }}\r\n{{ 2 }}\r{{ 3 }}",
    "{% if messages is defined and messages[0].role == 'user' and not (messages|length > 5 or false) %}ok{% endif %}",
    "{{ messages | tojson }}{{ messages }}",
    "{% for x in undefined_name %}x{% endfor %}{% for x in none %}y{% endfor %}",
    "{% for a, b in [[1]] %}{% endfor %}", "{% set x.y = 1 %}", "{% unknown %}", "{% if %}{% endif %}", "{% for x in [1] %}", "{{ 1", "{% endif %}", "{# x", "{% raw %}x", "{% include 'x' %}", "{% import 'x' as y %}", "{% extends 'x' %}", "{{ a b }}", "{% macro m(a) %}{% endmacro %}{{ m(1, 2) }}", "{% macro m(a) %}{% endmacro %}{{ m(b=2) }}", "{{ x is }}", "{% set 1 = 2 %}", "{{ ] }}", "{% do [].append(1) %}",
    "{{ namespace }}" [:0] + "{% set ns = namespace() %}{% set ns.a = 1 %}{{ ns.a }}{{ ns.b }}",
    "{%- set f = 'x' -%}\n{{ f }}\n{%- set g = f ~ 'y' %}\n{{ g }}",
    "{% for i in range(3) -%}\n  {{ i }}\n{%- endfor %}",
    "\ufeff{{ 1 }}", "{{ 'ſ'|upper }}{{ 'İ'|lower }}{{ 'ΑΣ'|lower }}{{ 'ǆ'|capitalize }}",
    "{{ true and {'a': 1}.a or 2 }}{{ not false == true }}{{ 1 + 1 == 2 and 2 * 2 != 5 }}{{ -1|abs }}{{ -1 ** 2 }}{{ 'a' ~ 'b'|upper }}{{ 1 + 2|string|length }}",
    "{{ messages[0].content.strip().split(' ')|join('_')|lower|truncate(10, true, '') }}",
    "{% set date = strftime_now('%Y') if strftime_now is defined else '2024' %}{{ date }}",
]


def render(template, chat, **kw):
    try:
        return dict(text=TOKENIZER.apply_chat_template(chat, chat_template=template, tokenize=False, **kw))
    except Exception as error:  # every failure of Python is a failure of ours
        return dict(error=type(error).__name__)


def case(template, chat=0, **kw):
    return dict(template=template, chat=chat, options=kw, **render(template, CHATS[chat], **kw))


def main():
    cases = []
    for name, template in MODELS.items():
        for chat, gen, tools in itertools.product(range(len(CHATS)), (True, False), (None, TOOLS)):
            more = [{}] if gen and tools else [{}, dict(enable_thinking=False)] if chat == 2 else [{}]
            for extra in more:
                made = case(template, chat, add_generation_prompt=gen, **({"tools": tools} if tools else {}), **extra)
                made["template"], made["name"] = None, name
                cases.append(made)
        made = case(template, 0, add_generation_prompt=True, documents=[{"doc_id": 1, "title": "T", "text": "doc text"}])
        made["template"], made["name"] = None, name
        cases.append(made)
    for line in E.strip().split("\n"):
        for expression in line.split(" | "):
            cases.append(case("{{ " + expression + " }}"))
    for expression in ERRORS.strip().split(" | "):
        cases.append(case("{{ " + expression + " }}"))
    for template in STATEMENTS:
        cases.append(case(template))
        cases.append(case(template, 3, add_generation_prompt=True, enable_thinking=True))
    out = dict(now=[NOW.year, NOW.month - 1, NOW.day, NOW.hour, NOW.minute, NOW.second, 81], models=MODELS, chats=CHATS, tools=TOOLS, cases=cases)
    for one in cases:
        if "tools" in one["options"]:
            one["options"]["tools"] = "tools"
    print(len(cases), "cases,", sum("error" in c for c in cases), "errors", file=sys.stderr)
    with open("test/golden/jinja.json", "w") as file:
        json.dump(out, file, ensure_ascii=True, separators=(",", ":"))
        file.write("\n")


main()
