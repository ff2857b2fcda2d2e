// Prelude of kernels that multiply quantised weights with x in integers. 32 elements of x, a piece, share a scale: x = scale × n,
// |n| <= 32512 (an error of at most 1/65024 of the piece's largest element). n is two digits of eight bits from -128 to 127, so
// that one instruction takes four products and sums are exact. With: shuffle, packed-dot.
override THREADS: u32;
override SPAN: u32; // pieces in workgroup memory
const MAGIC: u32 = 0x4b400000u; // 1.5 × 2^23: the last bits of MAGIC + n are n
const LARGEST_DIGITS: f32 = 32512f; // 127 × 256
const LEAST_LARGEST: f32 = 1e-30f; // keeps the factor finite
const INFINITE_BITS: u32 = 0x7f800000u;

// words: digits 0 of elements 0 to 15 and of 16 to 31, then digits 1; four elements a word
struct Digits {
  words: array<vec4u, 4>,
  scale: f32,
  sums: vec2i, // of n over elements 0 to 15 and 16 to 31
}

// The same in workgroup memory. Its 80 bytes keep the vectors of neighbouring pieces in different banks.
struct StoredDigits {
  words: array<vec4u, 4>,
  facts: array<u32, 4>, // scale, sum of the first half, of the second
}

var<workgroup> digit_space: array<StoredDigits, SPAN>;

fn digits_of(piece: u32) -> Digits {
  var x = Digits();
  /* unroll */ for (var i = 0u; i < 4u; i++) {
    x.words[i] = digit_space[piece].words[i];
  }
  x.scale = bitcast<f32>(digit_space[piece].facts[0]);
  x.sums = bitcast<vec2i>(vec2u(digit_space[piece].facts[1], digit_space[piece].facts[2]));
  return x;
}

// Digits 0 and 1 of four elements, each a word. n: as MAGIC + n.
fn digits_of_four(n: vec4u) -> vec2u {
  // digits from 0 to 255 first, then less 128 each
  let bytes = (n + vec4u(0x8080u - MAGIC)) ^ vec4u(0x8080u);
  let pairs = (bytes.xz & vec2u(0xffffu)) | (bytes.yw << vec2u(16u));
  let evens = pairs & vec2u(0xff00ffu);
  let odds = (pairs >> vec2u(8u)) & vec2u(0xff00ffu);
  // bytes 0 and 2 become 0 and 1
  let low = (evens | (evens >> vec2u(8u))) & vec2u(0xffffu);
  let high = (odds | (odds >> vec2u(8u))) & vec2u(0xffffu);
  return vec2u(low.x | (low.y << 16u), high.x | (high.y << 16u));
}

// Stores half of a piece, of which the neighbouring invocation stores the other. Every invocation must call it. half: among
// the halves in workgroup memory; those past its end are not stored.
fn store_digits(x: array<vec4f, 4>, half: u32) {
  // magnitudes in order of their bits; NaN is the largest
  let bits = max(
    max(bitcast<vec4u>(x[0]) & vec4u(0x7fffffffu), bitcast<vec4u>(x[1]) & vec4u(0x7fffffffu)),
    max(bitcast<vec4u>(x[2]) & vec4u(0x7fffffffu), bitcast<vec4u>(x[3]) & vec4u(0x7fffffffu)),
  );
  let own = max(max(bits.x, bits.y), max(bits.z, bits.w));
  let other = bitcast<u32>(shuffle_xor(bitcast<f32>(own), 1u));
  let largest = max(own, other);
  let magnitude = max(bitcast<f32>(largest), LEAST_LARGEST);
  let factor = LARGEST_DIGITS / magnitude;
  // not finite: NaN, as the sum would be
  let scale = select(bitcast<u32>(magnitude * (1f / LARGEST_DIGITS)), 0x7fc00000u, largest >= INFINITE_BITS);
  if (half >= 2u * SPAN) {
    return;
  }
  let piece = half / 2u;
  let side = half % 2u;
  var digits: array<vec4u, 2>;
  var sums = vec4u();
  /* unroll */ for (var i = 0u; i < 4u; i++) {
    let n = bitcast<vec4u>(fma(x[i], vec4f(factor), vec4f(bitcast<f32>(MAGIC))));
    sums += n - vec4u(MAGIC);
    let words = digits_of_four(n);
    digits[0][i] = words.x;
    digits[1][i] = words.y;
  }
  /* unroll */ for (var d = 0u; d < 2u; d++) {
    digit_space[piece].words[2u * d + side] = digits[d];
  }
  digit_space[piece].facts[1u + side] = sums.x + sums.y + sums.z + sums.w;
  if (side == 0u) {
    digit_space[piece].facts[0] = scale;
  }
}

fn bytes_dot(a: vec4u, b: vec4u) -> i32 {
  return dot_bytes(a.x, b.x) + dot_bytes(a.y, b.y) + dot_bytes(a.z, b.z) + dot_bytes(a.w, b.w);
}

// Σ q × n over one half of a piece, bytes q.
fn half_dot(q: vec4u, x: Digits, side: u32) -> i32 {
  return bytes_dot(q, x.words[side]) + (bytes_dot(q, x.words[2u + side]) << 8u);
}

// Σ q × n over a piece, bytes q.
fn piece_dot(low: vec4u, high: vec4u, x: Digits) -> i32 {
  return bytes_dot(low, x.words[0]) + bytes_dot(high, x.words[1]) +
    ((bytes_dot(low, x.words[2]) + bytes_dot(high, x.words[3])) << 8u);
}
