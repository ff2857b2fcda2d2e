// Samples one token per row by temperature, top-k, top-p and min-p (sample-token.ts is the definition). Tokens are ordered by logit
// descending, ties to the lower id; each filter keeps a head of that order. Masked tokens (-Infinity) are in no head.
// With: reduce (LANES = THREADS), scan, keys, candidates, logit-keys. One workgroup per row.
//
// The best tokens are sorted in workgroup memory, where filters and sample are prefix sums. If the sample may fall behind them
// (a flat distribution, or a filter that keeps more than fit), a descent over the bits of the keys finds the head: a pass over
// all logits for each bit.
struct Draw {
  row: u32,
  top_k: u32, // 0 keeps all
  top_p: f32, // 1 keeps all
  min_p: f32, // 0 keeps all
  inverse_temperature: f32,
  unit: f32, // the draw, in [0, 1)
}
struct Params {
  vocab: u32,
}
var<uniform> params: Params;
var<storage, read> draws: array<Draw>;
var<storage, read> logits: array<u32>; // f32 bits
var<storage, read_write> sampled: array<u32>;

const CANDIDATES: u32 = 256u; // wanted without a top-k
const LOWEST: f32 = -0x1.fffffep+127f; // lowest finite f32
const MIN_MASS: u32 = 0x3f000000u; // bits of 0.5
const INFINITE: u32 = 0x7f800000u; // bits of +Infinity; those of NaN and of negative numbers are larger
const COMPLETE: u32 = 0x80000000u; // set in the number of candidates if they are all unmasked tokens

var<workgroup> chosen: atomic<u32>;
var<workgroup> count_space: u32;
var<workgroup> mass_space: array<f32, THREADS>;

// x: number, y: mass of the tokens whose keys are at least `least`.
fn head(at: u32, least: u32, largest: f32, scale: f32, thread: u32) -> vec2f {
  let least_key = max(least, FIRST_KEY);
  var sum = vec2f();
  for (var i = thread; i < params.vocab; i += THREADS) {
    let bits = logits[at + i];
    if (logit_key(bits) >= least_key) {
      sum += vec2f(1f, exp((bitcast<f32>(bits) - largest) * scale));
    }
  }
  return reduce_sum(vec4f(sum, 0f, 0f), thread).xy;
}

// The largest key whose head has at least `wanted` tokens or, with of_mass, mass (with strict: more than that); 0 if none has.
fn descend(at: u32, wanted: f32, of_mass: bool, strict: bool, largest: f32, scale: f32, thread: u32) -> u32 {
  var key = 0u;
  for (var bit = 0x80000000u; bit != 0u; bit >>= 1u) {
    let sums = head(at, key | bit, largest, scale, thread);
    let value = select(sums.x, sums.y, of_mass);
    if (value > wanted || (value == wanted && !strict)) {
      key |= bit;
    }
  }
  return key;
}

