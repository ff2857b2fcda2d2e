// Prelude of kernels that multiply quantised weights with x in integers. 32 elements of x, a piece, share a power of two as their
// scale: x = scale × n, |n| < 2^21 (22 bits: an error of 2^-22 of the piece's largest element at most). n is three digits of
// eight bits from -128 to 127, so that one instruction takes four products and sums are exact. With: shuffle,
// packed-dot.
override THREADS: u32;
override SPAN: u32; // pieces in workgroup memory
const MAGIC: u32 = 0x4b400000u; // 1.5 × 2^23: the last bits of MAGIC + n are n

// words: digits 0 of elements 0 to 15 and of 16 to 31, digits 1, digits 2; four elements a word
struct Digits {
  words: array<vec4u, 6>,
  scale: f32,
  sums: vec2i, // of n over elements 0 to 15 and 16 to 31
}

var<workgroup> digit_space: array<vec4u, 6u * SPAN>;
var<workgroup> digit_facts: array<u32, 3u * SPAN>; // scales, sums of the first halves, of the second

fn digits_of(piece: u32) -> Digits {
  var x = Digits();
  /* unroll */ for (var i = 0u; i < 6u; i++) {
    x.words[i] = digit_space[i * SPAN + piece];
  }
  x.scale = bitcast<f32>(digit_facts[piece]);
  x.sums = bitcast<vec2i>(vec2u(digit_facts[SPAN + piece], digit_facts[2u * SPAN + piece]));
  return x;
}

// Digits 0, 1 and 2 of four elements, each a word. n: as MAGIC + n.
fn digits_of_four(n: vec4u) -> vec3u {
  // digits from 0 to 255 first, then less 128 each
  let bytes = (n + vec4u(0x808080u - MAGIC)) ^ vec4u(0x808080u);
  let evens = (bytes.xz & vec2u(0xff00ffu)) | ((bytes.yw & vec2u(0xff00ffu)) << vec2u(8u));
  let odds = ((bytes.xz >> vec2u(8u)) & vec2u(0xffu)) | (bytes.yw & vec2u(0xff00u));
  return vec3u(
    (evens.x & 0xffffu) | (evens.y << 16u),
    odds.x | (odds.y << 16u),
    (evens.x >> 16u) | (evens.y & 0xffff0000u),
  );
}

// Stores half of a piece, of which the neighbouring invocation stores the other. Every invocation must call it. half: among
// the halves in workgroup memory; those past its end are not stored.
fn store_digits(x: array<vec4f, 4>, half: u32) {
  // magnitudes in order of their bits; NaN is the largest
  let bits = max(
    max(bitcast<vec4u>(x[0]) & vec4u(0x7fffffffu), bitcast<vec4u>(x[1]) & vec4u(0x7fffffffu)),
    max(bitcast<vec4u>(x[2]) & vec4u(0x7fffffffu), bitcast<vec4u>(x[3]) & vec4u(0x7fffffffu)),
  );
  let own = max(max(bits.x, bits.y), max(bits.z, bits.w)) >> 23u;
  let other = bitcast<u32>(shuffle_xor(bitcast<f32>(own), 1u));
  let exponent = max(max(own, other), 21u);
  let factor = bitcast<f32>((274u - exponent) << 23u); // brings the largest to between 2^20 and 2^21
  // not finite: NaN, as the sum would be
  let scale = select((exponent - 20u) << 23u, 0x7fc00000u, exponent == 255u);
  if (half >= 2u * SPAN) {
    return;
  }
  let piece = half / 2u;
  let side = half % 2u;
  var digits: array<vec4u, 3>;
  var sums = vec4u();
  /* unroll */ for (var i = 0u; i < 4u; i++) {
    let n = bitcast<vec4u>(fma(x[i], vec4f(factor), vec4f(bitcast<f32>(MAGIC))));
    sums += n - vec4u(MAGIC);
    let words = digits_of_four(n);
    digits[0][i] = words.x;
    digits[1][i] = words.y;
    digits[2][i] = words.z;
  }
  /* unroll */ for (var d = 0u; d < 3u; d++) {
    digit_space[(2u * d + side) * SPAN + piece] = digits[d];
  }
  digit_facts[(1u + side) * SPAN + piece] = sums.x + sums.y + sums.z + sums.w;
  if (side == 0u) {
    digit_facts[piece] = scale;
  }
}

fn bytes_dot(a: vec4u, b: vec4u) -> i32 {
  return dot_bytes(a.x, b.x) + dot_bytes(a.y, b.y) + dot_bytes(a.z, b.z) + dot_bytes(a.w, b.w);
}

// Σ q × n over one half of a piece, bytes q from 0 to 63.
fn half_dot(q: vec4u, x: Digits, side: u32) -> i32 {
  return bytes_dot(q, x.words[side]) + (bytes_dot(q, x.words[2u + side]) << 8u) + (bytes_dot(q, x.words[4u + side]) << 16u);
}

// Σ q × n over a piece, bytes q from 0 to 31.
fn piece_dot(low: vec4u, high: vec4u, x: Digits) -> i32 {
  return bytes_dot(low, x.words[0]) + bytes_dot(high, x.words[1]) +
    ((bytes_dot(low, x.words[2]) + bytes_dot(high, x.words[3])) << 8u) +
    ((bytes_dot(low, x.words[4]) + bytes_dot(high, x.words[5])) << 16u);
}
