// Split-KV attention of single rows over everything cached, or over a token selection: partials, which combine.wgsl combines.
// With: storage and cache-floats or cache-q8, step, attend-floats or
// attend-int8, attend-inputs, attend-rows. Needs subgroups of at least LANES.
//
// A workgroup takes one split of the tokens. A thread group of LANES invocations takes TOKENS tokens per turn for HEADS query
// heads of one kv head and keeps its own running softmax, so that no barrier stops the stream of keys and values. The workgroup
// reads each key and value once; an invocation holds LANE_VECTORS vectors of a row.
enable subgroups;
override THREADS: u32;
override HEADS_PADDED: u32; // to a power of two
override MIN_TURNS: u32; // of a workgroup
override SUM_HEADS: u32; // heads whose sums are reduced at once
override TWINS: bool; // subgroups hold thread groups in pairs, which add their sums before they go into memory
const GROUPS_A_SUM: u32 = select(1u, 2u, TWINS);
const THREAD_GROUPS: u32 = THREADS / LANES;
const TURN: u32 = THREAD_GROUPS * TOKENS; // tokens of a workgroup a turn
const OWN: u32 = max(HEADS_PADDED / LANES, 1u); // heads whose softmax an invocation keeps
const KEEPERS: u32 = max(LANES / HEADS_PADDED, 1u); // invocations of a thread group that keep the same head
const TOKEN_RUNS: u32 = (TOKENS + KEEPERS - 1u) / KEEPERS;

