/** Set-ups by name: what `--preset` asks, and under which methods. */
import type { Sampling } from "./solver.ts";

export type PresetName = "paper" | "quick";

export interface PresetPart {
  readonly tasks: readonly string[];
  readonly attentions: readonly string[];
  readonly lengths: readonly number[];
  readonly problems?: number;
  readonly attempts?: number;
}

export interface Preset {
  readonly parts: readonly PresetPart[];
  readonly sampling: Sampling;
  readonly maxTokens?: number;
  /** True if a method that the model lacks something for, such as a trained gate, is left out with a note. */
  readonly leavesOut: boolean;
  /** True if the run says what it will cost before it begins. */
  readonly isEstimated: boolean;
}

/** Budgets of the paper's tables, 1K as 1024, so that blocks and pages of 64 fit them. */
const AIME_BUDGETS = [2048, 4096, 6144];
const OTHER_BUDGETS = [1024, 2048, 4096];

/**
 * paper: LessIsMore's evaluation, arXiv 2508.07101, with attempts as its second version and SeerAttention-R have them: AIME 64, GPQA 16,
 * MATH500 8; temperature 0.6, top-p 0.95, the model's own top-k; 32,768 tokens a response; Quest on pages of 64 in all layers.
 * Departures: the prompts and the grader are free of its mistakes (`--grader reference` has them), GPQA's options are shuffled, and
 * every method runs here, none is copied from another paper. quick: the bundled model in about a minute on two cores.
 */
export const PRESETS: Readonly<Record<PresetName, Preset>> = {
  paper: {
    parts: [
      { tasks: ["aime24", "aime25"], attentions: paperMethods(AIME_BUDGETS), lengths: [], attempts: 64 },
      { tasks: ["math500"], attentions: paperMethods(OTHER_BUDGETS), lengths: [], attempts: 8 },
      { tasks: ["gpqa-diamond"], attentions: paperMethods(OTHER_BUDGETS), lengths: [], attempts: 16 },
    ],
    sampling: { temperature: 0.6, topP: 0.95 },
    maxTokens: 32_768,
    leavesOut: true,
    isEstimated: true,
  },
  quick: {
    parts: [
      {
        tasks: ["registers", "variables", "graph"],
        attentions: ["full", "less-is-more", "quest:budget=256", "streaming-llm:budget=256"],
        lengths: [1024],
        problems: 10,
        attempts: 1,
      },
    ],
    sampling: { temperature: 0 },
    leavesOut: false,
    isEstimated: false,
  },
};

function paperMethods(budgets: readonly number[]): string[] {
  return [
    "full",
    ...["less-is-more:budget=", "tidal-decode:budget=", "quest:page=64,dense-layers=0,budget="].flatMap(
      (spec) => budgets.map((budget) => spec + budget),
    ),
    ...budgets.map((budget) => `seer-attention-r:budget=${budget}`),
  ];
}
