/** What `lessismore calibrate` does; the command line loads it when it runs. */
import {
  bundledModelFolder,
  type CheckpointReport,
  ConfigError,
  type Engine,
  inspectCheckpoint,
  ModelFileError,
  type NodeEngineOptions,
  openEngine,
  storeCalibration,
} from "../../src/node/index.ts";
import { replaceJson } from "../attempts/replace-file.ts";
import type { CalibratedPolicy } from "../calibrate/candidates.ts";
import { type Checked, checkSettings } from "../calibrate/check.ts";
import {
  describeCheck,
  describeRace,
  describeSearch,
  divergenceMap,
  recallMap,
} from "../calibrate/describe.ts";
import { Pace } from "../calibrate/pace.ts";
import { bestRunner, type Race, raceProblems } from "../calibrate/race.ts";
import { racersOf, withSpec } from "../calibrate/racers.ts";
import { type Search, searchSettings } from "../calibrate/search.ts";
import { calibrationOf } from "../calibrate/store.ts";
import { makeForcedProblems, makeTexts } from "../calibrate/texts.ts";
import type { TaskName } from "../problems/index.ts";
import type { CommandHost } from "./command-host.ts";

/** The command's options, checked one by one. */
export interface CalibrateCommand {
  readonly model?: string;
  readonly policy: CalibratedPolicy;
  readonly tokenBudget?: number;
  readonly textFile?: string;
  readonly tasks: readonly TaskName[];
  /** Problems of each task and length in the race. */
  readonly problems: number;
  readonly steps: number;
  /** The nearest setting that reads no more of the cache is wanted. Undefined: the cheapest of those that are near. */
  readonly maxRead: number | undefined;
  /** Divergence that does not matter, where the cheapest is wanted. */
  readonly tolerance: number;
  /** Minutes for the search and the check; Infinity for as long as they take. */
  readonly minutes: number;
  readonly seed: number;
  /** Makes the setting that of requests that name no attention. */
  readonly isDefault: boolean;
  readonly isDry: boolean;
  readonly out?: string;
  readonly json: boolean;
  readonly place: Pick<
    NodeEngineOptions,
    "backend" | "dtype" | "threads" | "contextLength" | "cacheDtype" | "device"
  >;
}

type Named = CalibrateCommand & { readonly model: string };

/** Texts of the search, and of the check. */
const [SEARCH_TEXTS, CHECK_TEXTS] = [4, 3];
/** Tokens before the forced steps, for each token of the budget. */
const PREFIX_PER_BUDGET = 4;
const [LEAST_BUDGET, MOST_BUDGET] = [8, 512];
const CHECKED_STEPS = 160;
/** Share of the time in which the model's own text may be written, the search made, and problems solved. */
const [WRITING_SHARE, SEARCH_SHARE, RACE_SHARE] = [0.25, 0.75, 0.85];
/** Lengths of the problems that settings solve. */
const SOLVED_LENGTHS = [2048, 4096];
interface Result extends Search {
  readonly policy: CalibratedPolicy;
  readonly text: string;
  readonly checked: readonly Checked[];
  readonly race?: Race;
  readonly seconds: number;
}

/** Runs the command. @returns the exit code */
export async function runCalibrate(command: CalibrateCommand, host: CommandHost): Promise<number> {
  const model = command.model ?? bundledModelFolder();
  host.progress.show(() => `opening ${model}`);
  const engine = await openEngine({ ...command.place, model, signal: host.signal });
  try {
    const report = await inspectCheckpoint(model, { attention: "full" });
    if (!report.tokenizer)
      throw new ModelFileError(
        `calibrating ${report.name}: it has no tokenizer that can be read, and texts are measured; put its tokenizer.json beside the weights`,
      );
    host.progress.erase();
    host.begin();
    const result = await calibrate(engine, report, { ...command, model }, host);
    const file = await store({ ...command, model }, report, result);
    const { stdout } = host;
    if (command.json) stdout.write(`${JSON.stringify({ model: report.name, ...result, file })}\n`);
    else stdout.write(describe(result, file));
    return 0;
  } finally {
    await engine.close();
  }
}

