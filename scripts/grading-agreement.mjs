// Compares our verdicts with math-verify's on the mutations of a data set, which
// `python test/golden/make-grading-mutations.py DATA.jsonl FILE.json` makes: node scripts/grading-agreement.mjs FILE.json
import { readFileSync } from "node:fs";
import { isEquivalent } from "../dist/bundle/node/eval.js";

const [file] = process.argv.slice(2);
if (file === undefined) throw new Error("usage: node scripts/grading-agreement.mjs FILE.json");
const { answers, rows } = JSON.parse(readFileSync(file, "utf8"));

const started = performance.now();
const judged = rows.map(([target, answer, name, isEqual, mathVerify]) => ({
  target,
  answer,
  name,
  isEqual,
  mathVerify,
  ours: isEquivalent(answer, target),
}));
const elapsedMs = performance.now() - started;

for (const { target, answer, name, isEqual, mathVerify, ours } of judged) {
  if (ours === mathVerify && ours === isEqual) continue;
  console.log(`${name}: ours ${ours}, math-verify ${mathVerify}, meant ${isEqual}: ${target}  |  ${answer}`);
}
const count = (test) => judged.filter(test).length;
const different = count((row) => !row.isEqual);
console.log(
  `${answers} answers, ${judged.length} mutations: ${judged.length - different} equal, ${different} different`,
);
console.log(`verdicts as math-verify's: ${count((row) => row.ours === row.mathVerify)}`);
console.log(
  `as meant: ours ${count((row) => row.ours === row.isEqual)}, math-verify ${count((row) => row.mathVerify === row.isEqual)}`,
);
console.log(
  `different, but taken for equal: ours ${count((row) => row.ours && !row.isEqual)}, math-verify ${count((row) => row.mathVerify && !row.isEqual)}`,
);
console.log(`${(elapsedMs / judged.length).toFixed(3)} ms a pair`);
