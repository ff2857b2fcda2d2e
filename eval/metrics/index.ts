/** Metrics of attention in sampled decode steps. */
export {
  attendedFraction,
  headOverlap,
  kvBytes,
  layerOverlap,
  outputError,
  recall,
  selectionOf,
  selectionOverlap,
  stepOverlap,
} from "./attention-metrics.ts";
export { jaccard } from "./jaccard.ts";
export { describeStep, type LayerRecord, type TraceRecord, type TraceSource } from "./trace-record.ts";
export { type LayerSummary, TraceAccumulator, type TraceSummary } from "./trace-summary.ts";
export { TRACE_EVERY, TraceWriter, type TraceWriterOptions } from "./trace-writer.ts";