async function calibrate(
  engine: Engine,
  report: CheckpointReport,
  command: Named,
  { signal, progress }: CommandHost,
): Promise<Result> {
  const startedAt = performance.now();
  const { policy, steps, seed, maxRead = 1, minutes, tasks, textFile } = command;
  const tolerance = command.maxRead === undefined ? command.tolerance : undefined;
  const tokenBudget = budgetOf(command, engine.report().model.contextLength);
  const layers = report.attention.layers;
  const globalLayers = layers.flatMap(({ role, layer }) => (role === "sliding window" ? [] : [layer]));
  const writing = new Pace(minutes * WRITING_SHARE);
  progress.show(() => "making texts");
  const source = { tasks, ...(textFile !== undefined && { file: textFile }) };
  const { texts, from: text } = await makeTexts(engine, source, {
    steps: [
      ...Array.from({ length: SEARCH_TEXTS }, () => steps),
      ...Array.from({ length: CHECK_TEXTS }, () => Math.min(steps * 2, CHECKED_STEPS)),
    ],
    ...{ prefix: PREFIX_PER_BUDGET * tokenBudget, seed, signal, hasTime: () => writing.leftMs > 0 },
  });
  const spentMinutes = (performance.now() - startedAt) / 60_000;
  const search = await searchSettings(engine, {
    candidates: { policy, tokenBudget, globalLayers, numLayers: report.layers, numKvHeads: report.kvHeads },
    ...{ texts: texts.slice(0, SEARCH_TEXTS), maxRead, tolerance, signal },
    pace: new Pace(minutes * SEARCH_SHARE - spentMinutes),
    onRound: (doing) => progress.show(() => doing),
  });
  const race = await raceFinalists(engine, command, search, { signal, progress, startedAt });
  const best = bestRunner(race?.settings ?? [], tolerance === undefined ? undefined : 0)?.spec;
  const chosen = withSpec(search, best) ?? search.chosen;
  progress.show(() => "checking on other text");
  const specs = [chosen.spec, `${policy}:budget=${tokenBudget}`, `oracle-top-k:budget=${tokenBudget}`];
  const checked = await checkSettings(engine, texts.slice(SEARCH_TEXTS), {
    ...{ specs: [...new Set(specs)], signal },
    hasTime: () => performance.now() - startedAt < 60_000 * minutes,
  });
  progress.erase();
  const seconds = (performance.now() - startedAt) / 1000;
  return { ...search, policy, text, chosen, checked, ...(race && { race }), seconds };
}

/** Solves held-out problems of the tasks under full attention, the chosen setting, and its nearest rivals. */
async function raceFinalists(
  engine: Engine,
  { tasks, problems, seed, maxRead, minutes, tolerance }: Named,
  search: Search,
  { signal, progress, startedAt }: Pick<CommandHost, "signal" | "progress"> & { readonly startedAt: number },
): Promise<Race | undefined> {
  if (tasks.length === 0 || problems === 0) return undefined;
  const { contextLength } = engine.report().model;
  const lengths = SOLVED_LENGTHS.filter((length) => length < contextLength).map((length) =>
    tasks.map((task) =>
      makeForcedProblems(engine.tokenizer, [task], { length, count: problems, seed: seed + 1000 }),
    ),
  );
  const blocks = Array.from({ length: problems }, (_, block) =>
    lengths.map((length) => length.flatMap((problemsOfTask) => problemsOfTask[block] ?? [])),
  );
  const near = { tolerance: Math.max(tolerance, search.chosen.divergence), maxRead: maxRead ?? 1 };
  // Reads count in longer caches too where they are limited: a budget in proportion to the length spends what they may be.
  const shortest = maxRead === undefined || lengths.length < 2 ? undefined : SOLVED_LENGTHS[0];
  return raceProblems(engine, blocks, {
    specs: racersOf(search, near, shortest),
    ...{ maxRead: maxRead ?? 1, signal },
    pace: new Pace(minutes * RACE_SHARE - (performance.now() - startedAt) / 60_000),
    onBlock: (block, settings) =>
      progress.show(() => `problems ${block + 1} of ${problems}: ${settings} settings`),
  });
}

function budgetOf({ tokenBudget, steps }: CalibrateCommand, contextLength: number): number {
  const most = Math.floor((contextLength - Math.max(steps, CHECKED_STEPS) - 1) / PREFIX_PER_BUDGET);
  const budget = tokenBudget ?? Math.min(MOST_BUDGET, 2 ** Math.floor(Math.log2(Math.max(1, most))));
  if (most < LEAST_BUDGET)
    throw new ConfigError(
      `calibration needs a context of ${PREFIX_PER_BUDGET * LEAST_BUDGET + CHECKED_STEPS + 1} tokens or more, and this one holds ${contextLength}: so short a context gains nothing from sparse attention`,
    );
  if (budget > most || budget < LEAST_BUDGET)
    throw new ConfigError(
      `a budget of ${budget} needs texts of ${PREFIX_PER_BUDGET * budget} tokens and ${CHECKED_STEPS} steps, and the context holds ${contextLength}; ` +
        `give a --budget from ${LEAST_BUDGET} to ${most}`,
    );
  return budget;
}

/** Writes the calibration. Returns its path. @throws ModelFileError */
async function store(
  { model, policy, out, isDry, isDefault }: Named,
  { identity, files }: CheckpointReport,
  { chosen, confidence, checked, race, text }: Result,
): Promise<string | undefined> {
  if (isDry) return undefined;
  const { spec: setting, divergence, standardError, attendedFraction } = chosen;
  const measured = {
    ...{ setting, divergence, standardError, attendedFraction, confidence, text, checked },
    ...(race && { race }),
  };
  const finding = { policy, identity, chosen, isDefault, measured };
  if (out === undefined)
    return storeCalibration(model, { identity, files }, (found) => calibrationOf(finding, found));
  await replaceJson(out, calibrationOf(finding, undefined));
  return out;
}

function describe(result: Result, file: string | undefined): string {
  const { recall, checked, race, seconds, text } = result;
  const parts = [
    recallMap(recall),
    divergenceMap(result),
    describeSearch(result),
    ...(race ? [describeRace(race)] : []),
    `${describeCheck(checked)}  text: ${text}\n`,
    `${file === undefined ? "nothing written" : `written to ${file}`} after ${seconds.toFixed(0)} s\n`,
  ];
  return parts.filter((part) => part !== "").join("\n");
}
