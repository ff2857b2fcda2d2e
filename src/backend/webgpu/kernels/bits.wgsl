// Prelude: the position of the n-th set bit of a word, n from 0. The word has more than n set bits.
fn nth_bit(word: u32, n: u32) -> u32 {
  var at = 0u;
  var left = n;
  /* unroll */ for (var i = 0u; i < 5u; i++) {
    const width = 16u >> i;
    let here = countOneBits((word >> at) & ((1u << width) - 1u));
    if (left >= here) {
      left -= here;
      at += width;
    }
  }
  return at;
}
