// Prelude: the mailbox through which workgroups of one dispatch pass values to later workgroups. A word is its own flag: UNSET
// until its value is stored. So the only guarantee it needs is that a word that was stored becomes visible, in no order with
// others.
override THREADS: u32;
const REDUCE_GROUPS: u32 = THREADS / REDUCE_LANES;
const UNSET: u32 = 0xffffffffu; // the one NaN that `post` never stores
override POLL_LIMIT: u32; // looks at a word, some seconds; past it the value is NaN

// vectors one after another, each ordered as stages read it: neighbouring invocations read neighbouring words
var<storage, read_write> mailbox: array<atomic<u32>>;

// Offset of element e in the mailbox of its vector. unit: consecutive elements that an invocation of the reading stage takes.
fn mailbox_place(e: u32, unit: u32) -> u32 {
  let vector = e / unit;
  return (vector / THREADS * unit + e % unit) * THREADS + vector % THREADS;
}

fn post(at: u32, value: f32) {
  let bits = bitcast<u32>(value);
  atomicStore(&mailbox[at], select(bits, 0x7fc00000u, bits == UNSET));
}

// Waits for a word, whose bits were `first` when last polled.
fn receive(first: u32, at: u32) -> f32 {
  var bits = first;
  for (var look = 0u; bits == UNSET && look < POLL_LIMIT; look++) {
    bits = atomicLoad(&mailbox[at]);
  }
  return bitcast<f32>(bits);
}