var<workgroup> state_space: array<vec2f, THREAD_GROUPS * HEADS_PADDED>; // largest score and mass of each thread group and head
var<workgroup> sum_space: array<vec4f, THREAD_GROUPS / GROUPS_A_SUM * SUM_HEADS * PADDED4>;

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
  var skipped = 0u; // tokens before the first
  var hidden = 0u; // tokens read that are before the window
  if (SELECTED) {
    let of_set = of_selection * params.groups + first_head * params.groups / QUERY_HEADS;
    length = counts[of_set];
    list = of_set * params.capacity;
  } else {
    length = step[ROW_LENGTHS + row];
    if (WINDOWED) {
      let before = length - min(length, params.window);
      // turns read TOKENS tokens of one page
      skipped = before / TOKENS * TOKENS;
      hidden = before - skipped;
      length -= skipped;
    }
  }
  // depends on the row's length alone, so that a row's sums do not depend on the rows beside it
  let turns = max((length + params.wanted_splits * TURN - 1u) / (params.wanted_splits * TURN), MIN_TURNS);
  let split_tokens = turns * TURN;
  let begin = min(group.x * split_tokens, length);
  let size = min(split_tokens, length - begin);
  hidden -= min(hidden, begin);

  let lane = thread % LANES;
  let thread_group = thread / LANES;
  let group_start = subgroup_lane - lane; // of the thread group in its subgroup
  let first_own = lane / KEEPERS * OWN;
  var q: array<QueryPart, HEADS * LANE_VECTORS * VECTOR_VEC4S> = array<QueryPart, HEADS * LANE_VECTORS * VECTOR_VEC4S>();
  var query_scale: array<f32, OWN> = array<f32, OWN>(); // of the heads whose softmax the invocation keeps
  /* unroll */ for (var h = 0u; h < HEADS; h++) {
    var channels: array<vec4f, LANE_VECTORS * VECTOR_VEC4S> = array<vec4f, LANE_VECTORS * VECTOR_VEC4S>();
    /* unroll */ for (var i = 0u; i < LANE_VECTORS * VECTOR_VEC4S; i++) {
      let d = ((i / VECTOR_VEC4S * LANES + lane) * VECTOR_VEC4S + i % VECTOR_VEC4S) * 4u;
      channels[i] = load_query((row * QUERY_HEADS + first_head + h) * HEAD_DIM, d);
    }
    var whole = 1f;
    if (IS_SCALED) {
      var most = 0f;
      /* unroll */ for (var i = 0u; i < LANE_VECTORS * VECTOR_VEC4S; i++) {
        most = max(most, largest_of(channels[i]));
      }
      /* unroll */ for (var round = 0u; round < 7u; round++) {
        const width = LANES >> (round + 1u);
        if (width > 0u) {
          most = max(most, subgroupShuffleXor(most, max(width, 1u)));
        }
      }
      whole = scale_of_query(most);
      /* unroll */ for (var o = 0u; o < OWN; o++) {
        query_scale[o] = select(query_scale[o], whole, first_own + o == h);
      }
    }
    /* unroll */ for (var i = 0u; i < LANE_VECTORS * VECTOR_VEC4S; i++) {
      q[h * LANE_VECTORS * VECTOR_VEC4S + i] = query_part(channels[i], whole);
    }
  }
  var largest: array<f32, OWN> = array<f32, OWN>();
  var mass: array<f32, OWN> = array<f32, OWN>();
  /* unroll */ for (var o = 0u; o < OWN; o++) {
    largest[o] = LOWEST;
  }
  var sums: array<vec4f, HEADS * LANE_VECTORS * VECTOR_VEC4S> = array<vec4f, HEADS * LANE_VECTORS * VECTOR_VEC4S>();

  // Page look-ups run a turn ahead, behind loads that take longer.
  let origin = skipped + min(begin, length - 1u); // a workgroup without tokens prefetches, too
  var position = positions_of(thread_group * TOKENS, list, origin, size, hidden);
  var start = starts_of(position, table, kv_head, lane);
  var key = load_keys(start, lane);
  var value = load_values(start, lane);
  var scale = load_scales(start);
  for (var base = 0u; base < size; base += TURN) {
    let first = base + thread_group * TOKENS;
    let is_last = base + TURN >= size;
    let next_position = positions_of(first + TURN, list, origin, size, hidden);
    let next_start = starts_of(next_position, table, kv_head, lane);

    var own: array<f32, TOKENS * OWN> = array<f32, TOKENS * OWN>();
    /* unroll */ for (var t = 0u; t < TOKENS; t++) {
      var products: array<Sum, HEADS> = array<Sum, HEADS>();
      /* unroll */ for (var j = 0u; j < LANE_VECTORS; j++) {
        let vector = key[t * LANE_VECTORS + j];
        /* unroll */ for (var h = 0u; h < HEADS; h++) {
          products[h] = multiply_low(vector, q[(h * LANE_VECTORS + j) * VECTOR_VEC4S], products[h]);
          if (VECTOR_ELEMENTS == 8u) {
            products[h] = multiply_high(vector, q[(h * LANE_VECTORS + j) * VECTOR_VEC4S + VECTOR_VEC4S - 1u], products[h]);
          }
        }
      }
      var dots: array<Dot, HEADS_PADDED> = array<Dot, HEADS_PADDED>();
      /* unroll */ for (var h = 0u; h < HEADS; h++) {
        dots[h] = dot_of(products[h]);
      }
      // Butterfly reduction: in each round an invocation keeps half of its heads and passes the others on, until it
      // keeps OWN; then the keepers of a head add up.
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
      let is_in = is_seen(first + t, size, hidden);
      /* unroll */ for (var o = 0u; o < OWN; o++) {
        own[t * OWN + o] = select(LOWEST, score_of(dots[o], query_scale[o], scale[t].x), is_in);
      }
    }
    if (EMIT_SCORES) {
      // each keeper of a head writes one token, so that stores coalesce
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
              is_in = is_seen(first + t, size, hidden);
            }
          }
          if (is_in && first_own + o < HEADS) {
            scores[(of_selection * QUERY_HEADS + first_head + first_own + o) * params.score_capacity + place] = score;
          }
        }
      }
    }
    // the keys were consumed: prefetch those of the next turn
    var next_scale = Scales();
    if (!is_last) {
      key = load_keys(next_start, lane);
      next_scale = load_scales(next_start);
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
      // the maximum seldom grows after the first turns
      let is_shrinking = subgroupAny(has_grown);
      /* unroll */ for (var h = 0u; h < HEADS; h++) {
        let factor = subgroupShuffle(shrink[h % OWN], group_start + h / OWN * KEEPERS);
        if (is_shrinking) {
          /* unroll */ for (var i = 0u; i < LANE_VECTORS * VECTOR_VEC4S; i++) {
            sums[h * LANE_VECTORS * VECTOR_VEC4S + i] *= factor;
          }
        }
      }
      /* unroll */ for (var o = 0u; o < OWN; o++) {
        mass[o] *= shrink[o];
      }
      /* unroll */ for (var t = 0u; t < TOKENS; t++) {
        let is_in = is_seen(first + t, size, hidden);
        /* unroll */ for (var o = 0u; o < OWN; o++) {
          let weight = select(0f, exp(own[t * OWN + o] - largest[o]), is_in);
          own[t * OWN + o] = weight;
          mass[o] += weight;
          if (IS_SCALED) {
            own[t * OWN + o] *= scale[t].y;
          }
        }
      }
      /* unroll */ for (var t = 0u; t < TOKENS; t++) {
        /* unroll */ for (var h = 0u; h < HEADS; h++) {
          let weight = subgroupShuffle(own[t * OWN + h % OWN], group_start + h / OWN * KEEPERS);
          /* unroll */ for (var j = 0u; j < LANE_VECTORS; j++) {
            const at = (h * LANE_VECTORS + j) * VECTOR_VEC4S;
            sums[at] = fma(low(value[t * LANE_VECTORS + j]), vec4f(weight), sums[at]);
            if (VECTOR_ELEMENTS == 8u) {
              sums[at + VECTOR_VEC4S - 1u] = fma(high(value[t * LANE_VECTORS + j]), vec4f(weight), sums[at + VECTOR_VEC4S - 1u]);
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
    scale = next_scale;
  }
  if (ONLY_SCORES) {
    return;
  }

  /* unroll */ for (var o = 0u; o < OWN; o++) {
    if (lane % KEEPERS == 0u) {
      state_space[thread_group * HEADS_PADDED + first_own + o] = vec2f(largest[o], mass[o]);
    }
  }
  workgroupBarrier();
  let partial = ((group.z * QUERY_HEADS + first_head) * params.splits + group.x) * (PADDED4 + 1u);
  /* unroll */ for (var h0 = 0u; h0 < (HEADS + SUM_HEADS - 1u) / SUM_HEADS; h0++) {
    /* unroll */ for (var i = 0u; i < SUM_HEADS; i++) {
      const h = min(h0 * SUM_HEADS + i, HEADS - 1u);
      var top = LOWEST;
      for (var other = 0u; other < THREAD_GROUPS; other++) {
        top = max(top, state_space[other * HEADS_PADDED + h].x);
      }
      let factor = exp(state_space[thread_group * HEADS_PADDED + h].x - top);
      /* unroll */ for (var j = 0u; j < LANE_VECTORS; j++) {
        /* unroll */ for (var k = 0u; k < VECTOR_VEC4S; k++) {
          var sum = factor * sums[(h * LANE_VECTORS + j) * VECTOR_VEC4S + k];
          if (TWINS) {
            sum += subgroupShuffleXor(sum, LANES);
          }
          if ((!TWINS || thread_group % 2u == 0u) && (ROW_VECTORS % LANES == 0u || j * LANES + lane < ROW_VECTORS)) {
            sum_space[(thread_group / GROUPS_A_SUM * SUM_HEADS + i) * PADDED4 + (j * LANES + lane) * VECTOR_VEC4S + k] = sum;
          }
        }
      }
      if (thread == 0u) {
        var total = 0f;
        for (var other = 0u; other < THREAD_GROUPS; other++) {
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
        for (var other = 0u; other < THREAD_GROUPS / GROUPS_A_SUM; other++) {
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
