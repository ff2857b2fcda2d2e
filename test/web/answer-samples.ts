/** Answers as models write them, and as nobody should be able to write them. */

/** Headings, lists, a table, code and maths. */
export const SAMPLE = `## The sum of the first *n* squares

The sum is **cubic** in $n$, and costs $5 and $6 nowhere. The closed form is

$$
\\sum_{k=1}^{n} k^2 = \\frac{n(n+1)(2n+1)}{6}
$$

which follows by induction:

1. For \\(n = 1\\) both sides are \\(1\\).
2. Adding \\((n+1)^2\\) gives
   \\[
   \\frac{n(n+1)(2n+1) + 6(n+1)^2}{6} = \\frac{(n+1)(n+2)(2n+3)}{6}.
   \\]
3. So it holds for every \\(n\\):
   - for even ones,
   - and for ~~most~~ all odd ones.

### Values

| n | sum | closed form | note |
|--:|----:|:-----------:|------|
| 1 | 1 | $\\frac{1\\cdot 2\\cdot 3}{6}$ | the base |
| 10 | 385 | $\\frac{10\\cdot 11\\cdot 21}{6}$ | as \`sum(10)\` says |
| 100 | 338350 | $\\frac{100\\cdot 101\\cdot 201}{6}$ | still exact |

### In code

\`\`\`python
def sum_of_squares(n: int) -> int:
    """The closed form; exact for any integer, where a loop takes n steps and a float loses digits beyond 2**53."""
    return n * (n + 1) * (2 * n + 1) // 6  # $not$ maths


assert sum_of_squares(10) == sum(k * k for k in range(11)) == 385
\`\`\`

> The proof needs nothing but arithmetic. See [the article](https://example.org/squares) for others.

- [x] checked for small $n$
- [ ] left to the reader

A formula that is wider than a phone:

\\[ 1^2 + 2^2 + 3^2 + 4^2 + 5^2 + 6^2 + 7^2 + 8^2 + 9^2 + 10^2 + 11^2 + 12^2 + 13^2 + 14^2 + 15^2 + 16^2 + 17^2 + 18^2 = 2109 \\]

---

The answer is \\boxed{\\frac{n(n+1)(2n+1)}{6}}.
`;

/** What would run, ask a host, cover the page or lead out of it, if the page let it. The word EVIL is in every address. */
export const HOSTILE = `<script>globalThis.evil = 1</script>
<img src="https://evil.example/EVIL.png" onerror="globalThis.evil = 2">
<style>body { display: none }</style>
<iframe src="https://evil.example/EVIL"></iframe>
<a href="javascript:globalThis.evil=3">raw</a> <b onclick="globalThis.evil=4">bold</b>
<svg onload="globalThis.evil = 5"><use href="https://evil.example/EVIL.svg#a"/></svg>

[script](javascript:globalThis.evil=6) [upper](JaVaScRiPt:globalThis.evil=7) [spaced](<java script:globalThis.evil=8>)
[entity](javascript&colon;globalThis.evil=9) [numeric](&#106;avascript:globalThis.evil=10) [tab](java&#9;script:globalThis.evil=11)
[data](data:text/html,<script>globalThis.evil=12</script>) [vb](vbscript:globalThis.evil=13) [blob](blob:https://evil.example/EVIL)
[file](file:///etc/EVIL) [relative](../EVIL) [host](//evil.example/EVIL) [anchor](#EVIL) <javascript:globalThis.evil=14>
[quoted](https://good.example/"onmouseover="globalThis.evil=15) [good](https://good.example/page "a title")

![image](https://evil.example/EVIL.png) ![data](data:image/svg+xml,<svg onload=globalThis.evil=16>) [![both](https://evil.example/EVIL.png)](javascript:globalThis.evil=17)
![ref][r]

[r]: https://evil.example/EVIL-ref.png

&lt;script&gt;globalThis.evil=18&lt;/script&gt; &#60;img src=x onerror=globalThis.evil=19&#62;

\`<script>globalThis.evil=20</script>\`

\`\`\`html"onmouseover="globalThis.evil=21
<script>globalThis.evil=22</script>
\`\`\`

| <script>globalThis.evil=23</script> | a |
|---|---|
| <img src=x onerror=globalThis.evil=24> | [x](javascript:globalThis.evil=25) |

$\\href{javascript:globalThis.evil=26}{x}$ $\\url{https://evil.example/EVIL}$ $\\includegraphics{https://evil.example/EVIL.png}$
$\\htmlStyle{position:fixed;inset:0}{x}$ $\\htmlData{onclick=globalThis.evil=27}{x}$ $\\text{<img src=x onerror=globalThis.evil=28>}$

$$\\rule{900em}{900em}$$

$$\\kern-300em\\raise200em{\\rule{30em}{30em}}$$

$$\\def\\a{\\a\\a}\\a$$

$$${"{".repeat(900)}x${"}".repeat(900)}$$

$$\\frac{$$ and $\\undefined$ and $\\begin{matrix}$

${"> ".repeat(200)}deep

${"- ".repeat(100)}list

The end.
`;
