enable subgroups;
// Attention of rows over everything cached, or over a token selection, split over the tokens: partial sums that
// combine.wgsl brings together. With: storage, step. Needs subgroups of at least LANES.
//
// A team of LANES invocations takes TOKENS tokens a turn for HEADS query heads of one kv head, with a running softmax of
// its own, so that nothing waits at a barrier while keys and values stream. Each key and value is read once, each
// invocation holding LANE_PIECES pieces of a row. A workgroup takes one share of the tokens.
override THREADS: u32;
override LANES: u32; // invocations that share a row; a power of two
override TOKENS: u32; // of a team in flight; a power of two, at most PAGE_SIZE
override HEADS: u32; // query heads of a workgroup; they share a kv head
override HEADS_PADDED: u32; // to a power of two
override QUERY_HEADS: u32;
override HEAD_DIM: u32;
override SCALE: f32;
override SELECTED: bool;
override HAND_ON: bool; // scores of all query heads are written out
override ONLY_SCORES: bool;
override LEAST_TURNS: u32; // of a workgroup
override SUM_HEADS: u32; // heads whose sums are brought together at once
override TWINS: bool; // every subgroup holds teams in pairs, whose sums are added before they go into memory
const SHARERS: u32 = select(1u, 2u, TWINS);
const GROUP_SIZE: u32 = QUERY_HEADS / KV_HEADS;
const PADDED: u32 = ROW_PIECES * PIECE;
const PADDED4: u32 = PADDED / 4u;
const LANE_PIECES: u32 = (ROW_PIECES + LANES - 1u) / LANES;
const TEAMS: u32 = THREADS / LANES;
const TURN: u32 = TEAMS * TOKENS; // tokens of a workgroup a turn
const OWN: u32 = max(HEADS_PADDED / LANES, 1u); // heads whose softmax an invocation keeps
const KEEPERS: u32 = max(LANES / HEADS_PADDED, 1u); // invocations of a team that keep the same head
const TOKEN_RUNS: u32 = (TOKENS + KEEPERS - 1u) / KEEPERS;
const LEAST: f32 = -3e38;

struct Params {
  first_row: u32,
  sequence: u32, // of the first row; of the selection and the scores it is row `of_selection`
  sequence_step: u32, // from row to row
  of_selection: u32,
  groups: u32, // of the selection
  capacity: u32, // of a list of the selection
  score_capacity: u32,
  splits: u32, // stride of the partials
  shares: u32, // wanted of a row
}
var<uniform> params: Params;
var<storage, read> step: array<u32>;
var<storage, read> query: array<vec4f>;
var<storage, read> keys: array<vec4u>;
var<storage, read> values: array<vec4u>;
var<storage, read> indices: array<u32>;
var<storage, read> counts: array<u32>;
var<storage, read_write> partials: array<vec4f>; // [rows, heads, splits, PADDED4 + 1]
var<storage, read_write> scores: array<f32>;

var<workgroup> state_space: array<vec2f, TEAMS * HEADS_PADDED>; // largest score and mass of each team and head
var<workgroup> sum_space: array<vec4f, TEAMS / SHARERS * SUM_HEADS * PADDED4>;

// Channels d to d + 3 of a query that begins at `origin`, scaled; zero past its end.
fn load_query(origin: u32, d: u32) -> vec4f {
  if (HEAD_DIM % 4u == 0u) {
    return select(0f, SCALE, d < HEAD_DIM) * query[(origin + min(d, HEAD_DIM - 4u)) / 4u];
  }
  var q = vec4f();
  /* unroll */ for (var k = 0u; k < 4u; k++) {
    let at = origin + min(d + k, HEAD_DIM - 1u);
    q[k] = select(0f, SCALE, d + k < HEAD_DIM) * query[at / 4u][at % 4u];
  }
  return q;
}

alias Tokens = array<u32, TOKENS>;

// Positions of a team's tokens, the share's `first` and those after it; past the end, of the last ones.
fn positions_of(first: u32, list: u32, begin: u32, size: u32) -> Tokens {
  var positions = Tokens();
  if (SELECTED) {
    /* unroll */ for (var t = 0u; t < TOKENS; t++) {
      positions[t] = indices[list + begin + min(first + t, max(size, 1u) - 1u)];
    }
  } else {
    // within the page of the first of them: shares and turns are whole multiples of TOKENS
    let at = min(first, (max(size, 1u) - 1u) / TOKENS * TOKENS);
    /* unroll */ for (var t = 0u; t < TOKENS; t++) {
      positions[t] = begin + min(at + t, max(size, 1u) - 1u);
    }
  }
  return positions;
}