fn draw_by_descent(draw: Draw, largest: f32, thread: u32) {
  let at = draw.row * params.vocab;
  let scale = draw.inverse_temperature;
  // The filters keep keys above `cut` and the first `of_cut` tokens whose key is `cut`.
  var cut = 0u;
  var of_cut = params.vocab;
  let limit = select(f32(min(draw.top_k, params.vocab)), f32(params.vocab), draw.top_k == 0u);
  let by_count = descend(at, limit, false, false, largest, scale, thread);
  let above_count = head(at, by_count + 1u, largest, scale, thread);
  let with_count = head(at, by_count, largest, scale, thread);
  let is_cut_by_count = draw.top_k > 0u && draw.top_k < params.vocab && by_count > 0u;
  if (is_cut_by_count) {
    cut = by_count;
    of_cut = u32(limit - above_count.x);
  }
  let cut_weight = exp((number_of(by_count) - largest) * scale);
  var mass = with_count.y;
  if (is_cut_by_count) {
    mass = above_count.y + f32(of_cut) * cut_weight;
  }

  let by_mass = descend(at, draw.top_p * mass, true, false, largest, scale, thread);
  let above_mass = head(at, by_mass + 1u, largest, scale, thread);
  let mass_weight = exp((number_of(by_mass) - largest) * scale);
  let is_cut_by_mass = draw.top_p < 1f && by_mass >= cut && by_mass > 0u;
  let with_mass = head(at, by_mass, largest, scale, thread);
  if (is_cut_by_mass) {
    let most_of = min(select(params.vocab, of_cut, by_mass == cut), u32(with_mass.x - above_mass.x));
    of_cut = min(most_of, u32(max(1f, ceil((draw.top_p * mass - above_mass.y) / mass_weight))));
    cut = by_mass;
    mass = above_mass.y + f32(of_cut) * mass_weight;
  }

  // min-p: the lowest key whose weight reaches it
  var least = 0xffffffffu;
  for (var i = thread; i < params.vocab; i += THREADS) {
    let bits = logits[at + i];
    let key = logit_key(bits);
    if (key >= FIRST_KEY && exp((bitcast<f32>(bits) - largest) * scale) >= draw.min_p) {
      least = min(least, key);
    }
  }
  // keys as two halves, each exact in f32
  let high_half = 65535f - reduce_max(vec4f(65535f - f32(least >> 16u)), thread).x;
  var low_half = 0f;
  if (least >> 16u == u32(high_half)) {
    low_half = 65535f - f32(least & 0xffffu);
  }
  let floor_key = (u32(high_half) << 16u) | (65535u - u32(reduce_max(vec4f(low_half), thread).x));
  let floor_sums = head(at, floor_key, largest, scale, thread);
  if (draw.min_p > 0f && floor_key > cut) {
    cut = floor_key;
    of_cut = params.vocab;
    mass = floor_sums.y;
  }

  // The first kept token at which the prefix mass exceeds the sample.
  let target_mass = draw.unit * mass;
  let key = max(cut, descend(at, target_mass, true, true, largest, scale, thread));
  let before = head(at, key + 1u, largest, scale, thread);
  let here = head(at, key, largest, scale, thread);
  let weight = exp((number_of(key) - largest) * scale);
  var of_key = u32(here.x - before.x);
  if (key == cut) {
    of_key = min(of_key, of_cut);
  }
  let index = min(u32(max(0f, floor((target_mass - before.y) / weight))), max(of_key, 1u) - 1u);
  if (thread == 0u) {
    atomicStore(&chosen, 0xffffffffu);
  }
  workgroupBarrier();
  var passed = 0u;
  for (var base = 0u; base < params.vocab; base += THREADS) {
    let i = base + thread;
    var is_here = 0u;
    if (i < params.vocab && logit_key(logits[at + min(i, params.vocab - 1u)]) == key) {
      is_here = 1u;
    }
    let place = scan(is_here, thread);
    if (is_here == 1u && passed + place == index) {
      atomicMin(&chosen, i);
    }
    passed += scan_sum();
  }
  workgroupBarrier();
  if (thread == 0u) {
    sampled[draw.row] = atomicLoad(&chosen);
  }
}

// x: exclusive prefix sum of value, y: total. Every invocation must call it.
fn scan_masses(value: f32, thread: u32) -> vec2f {
  var sum = value;
  for (var width = 1u; width < THREADS; width *= 2u) {
    mass_space[thread] = sum;
    workgroupBarrier();
    if (thread >= width) {
      sum += mass_space[thread - width];
    }
    workgroupBarrier();
  }
  mass_space[thread] = sum;
  workgroupBarrier();
  let total = mass_space[THREADS - 1u];
  let earlier = select(0f, mass_space[max(thread, 1u) - 1u], thread > 0u);
  workgroupBarrier();
  return vec2f(earlier, total);
}

