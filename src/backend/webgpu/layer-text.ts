/** The files and constants of the layer kernel for the formats and sizes of its stages. */
import { formatCode, type WeightFormat } from "../../base/weight-format.ts";
import type { GpuContext } from "./context.ts";
import { reducePrelude, subgroupConstants } from "./device-traits.ts";
import type { Stage } from "./layer-stages.ts";
import type { Constants, ShaderFile } from "./shader.ts";
import { isQuantised, PIECE, rowVectors, vectorElements } from "./weight-rows.ts";

/** A stage with all that its text depends on. */
export interface StageText {
  /** Replaces STAGE. */
  readonly name: "o" | "gate_up" | "down" | "input" | "value";
  readonly stage: Stage;
  readonly format: WeightFormat;
  readonly cols: number;
  /** RMS norm of the vector first. */
  readonly isNormed: boolean;
}

/** Files of stages, with the preludes that their formats need. */
export function stageFiles(stages: readonly StageText[]): ShaderFile[] {
  const files: ShaderFile[] = ["storage", "shuffle-subgroups", "layer-mailbox"];
  if (stages.some(({ format }) => isQuantised(format))) files.push("packed-dot", "nibbles", "quants");
  for (const { name, format } of stages)
    if (isQuantised(format))
      files.push(
        name === "value" ? "rows-of-input:value" : `rows:${name}`,
        `weights-${format}:${name}`,
        `dot-${format}:${name}`,
        `layer-stage-quantised:${name}`,
      );
    else files.push(`layer-stage:${name}`);
  return files;
}

/** reduceGroups: of a workgroup. */
export function stageConstants(stages: readonly StageText[], reduceGroups: number): Constants {
  const spans = stages.flatMap(({ stage }) => (stage.kind === "quantised" ? [stage.span] : []));
  const floats = stages.find(({ format }) => !isQuantised(format));
  const all = (kind: Stage["kind"]) =>
    Math.max(0, ...stages.filter(({ stage }) => stage.kind === kind).map(({ stage }) => stage.all));
  return {
    DTYPE: formatCode(floats?.format ?? "f32"),
    ...(spans.length > 0 && { SPAN: Math.max(...spans) }),
    SPACE: all("float"),
    SUM_WORDS: Math.max(reduceGroups * all("float"), all("quantised")),
    ...Object.assign({}, ...stages.map(constantsOf)),
  };
}

function constantsOf({ name, stage, format, cols, isNormed }: StageText): Constants {
  const shared = {
    [`ROWS_${name}`]: stage.rows,
    [`TURNS_${name}`]: stage.turns,
    [`NORM_${name}`]: isNormed,
  };
  if (stage.kind === "float")
    return {
      ...shared,
      [`STRIDE_${name}`]: cols / vectorElements(format),
      [`STRIP_${name}`]: stage.strip,
    };
  return {
    ...shared,
    [`STRIDE_${name}`]: rowVectors(format, cols),
    [`PIECES_${name}`]: cols / PIECE,
    [`CHUNK_${name}`]: stage.chunk,
    [`SPAN_${name}`]: stage.span,
    [`STRIPS_${name}`]: stage.strips,
  };
}

/**
 * How the kernel's last stage stores keys and values of heads without norms: where it computes them, or for a q8 cache in
 * workgroups that see a head whole.
 */
export function headStore(
  { cacheDtype, model, traits }: GpuContext,
  threads: number,
): { readonly files: readonly ShaderFile[]; readonly constants: Constants; readonly workgroups: number } {
  if (cacheDtype !== "q8")
    return {
      files: ["layer-store-floats"],
      constants: { CACHE_IS_F16: cacheDtype === "f16" },
      workgroups: 0,
    };
  return {
    files: [reducePrelude(traits, threads), "int8-rows", "layer-store-int8"],
    constants: { LANES: threads, ...subgroupConstants(traits) },
    // for each head of keys and of values
    workgroups: 2 * model.numKvHeads,
  };
}