// The pieces at which an invocation's part of their keys and values begins.
fn starts_of(positions: Tokens, table: u32, kv_head: u32, lane: u32) -> Tokens {
  var starts = Tokens();
  if (SELECTED) {
    /* unroll */ for (var t = 0u; t < TOKENS; t++) {
      starts[t] = cache_row(step[table + positions[t] / PAGE_SIZE], kv_head, positions[t] % PAGE_SIZE) + lane;
    }
  } else {
    let page = cache_row(step[table + positions[0] / PAGE_SIZE], kv_head, 0u) + lane;
    /* unroll */ for (var t = 0u; t < TOKENS; t++) {
      starts[t] = page + positions[t] % PAGE_SIZE * ROW_PIECES;
    }
  }
  return starts;
}

alias Rows = array<vec4u, TOKENS * LANE_PIECES>;

fn load_keys(starts: Tokens, lane: u32) -> Rows {
  var rows = Rows();
  /* unroll */ for (var t = 0u; t < TOKENS; t++) {
    /* unroll */ for (var j = 0u; j < LANE_PIECES; j++) {
      if (ROW_PIECES % LANES == 0u || j * LANES + lane < ROW_PIECES) {
        rows[t * LANE_PIECES + j] = keys[starts[t] + j * LANES];
      }
    }
  }
  return rows;
}

fn load_values(starts: Tokens, lane: u32) -> Rows {
  var rows = Rows();
  if (!ONLY_SCORES) {
    /* unroll */ for (var t = 0u; t < TOKENS; t++) {
      /* unroll */ for (var j = 0u; j < LANE_PIECES; j++) {
        if (ROW_PIECES % LANES == 0u || j * LANES + lane < ROW_PIECES) {
          rows[t * LANE_PIECES + j] = values[starts[t] + j * LANES];
        }
      }
    }
  }
  return rows;
}

