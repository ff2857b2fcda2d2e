// Prelude: values that workgroups of one dispatch hand on to workgroups that come after them. A link is its own flag: it is
// UNSET until its value is there, so that it takes nothing but that each single word is seen as it was last stored.
override THREADS: u32;
const UNSET: u32 = 0xffffffffu; // of the many NaNs the one that is never stored
// Looks at a link before it is given up, about a second; what comes of it is NaN.
const POLL_LIMIT: u32 = 1000000u;

// [value and value and ...] as the stages read them: neighbours read neighbouring words
var<storage, read_write> mailbox: array<atomic<u32>>;

// The place of element e among the mailbox of a vector.
fn mailbox_place(e: u32) -> u32 {
  let vector = e / VECTOR_ELEMENTS;
  return (vector / THREADS * VECTOR_ELEMENTS + e % VECTOR_ELEMENTS) * THREADS + vector % THREADS;
}

fn post(at: u32, value: f32) {
  let bits = bitcast<u32>(value);
  atomicStore(&mailbox[at], select(bits, 0x7fc00000u, bits == UNSET));
}

// The value of a link, whose bits were `first` when last looked at.
fn receive(first: u32, at: u32) -> f32 {
  var bits = first;
  for (var look = 0u; bits == UNSET && look < POLL_LIMIT; look++) {
    bits = atomicLoad(&mailbox[at]);
  }
  return bitcast<f32>(bits);
}
