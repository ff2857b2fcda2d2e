// Prelude: the `count` largest keys, by digits of 11, 11 and 10 bits from the top; then a pass puts every key above the cut, and
// as many as needed at it. With: scan, keys, bins; the kernel defines `key_at` and `put`.
//
// Elements are origin, origin + 1, ...; element i is put as unit first + i. Places count from `to`.
fn select_by_radix(first: u32, origin: u32, size: u32, count: u32, to: u32, thread: u32) {
  var prefix = 0u; // prefix of the key at the cut
  var mask = 0u;
  var cut = Cut(0u, count, 0u, 0u);
  var equal = 0u; // keys that match the prefix
  for (var digit = 0u; digit < 3u; digit++) {
    // the last digit includes one bit of the second, which all remaining keys share
    let shift = select(select(0u, 10u, digit == 1u), 21u, digit == 0u);
    clear_bins(thread);
    workgroupBarrier();
    for (var i = thread; i < size; i += THREADS) {
      let key = key_at(origin + i);
      if ((key & mask) == prefix) {
        atomicAdd(&bins[(key >> shift) & (BINS - 1u)], 1u);
      }
    }
    workgroupBarrier();
    let need = cut.need;
    cut = cut_of(need, thread);
    equal = cut.total - (need - cut.need);
    prefix |= cut.bin << shift;
    mask |= select(select(0x3ffu, 0x1ffc00u, digit == 1u), 0xffe00000u, digit == 0u);
  }

  if (thread == 0u) {
    atomicStore(&places, 0u);
    cut_space.total = u32(equal == cut.need); // every key at the cut is taken
  }
  let takes_all = workgroupUniformLoad(&cut_space.total) != 0u;
  for (var i = thread; i < size; i += THREADS) {
    let key = key_at(origin + i);
    if (key > prefix || (takes_all && key == prefix)) {
      put(to + atomicAdd(&places, 1u), first + i, key);
    }
  }
  if (!takes_all) {
    // the first keys at the cut, by position
    var kept = count - cut.need;
    for (var base = 0u; base < size; base += THREADS) {
      let i = base + thread;
      let is_equal = i < size && key_at(origin + min(i, size - 1u)) == prefix;
      let place = kept + scan(u32(is_equal), thread);
      if (is_equal && place < count) {
        put(to + place, first + i, prefix);
      }
      kept += scan_sum();
    }
  }
}
