// Chooses the TOP experts of each row by the router's logits, ties to the lower expert, NaN last, and weighs them by softmax over
// all experts, or over the chosen ones if NORMALISED. One workgroup of 64 per row; an invocation ranks every 64th expert.
override EXPERTS: u32;
override TOP: u32;
override NORMALISED: bool;

var<storage, read> logits: array<f32>; // [rows, EXPERTS]
var<storage, read_write> chosen: array<u32>; // [rows, TOP, 2]: expert, and the bits of its weight

// `routeBytes` of device-limits.ts counts these at open.
var<workgroup> keys: array<u32, EXPERTS>;
var<workgroup> masses: array<f32, EXPERTS>;
var<workgroup> picked: array<u32, TOP>;

// A number whose order is that of the logits.
fn key_of(value: f32) -> u32 {
  let bits = bitcast<u32>(select(value, 0f, value == 0f));
  if ((bits & 0x7fffffffu) > 0x7f800000u) {
    return 0u;
  }
  return select(bits | 0x80000000u, ~bits, bits >= 0x80000000u);
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let row = group.x;
  for (var e = thread; e < EXPERTS; e += 64u) {
    masses[e] = logits[row * EXPERTS + e];
    keys[e] = key_of(masses[e]);
  }
  workgroupBarrier();
  var largest = masses[0];
  for (var e = 1u; e < EXPERTS; e++) {
    largest = max(largest, masses[e]);
  }
  for (var e = thread; e < EXPERTS; e += 64u) {
    var rank = 0u;
    for (var other = 0u; other < EXPERTS; other++) {
      rank += select(0u, 1u, keys[other] > keys[e] || (keys[other] == keys[e] && other < e));
    }
    if (rank < TOP) {
      picked[rank] = e;
    }
  }
  workgroupBarrier();
  for (var e = thread; e < EXPERTS; e += 64u) {
    masses[e] = exp(masses[e] - largest);
  }
  workgroupBarrier();
  var sum = 0f;
  for (var i = 0u; i < select(EXPERTS, TOP, NORMALISED); i++) {
    sum += masses[select(i, picked[min(i, TOP - 1u)], NORMALISED)];
  }
  for (var k = thread; k < TOP; k += 64u) {
    let at = 2u * (row * TOP + k);
    chosen[at] = picked[k];
    chosen[at + 1u] = bitcast<u32>(masses[picked[k]] / sum);
  }
}