// Samples among the sorted candidates; false if the sample may not be one of them. all_mass: of all tokens. is_complete: the
// candidates are all tokens.
fn draw_by_order(draw: Draw, size: u32, is_complete: bool, largest: f32, all_mass: f32, thread: u32) -> bool {
  let scale = draw.inverse_temperature;
  let run = (size + THREADS - 1u) / THREADS; // of candidates of an invocation
  let first = min(thread * run, size);
  let last = min(first + run, size);

  // top-k
  let has_count = draw.top_k > 0u && draw.top_k < params.vocab;
  let count = select(size, min(draw.top_k, size), has_count);
  var mass = 0f;
  for (var i = first; i < min(last, count); i++) {
    mass += exp((number_of(pair_at(i).y) - largest) * scale);
  }
  let sums = scan_masses(mass, thread);
  let before = sums.x; // mass before the invocation's own candidates
  let kept_mass = select(all_mass, sums.y, has_count);

  // top-p and min-p: how many tokens of the order they keep, the minimum over all invocations
  var kept = count;
  var sum = before;
  for (var i = first; i < min(last, count); i++) {
    let weight = exp((number_of(pair_at(i).y) - largest) * scale);
    if (i > 0u && ((draw.top_p < 1f && sum >= draw.top_p * kept_mass) || weight < draw.min_p)) {
      kept = min(kept, i);
    }
    sum += weight;
  }
  if (thread == 0u) {
    atomicStore(&chosen, count);
  }
  workgroupBarrier();
  atomicMin(&chosen, kept);
  workgroupBarrier();
  if (thread == 0u) {
    count_space = atomicLoad(&chosen);
  }
  kept = workgroupUniformLoad(&count_space);
  // no filter cut within the candidates: kept tokens may follow them
  let is_open = !has_count && kept == size && !is_complete;
  sum = 0f;
  for (var i = first; i < min(last, kept); i++) {
    sum += exp((number_of(pair_at(i).y) - largest) * scale);
  }
  let final_mass = select(reduce_sum(vec4f(sum), thread).x, all_mass, is_open);

  // The first token at which the prefix mass exceeds the sample.
  let wanted = draw.unit * final_mass;
  if (thread == 0u) {
    atomicStore(&chosen, select(kept - 1u, size, is_open));
  }
  workgroupBarrier();
  sum = before;
  for (var i = first; i < min(last, kept); i++) {
    sum += exp((number_of(pair_at(i).y) - largest) * scale);
    if (sum > wanted) {
      atomicMin(&chosen, i);
      break;
    }
  }
  workgroupBarrier();
  if (thread == 0u) {
    count_space = atomicLoad(&chosen);
  }
  let index = workgroupUniformLoad(&count_space);
  // top-p or min-p would cut behind the candidates
  if (index >= size || (is_open && (draw.top_p < 1f || draw.min_p > 0f))) {
    return false;
  }
  if (thread == 0u) {
    sampled[draw.row] = pair_at(index).x;
  }
  return true;
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let draw = draws[group.x];
  let at = draw.row * params.vocab;
  let scale = draw.inverse_temperature;
  var most = LOWEST;
  for (var i = thread; i < params.vocab; i += THREADS) {
    most = max(most, bitcast<f32>(logits[at + i]));
  }
  let largest = reduce_max(vec4f(most), thread).x;

  let sample = logit_key(logits[at + u32(f32(params.vocab) * (f32(thread) / f32(THREADS)))]);
  let count = min(select(draw.top_k, CANDIDATES, draw.top_k == 0u), params.vocab);
  var threshold = FIRST_KEY;
  if (params.vocab > SPACE) {
    threshold = max(threshold, sampled_threshold(sample, count, params.vocab, thread));
  }
  if (thread == 0u) {
    atomicStore(&places, 0u);
  }
  workgroupBarrier();
  var mass = 0f;
  for (var base = 0u; base < params.vocab; base += THREADS) {
    let i = base + thread;
    let bits = logits[at + min(i, params.vocab - 1u)];
    let key = logit_key(bits);
    let is_here = i < params.vocab && key >= FIRST_KEY;
    mass += select(0f, exp((bitcast<f32>(bits) - largest) * scale), is_here);
    let place = place_of(is_here && key >= threshold, thread);
    if (place < SPACE) {
      set_pair(place, vec2u(i, key));
    }
  }
  let all_mass = reduce_sum(vec4f(mass), thread).x;
  if (thread == 0u) {
    count_space = atomicLoad(&places) | select(0u, COMPLETE, threshold == FIRST_KEY);
    // NaN, and infinity minus itself, make the mass NaN; a row of masks has no mass; any other row has at least 1
    let mass_bits = bitcast<u32>(all_mass);
    if (mass_bits < MIN_MASS || mass_bits >= INFINITE) {
      count_space = NO_TOKEN;
    }
  }
  let candidates = workgroupUniformLoad(&count_space);
  if (candidates == NO_TOKEN) {
    if (thread == 0u) {
      sampled[draw.row] = NO_TOKEN;
    }
    return;
  }
  let is_complete = (candidates & COMPLETE) != 0u;
  let size = candidates & ~COMPLETE;
  if (size <= SPACE && (is_complete || size >= min(count, SPACE))) {
    sort_pairs(size, thread);
    if (thread == 0u) {
      count_space = 0u;
    }
    workgroupBarrier();
    let is_drawn = draw_by_order(draw, size, is_complete, largest, all_mass, thread);
    if (is_drawn) {
      return;
    }
  }
  draw_by_descent(draw, largest, thread);
}
