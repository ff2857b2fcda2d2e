// out[b][c] = the sum of its slices, or out += with ADD: what workgroups left that shared the columns of products. One invocation for
// four outputs.
override SLICES: u32;
override ADD: bool;

struct Params {
  first: u32, // column, in vec4s; so are the next three
  columns: u32,
  out_stride: u32, // from row to row of out, and of a slice
  slice_stride: u32,
}
var<uniform> params: Params;
var<storage, read> slices: array<vec4f>;
var<storage, read_write> out: array<vec4f>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  if (id.x >= params.columns) {
    return;
  }
  let at = id.y * params.out_stride + params.first + id.x;
  var sum = vec4f();
  if (ADD) {
    sum = out[at];
  }
  /* unroll */ for (var slice = 0u; slice < SLICES; slice++) {
    sum += slices[slice * params.slice_stride + at];
  }
  out[at] = sum;
}
