/** Mixture of experts: which experts compute a row, and the rows of one expert through its weights. */
import { DESCRIPTOR_WORDS } from "./layout";
import * as linear from "./linear";
import { exp1 } from "./math";
import { addScaled } from "./norm-rope";
import { experts, model, region, weight } from "./state";

/** Chooses the experts of each row from the router's logits, and writes them with their weights. */
export function route(rows: u32): void {
  for (let row: u32 = 0; row < rows; row++) {
    const logits = region.routed() + <usize>(row * experts.count() * 4);
    const choices = region.chosen() + <usize>(row * experts.top() * 8);
    for (let k: u32 = 0; k < experts.top(); k++) store<u32>(choices + <usize>(k * 8), best(logits, choices, k));
    weigh(logits, choices);
  }
}

/** The expert of the largest logit that is none of the first `taken` choices; ties to the lower expert, NaN last. */
function best(logits: usize, choices: usize, taken: u32): u32 {
  let found: u32 = 0;
  let largest: f32 = 0;
  let isFound = false;
  for (let expert: u32 = 0; expert < experts.count(); expert++) {
    const logit = load<f32>(logits + <usize>(expert * 4));
    if (isFound && !(logit > largest || (isNaN(largest) && !isNaN(logit)))) continue;
    let isTaken = false;
    for (let k: u32 = 0; k < taken; k++) isTaken = isTaken || load<u32>(choices + <usize>(k * 8)) == expert;
    if (isTaken) continue;
    found = expert;
    largest = logit;
    isFound = true;
  }
  return found;
}

/** Softmax over all experts, or over the chosen ones if they are scaled to a sum of 1. */
function weigh(logits: usize, choices: usize): void {
  let largest = load<f32>(logits);
  for (let expert: u32 = 1; expert < experts.count(); expert++)
    largest = max<f32>(largest, load<f32>(logits + <usize>(expert * 4)));
  let total: f32 = 0;
  for (let expert: u32 = 0; expert < experts.count(); expert++)
    total += exp1(load<f32>(logits + <usize>(expert * 4)) - largest);
  let kept: f32 = 0;
  for (let k: u32 = 0; k < experts.top(); k++) {
    const at = choices + <usize>(k * 8);
    const mass = exp1(load<f32>(logits + <usize>(load<u32>(at) * 4)) - largest);
    kept += mass;
    store<f32>(at, mass, 4);
  }
  const sum = experts.isNormalised() ? kept : total;
  for (let k: u32 = 0; k < experts.top(); k++) {
    const at = choices + <usize>(k * 8);
    store<f32>(at, load<f32>(at, 4) / sum, 4);
  }
}

/** x[row] += weight * down(act(gate x) * up x) for every row that chose the expert. Its rows run together. */
export function expertRowsThrough(expert: u32, rows: u32, gate: usize, up: usize, down: usize, x: usize): void {
  const hidden = model.hidden();
  const bytes = <usize>(hidden * 4);
  const list = region.expertRows();
  const count = gatherRows(expert, rows, list);
  if (count == 0) return;
  for (let i: u32 = 0; i < count; i++)
    memory.copy(region.expertInput() + <usize>i * bytes, region.normed() + <usize>load<u32>(list + <usize>(i * 8)) * bytes, bytes);
  const own = <usize>(expert * DESCRIPTOR_WORDS * 4);
  linear.begin(region.expertInput(), count, hidden);
  linear.add(gate + own, up + own, linear.gateMode(), 0, region.gate());
  linear.run();
  linear.begin(region.gate(), count, weight.cols(down + own));
  linear.add(down + own, 0, linear.Mode.STORE, 0, region.expertOutput());
  linear.run();
  for (let i: u32 = 0; i < count; i++) {
    const at = list + <usize>(i * 8);
    addScaled(x + <usize>load<u32>(at) * bytes, region.expertOutput() + <usize>i * bytes, load<f32>(at, 4), hidden);
  }
}

/** Lists the rows that chose the expert, with their weights. Returns their number. */
function gatherRows(expert: u32, rows: u32, list: usize): u32 {
  let count: u32 = 0;
  const choices = rows * experts.top();
  for (let i: u32 = 0; i < choices; i++) {
    const at = region.chosen() + <usize>(i * 8);
    if (load<u32>(at) != expert) continue;
    store<u32>(list + <usize>(count * 8), i / experts.top());
    store<f32>(list + <usize>(count * 8), load<f32>(at, 4), 4);
    count++;
  }
  return count;
}