@compute @workgroup_size(THREADS)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(local_invocation_index) thread: u32,
  @builtin(subgroup_invocation_id) subgroup_lane: u32,
) {
  let row = params.first_row + group.z;
  let first_head = group.y * HEADS;
  let kv_head = first_head / GROUP_SIZE;
  let table = PAGE_TABLES + (params.sequence + group.z * params.sequence_step) * MAX_PAGES;
  let of_selection = params.of_selection + group.z * params.sequence_step;
  var length = 0u;
  var list = 0u;
  if (SELECTED) {
    length = counts[of_selection];
    list = (of_selection * params.groups + first_head * params.groups / QUERY_HEADS) * params.capacity;
  } else {
    length = step[ROW_LENGTHS + row];
  }
  // of the row's own length alone, so that a row's sums do not depend on the rows beside it
  let turns = max((length + params.shares * TURN - 1u) / (params.shares * TURN), LEAST_TURNS);
  let share = turns * TURN;
  let begin = min(group.x * share, length);
  let size = min(share, length - begin);

  let lane = thread % LANES;
  let team = thread / LANES;
  let team_start = subgroup_lane - lane; // of the team in its subgroup
  let first_own = lane / KEEPERS * OWN;
  var q: array<vec4f, HEADS * LANE_PIECES * PIECE4> = array<vec4f, HEADS * LANE_PIECES * PIECE4>();
  /* unroll */ for (var h = 0u; h < HEADS; h++) {
    /* unroll */ for (var j = 0u; j < LANE_PIECES; j++) {
      /* unroll */ for (var k = 0u; k < PIECE4; k++) {
        let d = ((j * LANES + lane) * PIECE4 + k) * 4u;
        q[(h * LANE_PIECES + j) * PIECE4 + k] = load_query((row * QUERY_HEADS + first_head + h) * HEAD_DIM, d);
      }
    }
  }
  var largest: array<f32, OWN> = array<f32, OWN>();
  var mass: array<f32, OWN> = array<f32, OWN>();
  /* unroll */ for (var o = 0u; o < OWN; o++) {
    largest[o] = LEAST;
  }
  var sums: array<vec4f, HEADS * LANE_PIECES * PIECE4> = array<vec4f, HEADS * LANE_PIECES * PIECE4>();

  // Where the tokens of a turn lie is looked up a turn ahead, behind loads that take longer.
  let origin = min(begin, length - 1u); // a workgroup without tokens still looks ahead
  var position = positions_of(team * TOKENS, list, origin, size);
  var start = starts_of(position, table, kv_head, lane);
  var key = load_keys(start, lane);
  var value = load_values(start, lane);
  for (var base = 0u; base < size; base += TURN) {
    let first = base + team * TOKENS;
    let is_last = base + TURN >= size;
    let next_position = positions_of(first + TURN, list, origin, size);
    let next_start = starts_of(next_position, table, kv_head, lane);

    var own: array<f32, TOKENS * OWN> = array<f32, TOKENS * OWN>();
    /* unroll */ for (var t = 0u; t < TOKENS; t++) {
      var dots: array<f32, HEADS_PADDED> = array<f32, HEADS_PADDED>();
      /* unroll */ for (var j = 0u; j < LANE_PIECES; j++) {
        let a = low(key[t * LANE_PIECES + j]);
        let b = high(key[t * LANE_PIECES + j]);
        /* unroll */ for (var h = 0u; h < HEADS; h++) {
          dots[h] = fma4(a, q[(h * LANE_PIECES + j) * PIECE4], dots[h]);
          if (PIECE == 8u) {
            dots[h] = fma4(b, q[(h * LANE_PIECES + j) * PIECE4 + PIECE4 - 1u], dots[h]);
          }
        }
      }
      // Sums over the team: in each round an invocation keeps half of its heads and hands the others over, until each
      // keeps OWN; then all keepers of a head add up.
      /* unroll */ for (var round = 0u; round < 7u; round++) {
        const width = LANES >> (round + 1u);
        const kept = HEADS_PADDED >> (round + 1u);
        if (width > 0u) {
          if (kept > 0u) {
            let is_upper = (lane & width) != 0u;
            /* unroll */ for (var i = 0u; i < HEADS_PADDED / 2u; i++) {
              if (i < kept) {
                const other = min(i + kept, HEADS_PADDED - 1u);
                let mine = select(dots[i], dots[other], is_upper);
                let given = select(dots[other], dots[i], is_upper);
                dots[i] = mine + subgroupShuffleXor(given, max(width, 1u));
              }
            }
          } else {
            dots[0] += subgroupShuffleXor(dots[0], max(width, 1u));
          }
        }
      }
      let is_in = first + t < size;
      /* unroll */ for (var o = 0u; o < OWN; o++) {
        own[t * OWN + o] = select(LEAST, dots[o], is_in);
      }
    }
    if (HAND_ON) {
      // the keepers of a head write a token each, so that neighbours write neighbours
      /* unroll */ for (var run = 0u; run < TOKEN_RUNS; run++) {
        /* unroll */ for (var o = 0u; o < OWN; o++) {
          var score = 0f;
          var place = 0u;
          var is_in = false;
          /* unroll */ for (var k = 0u; k < KEEPERS; k++) {
            const t = min(run * KEEPERS + k, TOKENS - 1u);
            if (lane % KEEPERS == k && run * KEEPERS + k < TOKENS) {
              score = own[t * OWN + o];
              place = position[t];
              is_in = first + t < size;
            }
          }
          if (is_in && first_own + o < HEADS) {
            scores[(of_selection * QUERY_HEADS + first_head + first_own + o) * params.score_capacity + place] = score;
          }
        }
      }
    }
    // the keys are used up: those of the next turn may take their place
    if (!is_last) {
      key = load_keys(next_start, lane);
    }
    if (!ONLY_SCORES) {
      var has_grown = false;
      var shrink: array<f32, OWN> = array<f32, OWN>();
      /* unroll */ for (var o = 0u; o < OWN; o++) {
        var top = largest[o];
        /* unroll */ for (var t = 0u; t < TOKENS; t++) {
          top = max(top, own[t * OWN + o]);
        }
        has_grown = has_grown || top > largest[o];
        shrink[o] = exp(largest[o] - top);
        largest[o] = top;
      }
      // after the first turns the largest score seldom grows
      let is_shrinking = subgroupAny(has_grown);
      /* unroll */ for (var h = 0u; h < HEADS; h++) {
        let factor = subgroupShuffle(shrink[h % OWN], team_start + h / OWN * KEEPERS);
        if (is_shrinking) {
          /* unroll */ for (var i = 0u; i < LANE_PIECES * PIECE4; i++) {
            sums[h * LANE_PIECES * PIECE4 + i] *= factor;
          }
        }
      }
      /* unroll */ for (var o = 0u; o < OWN; o++) {
        mass[o] *= shrink[o];
      }
      /* unroll */ for (var t = 0u; t < TOKENS; t++) {
        let is_in = first + t < size;
        /* unroll */ for (var o = 0u; o < OWN; o++) {
          let weight = select(0f, exp(own[t * OWN + o] - largest[o]), is_in);
          own[t * OWN + o] = weight;
          mass[o] += weight;
        }
      }
      /* unroll */ for (var t = 0u; t < TOKENS; t++) {
        /* unroll */ for (var h = 0u; h < HEADS; h++) {
          let weight = subgroupShuffle(own[t * OWN + h % OWN], team_start + h / OWN * KEEPERS);
          /* unroll */ for (var j = 0u; j < LANE_PIECES; j++) {
            const at = (h * LANE_PIECES + j) * PIECE4;
            sums[at] = fma(low(value[t * LANE_PIECES + j]), vec4f(weight), sums[at]);
            if (PIECE == 8u) {
              sums[at + PIECE4 - 1u] = fma(high(value[t * LANE_PIECES + j]), vec4f(weight), sums[at + PIECE4 - 1u]);
            }
          }
        }
      }
      if (!is_last) {
        value = load_values(next_start, lane);
      }
    }
    position = next_position;
    start = next_start;
  }
  if (ONLY_SCORES) {
    return;
  }

  /* unroll */ for (var o = 0u; o < OWN; o++) {
    if (lane % KEEPERS == 0u) {
      state_space[team * HEADS_PADDED + first_own + o] = vec2f(largest[o], mass[o]);
    }
  }
  workgroupBarrier();
  let partial = ((group.z * QUERY_HEADS + first_head) * params.splits + group.x) * (PADDED4 + 1u);
  /* unroll */ for (var h0 = 0u; h0 < (HEADS + SUM_HEADS - 1u) / SUM_HEADS; h0++) {
    /* unroll */ for (var i = 0u; i < SUM_HEADS; i++) {
      const h = min(h0 * SUM_HEADS + i, HEADS - 1u);
      var top = LEAST;
      for (var other = 0u; other < TEAMS; other++) {
        top = max(top, state_space[other * HEADS_PADDED + h].x);
      }
      let factor = exp(state_space[team * HEADS_PADDED + h].x - top);
      /* unroll */ for (var j = 0u; j < LANE_PIECES; j++) {
        /* unroll */ for (var k = 0u; k < PIECE4; k++) {
          var sum = factor * sums[(h * LANE_PIECES + j) * PIECE4 + k];
          if (TWINS) {
            sum += subgroupShuffleXor(sum, LANES);
          }
          if ((!TWINS || team % 2u == 0u) && (ROW_PIECES % LANES == 0u || j * LANES + lane < ROW_PIECES)) {
            sum_space[(team / SHARERS * SUM_HEADS + i) * PADDED4 + (j * LANES + lane) * PIECE4 + k] = sum;
          }
        }
      }
      if (thread == 0u) {
        var total = 0f;
        for (var other = 0u; other < TEAMS; other++) {
          let state = state_space[other * HEADS_PADDED + h];
          total += exp(state.x - top) * state.y;
        }
        partials[partial + h * params.splits * (PADDED4 + 1u) + PADDED4] = vec4f(top, total, 0f, 0f);
      }
    }
    workgroupBarrier();
    for (var i = thread; i < SUM_HEADS * PADDED4; i += THREADS) {
      let h = h0 * SUM_HEADS + i / PADDED4;
      if (h < HEADS) {
        var total = vec4f();
        for (var other = 0u; other < TEAMS / SHARERS; other++) {
          total += sum_space[other * SUM_HEADS * PADDED4 + i];
        }
        partials[partial + h * params.splits * (PADDED4 + 1u) + i % PADDED4] = total;
      }
    }
    if (h0 + 1u < (HEADS + SUM_HEADS - 1u) / SUM_HEADS) {
      workgroupBarrier();
    }
  }
}
