// Prelude: values that workgroups of one dispatch hand on to workgroups that come after them. A link is its own flag: it is
// UNSET until its value is there, so that it takes nothing but that each single word is seen as it was last stored.
override THREADS: u32;
const UNSET: u32 = 0xffffffffu; // of the many NaNs the one that is never stored
// Looks at a link before it is given up, about a second; what comes of it is NaN.
const PATIENCE: u32 = 1000000u;

// [value and value and ...] as the stages read them: neighbours read neighbouring words
var<storage, read_write> links: array<atomic<u32>>;

// The place of element e among the links of a vector.
fn link_place(e: u32) -> u32 {
  let piece = e / PIECE;
  return (piece / THREADS * PIECE + e % PIECE) * THREADS + piece % THREADS;
}

fn set_link(at: u32, value: f32) {
  let bits = bitcast<u32>(value);
  atomicStore(&links[at], select(bits, 0x7fc00000u, bits == UNSET));
}

// The value of a link, whose bits were `first` when last looked at.
fn link_of(first: u32, at: u32) -> f32 {
  var bits = first;
  for (var look = 0u; bits == UNSET && look < PATIENCE; look++) {
    bits = atomicLoad(&links[at]);
  }
  return bitcast<f32>(bits);
}
