/** Kinds of job, and the one item of a job that a thread runs. */
import { attendItem, mergeItem } from "./attention";
import { linearItem, packItem } from "./linear";
import { finishItem, normItem } from "./norm-rope";
import { boundsItem, pageScoresItem, randomItem } from "./pages";
import { prefillItem } from "./prefill-attention";
import { topKItem, withEndsItem } from "./select";
import { readItem } from "./read";

export namespace Job {
  export const LINEAR: i32 = 0;
  export const NORM: i32 = 1;
  export const FINISH: i32 = 2;
  export const ATTEND: i32 = 3;
  export const MERGE: i32 = 4;
  export const PREFILL: i32 = 5;
  export const BOUNDS: i32 = 6;
  export const PAGE_SCORES: i32 = 7;
  export const RANDOM: i32 = 8;
  export const TOP_K: i32 = 9;
  export const WITH_ENDS: i32 = 10;
  export const READ: i32 = 11;
  export const PACK: i32 = 12;
}

export function runItem(job: i32, item: u32): void {
  switch (job) {
    case Job.LINEAR: linearItem(item); break;
    case Job.NORM: normItem(item); break;
    case Job.FINISH: finishItem(item); break;
    case Job.ATTEND: attendItem(item); break;
    case Job.MERGE: mergeItem(item); break;
    case Job.PREFILL: prefillItem(item); break;
    case Job.BOUNDS: boundsItem(item); break;
    case Job.PAGE_SCORES: pageScoresItem(item); break;
    case Job.RANDOM: randomItem(item); break;
    case Job.TOP_K: topKItem(item); break;
    case Job.WITH_ENDS: withEndsItem(item); break;
    case Job.READ: readItem(item); break;
    case Job.PACK: packItem(item); break;
  }
}
