// Prelude of attend.wgsl: products of queries with keys of f16 or f32. With: storage, cache-floats.
alias QueryPart = vec4f; // four channels of a query
alias Sum = f32; // of an invocation's products
alias Dot = f32; // of a query and a key

fn query_part(q: vec4f, scale: f32) -> QueryPart {
  return q;
}

fn scale_of_query(largest: f32) -> f32 {
  return 1f;
}

fn multiply_low(key: CacheVector, q: QueryPart, sum: Sum) -> Sum {
  return fma4(low(key), q, sum);
}

fn multiply_high(key: CacheVector, q: QueryPart, sum: Sum) -> Sum {
  return fma4(high(key), q, sum);
}

fn dot_of(sum: Sum) -> Dot {
  return sum;
}

fn score_of(dot: Dot, query_scale: f32, key_scale: f32) -> f32 {
  return dot;
}
