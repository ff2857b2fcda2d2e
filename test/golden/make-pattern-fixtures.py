"""Writes test/golden/patterns.json: splits of texts by patterns in Python `tokenizers` 0.23, which uses Oniguruma.

    pip install tokenizers==0.23.3 && python test/golden/make-pattern-fixtures.py   (from the root)
"""
import json
import random

from tokenizers import pre_tokenizers, Regex
rng=random.Random(3)
Q=r"""(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"""
P=[Q,Q.replace(r"\p{N}|",r"\p{N}{1,3}|"),r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]|\s+(?!\S)|\s",
r"""[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+""",
r"""[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+""",
r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+""",
r"[一-龥぀-ゟ゠-ヿ]+", r"\p{N}{1,3}", r"\d", r" ?[^(\s|[.,!?…。，、।۔،])]+", r"\w+|[^\w\s]+", r"\p{L}(?=\p{N})|(?<=a)b|(?<!\s)\d", r"[a-z&&[^aeiou]]+", r"(?>a+)b|a", r"(a|ab)(c|bcd)(d*)", r"x*", r"(?:a*)*b|.", r"a{2,3}?|b{,2}|c{2}+", r"\bfoo\b|\B.", r"^\s+|\s+$", r"(?i)straße|[à-ý]+", r"[[:alpha:]]+|[[:^space:]]", r"\h+|\H", r"(?m:a.b)|a.b", r"[^\S\r\n]+|\R", r"(x+x+)+y|x", r"\p{Han}+|\p{^L}|\P{Lu}", r"(?:\r\n|\n)+|[\x{1F600}-\x{1F64F}]|\u0041|\t", r"[\]\-a^]+|[^^]", r"(?:a|b|ab)*+c|b", "\\s+(?!\\S)|[\\s\\d]{2}", r"(?=ab)a|(?!b)[a-c]", r"\A.|\z|.\Z"]
pools=[list("abcABC xyz"),list(" \t\n\r\u0085\u00a0\u3000\ufeff\u200b"),list("0123½²٣Ⅷ"),list("'sS'tſ'reLL"),list("éÉßſ漢字ひカ한α΄़̈́"),list("😀👩‍👩‍👧🙂🏽"),list(".,!?;:-_/\\()[]{}<>|&^%$#@~`\"'+=*"),list("aaaab b xxxy foo"),list("\x00\x01\x1c\x7f\u2028")]
def rnd():
    n=rng.choice([1,2,3,5,8,13,30])
    ps=rng.sample(pools,rng.randint(1,4))
    return "".join(rng.choice(rng.choice(ps)) for _ in range(n))
out=[]
for p in P:
    sp=pre_tokenizers.Split(Regex(p),"isolated")
    texts=[rnd() for _ in range(60)]
    out.append(dict(pattern=p,cases=[[t,[x[0] for x in sp.pre_tokenize_str(t)]] for t in texts]))
with open("test/golden/patterns.json", "w") as file:
    file.write(json.dumps(out, separators=(",", ":")) + "\n")
