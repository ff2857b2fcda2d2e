// Memory bandwidth, for benchmarks: reads a whole buffer once by 16-byte loads and keeps almost nothing.
var<storage, read> data: array<vec4u>;
var<storage, read_write> out: array<u32>;

@compute @workgroup_size(256)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let stride = groups.x * 256u;
  let size = arrayLength(&data);
  var sum = vec4u();
  var i = id.x;
  for (; i + 3u * stride < size; i += 4u * stride) {
    let a = data[i];
    let b = data[i + stride];
    let c = data[i + 2u * stride];
    let d = data[i + 3u * stride];
    sum ^= a ^ b ^ c ^ d;
  }
  for (; i < size; i += stride) {
    sum ^= data[i];
  }
  if ((sum.x ^ sum.y ^ sum.z ^ sum.w) == 0x12345678u) {
    out[0] = sum.x;
  }
}
