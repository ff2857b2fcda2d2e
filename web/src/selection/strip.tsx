import { useEffect, useId, useRef, useState } from "preact/hooks";
import type { RunRecord } from "../run/run-record.ts";
import { viewTexts } from "../run/view-texts.ts";
import { StripDriver, type StripView, TEXT_SIZES } from "./strip-driver.ts";
import type { StripLayout } from "./strip-layout.ts";

interface StripProps extends Omit<StripView, "zoom"> {
  readonly record: RunRecord;
  /** The chosen token or the run in words, for screen readers. */
  readonly valueText: string;
  readonly onChoose: (position: number | undefined) => void;
  readonly onFrame?: (scriptMs: number) => void;
}

const texts = viewTexts.selection;
const PAGE_ROWS = 8;

/** The overview and the scrolling text of a run's tokens. Make a new one for another record (`key`). */
export function Strip({ record, cursor, overlay, kept, valueText, onChoose, onFrame }: StripProps) {
  const root = useRef<HTMLDivElement>(null);
  const overview = useRef<HTMLCanvasElement>(null);
  const scroller = useRef<HTMLDivElement>(null);
  const spacer = useRef<HTMLDivElement>(null);
  const colours = useRef<HTMLCanvasElement>(null);
  const canvasOfTexts = useRef<HTMLCanvasElement>(null);
  const driver = useRef<StripDriver | undefined>(undefined);
  const [zoom, setZoom] = useState(1);
  const keysId = useId();

  useEffect(() => {
    const elements = {
      ...{ root: root.current, overview: overview.current, scroller: scroller.current },
      ...{ spacer: spacer.current, colours: colours.current, texts: canvasOfTexts.current },
    };
    if (!isComplete(elements)) return;
    const made = new StripDriver(elements, record, onFrame);
    driver.current = made;
    return () => made.close();
  }, [record]);
  useEffect(
    () => driver.current?.show({ cursor, overlay, kept, zoom }),
    [record, cursor, overlay, kept, zoom],
  );
  useEffect(() => {
    if (cursor !== undefined) driver.current?.reveal(cursor);
  }, [cursor, zoom]);

  const point = (part: "strip" | "overview") => (event: MouseEvent) => {
    const box = (event.currentTarget as Element).getBoundingClientRect();
    const position = driver.current?.positionAt(part, event.clientX - box.left, event.clientY - box.top);
    if (position !== undefined) onChoose(position);
  };
  const press = (event: KeyboardEvent) => {
    const layout = driver.current?.layout;
    if (!layout || layout.length === 0 || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "Escape") onChoose(undefined);
    else {
      const next = moved(layout, event.key, cursor ?? record.length - 1);
      if (next === undefined) return;
      onChoose(next);
    }
    event.preventDefault();
  };
  return (
    <div class="strip" ref={root}>
      <div class="strip-tools">
        <button
          type="button"
          aria-label={texts.smaller}
          title={texts.smaller}
          disabled={zoom === 0}
          onClick={() => setZoom(zoom - 1)}
        >
          A−
        </button>
        <button
          type="button"
          aria-label={texts.larger}
          title={texts.larger}
          disabled={zoom === TEXT_SIZES.length - 1}
          onClick={() => setZoom(zoom + 1)}
        >
          A+
        </button>
        <button
          type="button"
          class="strip-follow"
          onClick={() => {
            onChoose(undefined);
            driver.current?.follow();
          }}
        >
          {texts.latest}
        </button>
      </div>
      <div aria-hidden="true">
        <canvas class="strip-overview" ref={overview} onClick={point("overview")} title={texts.overview} />
      </div>
      <div
        class="strip-scroller"
        ref={scroller}
        role="slider"
        tabIndex={0}
        aria-label={texts.strip}
        aria-describedby={keysId}
        aria-valuemin={0}
        aria-valuemax={Math.max(0, record.length - 1)}
        aria-valuenow={cursor ?? Math.max(0, record.length - 1)}
        aria-valuetext={valueText}
        onKeyDown={press}
        onClick={point("strip")}
      >
        <div class="strip-view">
          <canvas ref={colours} />
          <canvas ref={canvasOfTexts} />
        </div>
        <div ref={spacer} />
      </div>
      <p id={keysId} class="strip-keys">
        {texts.keys}
      </p>
    </div>
  );
}

type Complete<T> = { readonly [K in keyof T]: NonNullable<T[K]> };

function isComplete<T extends object>(elements: T): elements is T & Complete<T> {
  return Object.values(elements).every((element) => element !== null);
}

/** Where a key leads from a token; undefined for a key that leads nowhere. */
function moved(layout: StripLayout, key: string, from: number): number | undefined {
  const last = layout.length - 1;
  const byRows = (rows: number) => {
    const { row, column } = layout.placeOf(Math.min(from, last));
    const next = Math.max(0, Math.min(layout.numRows - 1, row + rows));
    return layout.nearestInRow(next, column);
  };
  const keys: Readonly<Record<string, () => number>> = {
    ArrowLeft: () => Math.max(0, from - 1),
    ArrowRight: () => Math.min(last, from + 1),
    ArrowUp: () => byRows(-1),
    ArrowDown: () => byRows(1),
    PageUp: () => byRows(-PAGE_ROWS),
    PageDown: () => byRows(PAGE_ROWS),
    Home: () => 0,
    End: () => last,
  };
  return Object.hasOwn(keys, key) ? keys[key]?.() : undefined;
}
