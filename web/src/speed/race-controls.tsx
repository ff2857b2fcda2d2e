import type { Engine } from "lessismore";
import { useEffect, useRef, useState } from "preact/hooks";
import { useRecord } from "../run/use-record.ts";
import { viewTexts } from "../run/view-texts.ts";
import { Race, type RacePhase } from "./race.ts";
import "./speed-view.css";

export interface RaceControlsProps {
  /** Undefined while no model is open. */
  readonly engine: Engine | undefined;
  /** The problem of both runs. */
  readonly promptTokenIds: ArrayLike<number>;
  /** The sparse attention as a spec; full attention races against it. */
  readonly attention: string;
  /** Maximum tokens of each run. */
  readonly maxTokens: number;
  /** True while a race would disturb another run. */
  readonly isBusy?: boolean;
  /** Called when a race begins; its `runs` are the records to show. */
  readonly onRace: (race: Race) => void;
  /** Called when it has ended, however it did. */
  readonly onEnd?: (race: Race) => void;
}

const texts = viewTexts.race;

/** The button that starts and stops a race, what makes it fair, and how far it is. A race stops with its controls. */
export function RaceControls(props: RaceControlsProps) {
  const { engine, promptTokenIds, attention, maxTokens, isBusy = false, onRace, onEnd } = props;
  const [phase, setPhase] = useState<RacePhase>();
  const race = useRef<Race | undefined>(undefined);
  useRecord(phase?.name === "running" ? race.current?.runs[phase.run] : undefined);
  useEffect(() => () => race.current?.stop(), []);
  const isRunning = phase?.name === "warming up" || phase?.name === "running";
  const start = () => {
    if (!engine) return;
    const made = new Race({
      ...{ engine, promptTokenIds, maxTokens, attentions: [attention, "full"], onPhase: setPhase },
    });
    race.current = made;
    onRace(made);
    void made.start().then(() => onEnd?.(made));
  };
  return (
    <div class="race">
      <button
        type="button"
        disabled={!engine || (isBusy && !isRunning)}
        onClick={() => (isRunning ? race.current?.stop() : start())}
      >
        {isRunning ? texts.stop : texts.start}
      </button>
      <p role="status">{engine ? statusOf(phase, race.current) : texts.noEngine}</p>
      <p class="race-fair">{texts.fair(maxTokens)}</p>
    </div>
  );
}

function statusOf(phase: RacePhase | undefined, race: Race | undefined): string {
  switch (phase?.name) {
    case undefined:
      return "";
    case "done":
      return texts.done;
    case "stopped":
      return texts.stopped;
    case "failed":
      return texts.failed(phase.reason);
    case "warming up":
      return texts.warmingUp(race?.runs[phase.run]?.attention ?? "");
    case "running": {
      const record = race?.runs[phase.run];
      return record ? texts.running(record.attention, record.times.length) : "";
    }
  }
}
