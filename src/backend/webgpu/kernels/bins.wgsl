// Prelude: a histogram of keys in workgroup memory, and the bin at which the largest keys reach a count. With: scan.
const BINS: u32 = 2048u;

struct Cut {
  bin: u32,
  need: u32, // keys of the bin that are among the largest
  total: u32, // keys in it and above; 0xffffffff if all bins hold fewer than asked for
  top: u32, // highest bin that is not empty
}

var<workgroup> bins: array<atomic<u32>, BINS>;
var<workgroup> top_bin: atomic<u32>;
var<workgroup> cut_space: Cut;

// The bin of a key that is at least `least`.
fn bin_of(key: u32, least: u32, shift: u32) -> u32 {
  return min((key - least) >> shift, BINS - 1u);
}

// The caller must pass a barrier before it uses the bins.
fn clear_bins(thread: u32) {
  for (var i = thread; i < BINS; i += THREADS) {
    atomicStore(&bins[i], 0u);
  }
  if (thread == 0u) {
    atomicStore(&top_bin, 0u);
    cut_space = Cut(0u, 0u, 0xffffffffu, 0u);
  }
}

// Finds the end of the `need` largest keys; replaces each bin's count by the number of keys above it. Every invocation must call it,
// after a barrier.
fn cut_of(need: u32, thread: u32) -> Cut {
  // each invocation takes a run of bins, from the highest down
  const RUN: u32 = BINS / THREADS;
  var sum = 0u;
  for (var i = 0u; i < RUN; i++) {
    let bin = BINS - 1u - (thread * RUN + i);
    let here = atomicLoad(&bins[bin]);
    if (here > 0u && sum == 0u) {
      atomicMax(&top_bin, bin);
    }
    sum += here;
  }
  var above = scan(sum, thread);
  for (var i = 0u; i < RUN; i++) {
    let bin = BINS - 1u - (thread * RUN + i);
    let here = atomicLoad(&bins[bin]);
    if (above < need && above + here >= need) {
      cut_space = Cut(bin, need - above, above + here, atomicLoad(&top_bin));
    }
    atomicStore(&bins[bin], above);
    above += here;
  }
  return workgroupUniformLoad(&cut_space);
}
