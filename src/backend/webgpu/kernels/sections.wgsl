// Prelude of matrix-vector kernels: which rows of up to three matrices a block takes.
struct Section {
  first_vector: u32, // first vector of the matrix
  rows: u32,
  out: u32, // column of the first output
  bias: u32, // first element of the bias + 1; 0: none
}
// The block of rows of a thread group.
struct Place {
  section: Section,
  block: u32, // of the section
}
var<storage, read> vectors: array<vec4f>;

// Sections are stacked, each in whole blocks of `outputs` rows; empty ones have no rows.
fn place_of(block: u32, outputs: u32, first: Section, second: Section, third: Section) -> Place {
  var place = Place(first, block);
  let first_blocks = (first.rows + outputs - 1u) / outputs;
  if (block >= first_blocks && second.rows > 0u) {
    place = Place(second, block - first_blocks);
    let second_blocks = (second.rows + outputs - 1u) / outputs;
    if (place.block >= second_blocks && third.rows > 0u) {
      place = Place(third, place.block - second_blocks);
    }
  }
  return place;
}

fn bias_of(section: Section, row: u32) -> f32 {
  let at = section.bias - 1u + row;
  return vectors[at / 4u][at % 4u];
}
