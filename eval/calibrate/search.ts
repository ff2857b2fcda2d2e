import { ConfigError, type Engine } from "../../src/node/index.ts";
import {
  type Candidate,
  type CandidateOptions,
  firstCandidates,
  hasSelectionLayers,
  nearCandidates,
} from "./candidates.ts";
import { chooseSetting, confidenceOf, keepBest, type Measured, mean, standardErrorOf } from "./choose.ts";
import { type ForcedText, measureDivergence } from "./divergence.ts";
import type { Pace } from "./pace.ts";
import { type LayerRecall, traceRecall } from "./recall.ts";

/** What was measured of a candidate. */
export interface Ranked extends Candidate {
  /** Mean divergence from full attention in nats a token, and its standard error over blocks of steps. */
  readonly divergence: number;
  readonly standardError: number;
  readonly attendedFraction: number;
  readonly steps: number;
}

export interface Search {
  /** The candidates of the last round, nearest to full attention first. */
  readonly finalists: readonly Ranked[];
  /** The candidates of the first round, in their order. */
  readonly first: readonly Ranked[];
  readonly chosen: Ranked;
  /** Share of resamples of the steps in which the chosen candidate would have been chosen. */
  readonly confidence: number;
  /** Recall of layers, if the policy has selection layers. */
  readonly recall?: LayerRecall;
  /** What the time did not suffice for, for people. */
  readonly leftOut: readonly string[];
}

export interface SearchOptions {
  readonly candidates: CandidateOptions & { readonly numKvHeads: number };
  /** The first text tries all candidates, the others the best. */
  readonly texts: readonly ForcedText[];
  /** Candidates that read more are left out. */
  readonly maxRead: number;
  /** Divergence that does not matter: among candidates below it, the one that reads least is chosen. Undefined: the nearest is. */
  readonly tolerance: number | undefined;
  readonly pace: Pace;
  readonly signal: AbortSignal;
  readonly onRound?: (doing: string) => void;
}

/** Candidates that go on after each round. */
const KEPT = [6, 5, 4];
/** Share of the time left that a round may take; what follows needs the rest. */
const ROUND_SHARE = 0.5;

interface Round {
  readonly measured: readonly Measured[];
  /** Candidates that did not fit into the time. */
  readonly leftOut: number;
}

/**
 * Looks for the setting that keeps nearest to full attention for its bytes: recall proposes sets of layers, then rounds measure the divergence of
 * fewer candidates on more text. @throws ConfigError if nothing can be measured; as `engine.scoreEach`
 */
export async function searchSettings(
  engine: Pick<Engine, "score" | "scoreEach">,
  options: SearchOptions,
): Promise<Search> {
  const { texts, maxRead, tolerance } = options;
  const leftOut: string[] = [];
  const recall = await propose(engine, options);
  const first = await measure(engine, firstCandidates(options.candidates, recall).map(start), 0, options);
  if (first.leftOut > 0) leftOut.push(`${first.leftOut} settings of the first round`);
  if (first.measured.length === 0)
    throw new ConfigError(
      "the time does not suffice to measure a single setting; give more --minutes, or a smaller --budget",
    );
  const kept = keepBest(affordable(first.measured, maxRead), KEPT[0] ?? 1).map(({ candidate }) => candidate);
  const near = nearCandidates(options.candidates, kept, recall);
  // What made them the best of the first round was chance too: from here on they are measured anew, beside those near them.
  let best: readonly Measured[] = [...kept, ...near].map(start);
  for (let round = 1; round < texts.length; round++) {
    const found = await measure(engine, best, round, options);
    if (found.measured.length < Math.min(2, best.length)) {
      leftOut.push(`texts ${round + 1} to ${texts.length}`);
      break;
    }
    if (found.leftOut > 0) leftOut.push(`${found.leftOut} settings of text ${round + 1}`);
    const within = affordable(found.measured, maxRead);
    best = round + 1 < texts.length ? keepBest(within, KEPT[round] ?? KEPT.at(-1) ?? 1) : within;
  }
  if (best.some(({ nats }) => nats.length === 0)) best = keepBest(affordable(first.measured, maxRead), 1);
  const chosen = chooseSetting(best, tolerance);
  return {
    first: first.measured.map(rank),
    finalists: [...best].sort((a, b) => mean(a.nats) - mean(b.nats)).map(rank),
    chosen: rank(chosen),
    confidence: confidenceOf(best, chosen, tolerance),
    ...(recall && { recall }),
    leftOut,
  };
}

async function propose(
  engine: Pick<Engine, "score">,
  { candidates, texts: [text], pace, signal, onRound }: SearchOptions,
): Promise<LayerRecall | undefined> {
  const { policy, globalLayers, tokenBudget, numKvHeads } = candidates;
  if (!hasSelectionLayers(policy) || globalLayers.length === 0 || text === undefined) return undefined;
  onRound?.("recall of each layer's selection");
  return traceRecall(engine, text, { policy, tokenBudget, layers: globalLayers, numKvHeads, pace, signal });
}

/**
 * Measures candidates on a text, as many of them as the time allows, in their order. If they seem too many, those that fit go first: a
 * pace of few rows is slower than that of many.
 */
async function measure(
  engine: Pick<Engine, "scoreEach">,
  candidates: readonly Measured[],
  round: number,
  options: SearchOptions,
): Promise<Round> {
  const { texts, pace, onRound } = options;
  const text = texts[round];
  if (text === undefined || candidates.length === 0) return { measured: candidates, leftOut: 0 };
  const size = { tokens: text.from, steps: text.tokenIds.length - text.from };
  const measured: Measured[] = [];
  for (const share of [ROUND_SHARE, ROUND_SHARE / 2]) {
    const left = candidates.slice(measured.length);
    const fitting = left.slice(0, pace.settingsWithin(share, size));
    if (fitting.length === 0) break;
    onRound?.(`text ${round + 1} of ${texts.length}: ${fitting.length} settings`);
    measured.push(...(await measureAll(engine, fitting, text, options)));
  }
  return { measured, leftOut: candidates.length - measured.length };
}

async function measureAll(
  engine: Pick<Engine, "scoreEach">,
  candidates: readonly Measured[],
  text: ForcedText,
  { pace, signal }: SearchOptions,
): Promise<Measured[]> {
  const attentions = candidates.map(({ candidate }) => candidate.spec);
  const found = await measureDivergence(engine, text, { attentions, signal });
  const rows = (candidates.length + 1) * (text.tokenIds.length - text.from);
  const [one] = found;
  if (one) pace.took(one.timings, { tokens: text.from, rows });
  return candidates.map(({ candidate, nats, attendedFraction }, i) => ({
    candidate,
    nats: [...nats, ...(found[i]?.nats ?? [])],
    attendedFraction: found[i]?.attendedFraction ?? attendedFraction,
  }));
}

/** Those within the cost; if there are none, the cheapest. */
function affordable(candidates: readonly Measured[], maxRead: number): readonly Measured[] {
  const kept = candidates.filter(({ attendedFraction }) => attendedFraction <= maxRead);
  if (kept.length > 0) return kept;
  return candidates.length === 0
    ? []
    : [candidates.reduce((a, b) => (b.attendedFraction < a.attendedFraction ? b : a))];
}

function start(candidate: Candidate): Measured {
  return { candidate, nats: [], attendedFraction: 1 };
}

function rank({ candidate, nats, attendedFraction }: Measured): Ranked {
  return {
    ...candidate,
    divergence: mean(nats),
    standardError: standardErrorOf(nats),
    attendedFraction,
    steps: nats.length,
  };
}
