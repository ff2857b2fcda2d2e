// Prelude of attend.wgsl: products of queries with int8 keys, four by one instruction, sums exact. A query becomes integers of 16
// bits, a 32512th of its largest channel each, in two digits of eight: off by 2^-16 of the largest channel at most. With: cache-q8, packed-dot.
alias QueryPart = vec2u; // the upper digits of four channels, and the lower ones
alias Sum = vec2i; // of upper and lower digits
alias Dot = i32;

fn query_part(q: vec4f, scale: f32) -> QueryPart {
  let whole = vec4i(round(select(vec4f(), q / scale, vec4<bool>(scale > 0f))));
  let upper = (whole + 128) >> vec4u(8u);
  return vec2u(pack_bytes(upper), pack_bytes(whole - (upper << vec4u(8u))));
}

fn pack_bytes(bytes: vec4i) -> u32 {
  let shifted = (bitcast<vec4u>(bytes) & vec4u(0xffu)) << vec4u(0u, 8u, 16u, 24u);
  return shifted.x | shifted.y | shifted.z | shifted.w;
}

fn scale_of_query(largest: f32) -> f32 {
  return largest / 32512f;
}

fn multiply_low(key: CacheVector, q: QueryPart, sum: Sum) -> Sum {
  return sum + vec2i(dot_bytes(q.x, key.x), dot_bytes(q.y, key.x));
}

fn multiply_high(key: CacheVector, q: QueryPart, sum: Sum) -> Sum {
  return sum + vec2i(dot_bytes(q.x, key.y), dot_bytes(q.y, key.y));
}

fn dot_of(sum: Sum) -> Dot {
  return (sum.x << 8u) + sum.y;
}

fn score_of(dot: Dot, query_scale: f32, key_scale: f32) -> f32 {
  return f32(dot) * (query_scale * key_scale);
}
