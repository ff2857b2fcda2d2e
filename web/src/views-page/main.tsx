/**
 * The views alone, for work on them and for tests. The query: `source=engine` (default) runs the bundled model, `source=recording`
 * replays `recording.json`, `attention`, `maxTokens`, `prompt`, `forced` (goes on past the end), `every` (milliseconds
 * between two events of a recording; left out: all at once), `from` (events before this one come at once), `view=selection|speed`.
 */
import type { Engine } from "lessismore";
import { openEngineInWorker } from "lessismore/worker";
import { render } from "preact";
import { RunRecord } from "../run/run-record.ts";
import { SelectionView } from "../selection/selection-view.tsx";
import type { Race } from "../speed/race.ts";
import "./under-test.ts";
import { RaceControls } from "../speed/race-controls.tsx";
import { SpeedView } from "../speed/speed-view.tsx";
import { type Recording, replayTrace } from "./recording.ts";
import "../style/index.css";
import "./views-page.css";

const query = new URLSearchParams(location.search);
const attention = query.get("attention") ?? "less-is-more:budget=128,layers=2+7";
const prompt =
  query.get("prompt") ??
  "<|im_start|>user\nFind qw. Arithmetic is modulo 100.\nio=26\nqw=io+7<|im_end|>\n<|im_start|>assistant\n<think>\n";
const maxTokens = Number(query.get("maxTokens") ?? 400);

globalThis.views = { frameMs: [] };

function show(record: RunRecord, engine?: Engine, race?: Race): void {
  const app = document.getElementById("app");
  if (!app) return;
  const view = query.get("view");
  render(
    <>
      <h1>The views alone</h1>
      {view !== "speed" && <SelectionView record={record} onFrame={(ms) => views.frameMs.push(ms)} />}
      {view !== "selection" && (
        <>
          <RaceControls
            engine={engine}
            promptTokenIds={promptOf(record)}
            {...{ attention, maxTokens }}
            isBusy={record.state === "running"}
            onRace={(made) => {
              views.race = made;
              show(record, engine, made);
            }}
          />
          <SpeedView record={race?.runs[0] ?? record} peer={race?.runs[1]} />
        </>
      )}
    </>,
    app,
  );
}

function promptOf(record: RunRecord): number[] {
  return Array.from({ length: record.promptLength }, (_, position) => record.tokenIdAt(position) ?? 0);
}

async function runEngine(): Promise<void> {
  const engine = await openEngineInWorker({
    model: new URL("models/pico-reasoner", document.baseURI).href,
    attention,
    ...(query.has("backend") && { backend: query.get("backend") as "wasm" }),
  });
  const { tokenIds } = await engine.tokenizePrompt({ prompt });
  const textOf = (id: number) => engine.tokenizer.decode([id]);
  const record = new RunRecord({ promptTokenIds: tokenIds, textOf, attention, engine: engine.report() });
  views.record = record;
  show(record, engine);
  const { observer } = record;
  const generation = engine.generate({
    ...{ tokenIds, maxTokens, temperature: 0, startsInReasoning: true, attention, observer },
    ignoreEos: query.has("forced"),
  });
  for await (const part of generation)
    record.add({ ...part, tokenIds: [...(part.markerTokenIds ?? []), ...part.tokenIds] });
  record.finish(await generation.result());
  show(record, engine);
}

async function replay(): Promise<void> {
  const recording = (await (await fetch(new URL("recording.json", document.baseURI))).json()) as Recording;
  let clock = 0;
  const record = new RunRecord({
    ...{ promptTokenIds: recording.promptTokenIds, attention: recording.attention, engine: recording.engine },
    textOf: (id) => recording.texts[id] ?? "",
    now: () => clock,
  });
  views.record = record;
  show(record);
  const take = ({ atMs, part, trace }: Recording["events"][number]) => {
    clock = atMs;
    if (part) record.add(part);
    if (trace) record.observer.onStep(replayTrace(trace));
  };
  const every = Number(query.get("every") ?? 0);
  if (every === 0) recording.events.forEach(take);
  else {
    const from = Number(query.get("from") ?? 0);
    recording.events.slice(0, from).forEach(take);
    await feed(recording.events.slice(from), every, take);
  }
  record.fail("the recording ends");
}

/** Gives events as a worker does: one message each. */
async function feed<T>(events: readonly T[], everyMs: number, take: (event: T) => void): Promise<void> {
  const { port1, port2 } = new MessageChannel();
  const started = performance.now();
  let numSent = 0;
  let numTaken = 0;
  await new Promise<void>((resolve) => {
    port2.onmessage = ({ data }: MessageEvent<number>) => {
      const event = events[data];
      if (event !== undefined) take(event);
      if (++numTaken === events.length) resolve();
    };
    const timer = setInterval(() => {
      const due = Math.min(events.length, Math.ceil((performance.now() - started) / everyMs));
      while (numSent < due) port1.postMessage(numSent++);
      if (numSent === events.length) clearInterval(timer);
    }, 8);
  });
}

try {
  await (query.get("source") === "recording" ? replay() : runEngine());
} catch (error) {
  views.error = String(error);
  views.record?.fail(views.error);
}
