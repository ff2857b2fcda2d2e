import { readFileSync } from "node:fs";
import { test } from "vitest";
import { parseRopeConfig } from "./rope-config.ts";
import { createRope, inverseFrequencies } from "./rope.ts";
test("x", () => {
  for (const c of JSON.parse(readFileSync("/tmp/hfvenv/rope.json", "utf8"))) {
    const rc = parseRopeConfig(c.config, c.config.head_dim, c.config.max_position_embeddings, "f");
    const inv = inverseFrequencies(rc);
    let exact = 0, worst = 0;
    inv.forEach((v, i) => { if (v === c.inverseFrequencies[i]) exact++; worst = Math.max(worst, Math.abs(v / c.inverseFrequencies[i] - 1)); });
    const rope = createRope(rc); let w2 = 0, per: number[] = [];
    c.positions.forEach((p: number, r: number) => { const out = new Float32Array(c.config.head_dim); rope.writeRow(p, out, 0); let w = 0; out.forEach((v, i) => { w = Math.max(w, Math.abs(v - c.rows[r][i])); }); per.push(w); });
    console.log(c.name, `${exact}/${inv.length}`, worst, per.map((x) => x.toExponential(1)).join(" "));
  }
});
