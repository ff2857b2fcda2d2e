import type { RunRecord } from "../run/run-record.ts";
import { readPalette } from "./palette.ts";
import { cellsOf, lineOf, StripLayout, type StripSizes } from "./strip-layout.ts";
import { type Scene, StripPainter } from "./strip-painter.ts";

/** The elements of a strip: an overview of all tokens, and a part of them as text, which scrolls. */
export interface StripElements {
  /** Has the custom properties of the palette. */
  readonly root: HTMLElement;
  readonly overview: HTMLCanvasElement;
  readonly scroller: HTMLElement;
  /** As high as all rows. */
  readonly spacer: HTMLElement;
  readonly colours: HTMLCanvasElement;
  readonly texts: HTMLCanvasElement;
}

/** What of a strip its owner decides. */
export interface StripView {
  readonly cursor: number | undefined;
  readonly overlay: Uint8Array | undefined;
  /** Always-kept tokens of the chosen step; undefined: of the newest. */
  readonly kept: Scene["kept"] | undefined;
  /** Index into `TEXT_SIZES`. */
  readonly zoom: number;
}

/** CSS pixels of the text, by zoom level. */
export const TEXT_SIZES = [10, 12, 15] as const;
const ROW_HEIGHT = 1.75;
const OVERVIEW_CELLS = [10, 8, 6, 5, 4, 3.5, 3, 2.5, 2, 1.75, 1.5, 1.25, 1] as const;
/** Milliseconds between two frames while tokens come, and for those who want little motion. */
const FRAME_MS = 33;
const CALM_FRAME_MS = 500;
/** While tokens come, one of so many frames paints the overview, and the others the strip. */
const OVERVIEW_EVERY = 4;

/**
 * Draws the strip of a record: in animation frames, at most one per 33 ms, and only if something has changed.
 */
export class StripDriver {
  readonly #elements: StripElements;
  readonly #record: RunRecord;
  readonly #onFrame: ((scriptMs: number) => void) | undefined;
  readonly #overview: StripPainter;
  readonly #strip: StripPainter;
  readonly #ends: (() => void)[] = [];
  #overviewLayout = new StripLayout({ columns: 1, cellWidth: 1, rowHeight: 1 });
  #layout = new StripLayout({ columns: 1, cellWidth: 1, rowHeight: 1 });
  #view: StripView = { cursor: undefined, overlay: undefined, kept: undefined, zoom: 1 };
  #overviewSize = { width: 0, height: 0 };
  #stripSize = { width: 0, height: 0 };
  #top = 0;
  #spacerHeight = -1;
  /** True while the newest tokens stay in view. */
  #isFollowing = true;
  #frame = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  /** True if the next frame paints strip and overview. */
  #showsAll = true;
  #numFrames = 0;
  #paintedAt = Number.NEGATIVE_INFINITY;
  #isCalm: MediaQueryList;

  /** onFrame: called after each frame with the milliseconds of its script */
  constructor(elements: StripElements, record: RunRecord, onFrame?: (scriptMs: number) => void) {
    this.#elements = elements;
    this.#record = record;
    this.#onFrame = onFrame;
    const palette = readPalette(elements.root);
    this.#overview = new StripPainter(elements.overview, undefined, { palette, gap: 0 });
    this.#strip = new StripPainter(elements.colours, elements.texts, {
      palette,
      gap: 1,
      font: "12px monospace",
    });
    this.#isCalm = matchMedia("(prefers-reduced-motion: reduce)");
    this.#watch();
  }

  get layout(): StripLayout {
    return this.#layout;
  }

  get overviewLayout(): StripLayout {
    return this.#overviewLayout;
  }

  close(): void {
    for (const end of this.#ends) end();
    cancelAnimationFrame(this.#frame);
    clearTimeout(this.#timer);
  }

  /** Takes what the owner has decided; a chosen token ends the following of the newest ones. */
  show(view: StripView): void {
    const { zoom } = this.#view;
    this.#view = view;
    if (zoom !== view.zoom) this.#relayout();
    if (view.cursor !== undefined) this.#isFollowing = false;
    this.#soon(true);
  }

  /** Scrolls the newest tokens into view, and keeps them there. */
  follow(): void {
    this.#isFollowing = true;
    this.#soon(true);
  }

  /** Scrolls a token into view; centred if it is out of view. */
  reveal(position: number): void {
    this.#extend();
    if (position >= this.#layout.length) return;
    const { rowHeight } = this.#layout.sizes;
    const y = this.#layout.placeOf(position).row * rowHeight;
    const { height } = this.#stripSize;
    if (y >= this.#top && y + rowHeight <= this.#top + height) return;
    this.#isFollowing = false;
    this.#scrollTo(y - height / 2);
    this.#soon(true);
  }

  /** The token at a point of the scrolling strip, or of the overview, in CSS pixels from its corner. */
  positionAt(part: "strip" | "overview", x: number, y: number): number | undefined {
    return part === "strip"
      ? this.#layout.positionAt(x, y + this.#top)
      : this.#overviewLayout.positionAt(x, y);
  }

  #watch(): void {
    const { overview, scroller, root } = this.#elements;
    this.#ends.push(this.#record.subscribe(() => this.#soon(this.#record.state !== "running")));
    const sizes = new ResizeObserver(() => this.#measure());
    sizes.observe(scroller);
    sizes.observe(overview);
    this.#ends.push(() => sizes.disconnect());
    const scroll = () => {
      if (scroller.scrollTop === this.#top) return;
      this.#top = scroller.scrollTop;
      this.#isFollowing = this.#top + this.#stripSize.height >= this.#layout.height - 2;
      this.#soon(true);
    };
    scroller.addEventListener("scroll", scroll, { passive: true });
    this.#ends.push(() => scroller.removeEventListener("scroll", scroll));
    const recolour = () => {
      this.#recolour(root);
      this.#soon(true);
    };
    const dark = matchMedia("(prefers-color-scheme: dark)");
    dark.addEventListener("change", recolour);
    this.#ends.push(() => dark.removeEventListener("change", recolour));
    const theme = new MutationObserver(recolour);
    theme.observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme", "class"] });
    this.#ends.push(() => theme.disconnect());
  }

  #recolour(root: HTMLElement): void {
    const palette = readPalette(root);
    this.#overview.options = { palette, gap: 0 };
    this.#strip.options = { palette, gap: 1, font: this.#font };
  }

  get #font(): string {
    const family = getComputedStyle(this.#elements.texts).fontFamily;
    return `${TEXT_SIZES[this.#view.zoom]}px ${family}`;
  }

  #measure(): void {
    const { root, overview, scroller } = this.#elements;
    if (!root.isConnected) return; // it leaves the page, and has neither sizes nor colours any more
    this.#overviewSize = { width: overview.clientWidth, height: overview.clientHeight };
    this.#stripSize = { width: scroller.clientWidth, height: scroller.clientHeight };
    const ratio = devicePixelRatio;
    this.#overview.resize(this.#overviewSize.width, this.#overviewSize.height, ratio);
    this.#strip.resize(this.#stripSize.width, this.#stripSize.height, ratio);
    this.#relayout();
    this.#soon(true);
  }

  /** Places all tokens anew. */
  #relayout(): void {
    const kept = this.#isFollowing ? undefined : this.#layout.positionAt(0, this.#top);
    const size = TEXT_SIZES[this.#view.zoom] ?? TEXT_SIZES[1];
    this.#recolour(this.#elements.root);
    const context = new OffscreenCanvas(1, 1).getContext("2d");
    if (!context || this.#stripSize.width === 0) return;
    context.font = this.#font;
    const cellWidth = context.measureText("0".repeat(64)).width / 64;
    const columns = Math.max(8, Math.floor(this.#stripSize.width / cellWidth));
    this.#layout = new StripLayout({ columns, cellWidth, rowHeight: Math.round(size * ROW_HEIGHT) });
    this.#overviewLayout = new StripLayout(this.#overviewSizes(0));
    this.#extend();
    if (kept !== undefined && kept < this.#layout.length)
      this.#scrollTo(this.#layout.placeOf(kept).row * this.#layout.sizes.rowHeight);
  }

  /** The largest cells with which `length` tokens fit the overview. */
  #overviewSizes(length: number): StripSizes {
    const { width, height } = this.#overviewSize;
    const fits = (cell: number) => Math.floor(width / cell) * Math.floor(height / cell) >= length;
    const cell = OVERVIEW_CELLS.find(fits) ?? 1;
    return { columns: Math.max(1, Math.floor(width / cell)), cellWidth: cell, rowHeight: cell };
  }

  /** Places the tokens that have come. */
  #extend(): void {
    const { length } = this.#record;
    for (let position = this.#layout.length; position < length; position++)
      this.#layout.add(cellsOf(lineOf(this.#record.textAt(position))));
    const sizes = this.#overviewSizes(length);
    if (sizes.cellWidth !== this.#overviewLayout.sizes.cellWidth)
      this.#overviewLayout = new StripLayout(sizes);
    for (let position = this.#overviewLayout.length; position < length; position++)
      this.#overviewLayout.add(1);
  }

  /** Asks for a frame: at once, or when the last one is long enough ago. */
  #soon(isUrgent: boolean): void {
    if (isUrgent) this.#showsAll = true;
    if (this.#frame !== 0 || this.#stripSize.width === 0) return;
    if (isUrgent) {
      clearTimeout(this.#timer);
      this.#timer = undefined;
      this.#request();
    } else if (this.#timer === undefined) {
      const pause = this.#isCalm.matches ? CALM_FRAME_MS : FRAME_MS;
      const wait = Math.max(0, this.#paintedAt + pause - performance.now());
      this.#timer = setTimeout(() => {
        this.#timer = undefined;
        if (this.#frame === 0) this.#request();
      }, wait);
    }
  }

  #request(): void {
    this.#frame = requestAnimationFrame(() => {
      this.#frame = 0;
      const started = performance.now();
      this.#paint();
      this.#paintedAt = performance.now();
      this.#onFrame?.(this.#paintedAt - started);
    });
  }

  #paint(): void {
    this.#extend();
    const { height } = this.#layout;
    if (height !== this.#spacerHeight) {
      this.#spacerHeight = height;
      this.#elements.spacer.style.height = `${Math.max(0, height - this.#stripSize.height)}px`;
    }
    if (this.#isFollowing) this.#scrollTo(height - this.#stripSize.height);
    const record = this.#record;
    const { cursor, overlay, kept = { ...record.ends, last: record.lastObserved } } = this.#view;
    const scene = { record, cursor, overlay, kept };
    // while tokens come, a frame paints one of the two, so that none takes the time of both
    const isOverviewsTurn = this.#numFrames++ % OVERVIEW_EVERY === 0;
    if (this.#showsAll || !isOverviewsTurn)
      this.#strip.paint({ ...scene, layout: this.#layout, top: this.#top });
    if (this.#showsAll || isOverviewsTurn)
      this.#overview.paint({ ...scene, layout: this.#overviewLayout, top: 0, ...this.#visibleFrame() });
    this.#showsAll = false;
  }

  /** The tokens that the strip shows, if not all. */
  #visibleFrame(): { readonly frame?: readonly [from: number, to: number] } {
    const { rowHeight } = this.#layout.sizes;
    const from = this.#layout.rowStart(Math.floor(this.#top / rowHeight));
    const to = this.#layout.rowStart(Math.ceil((this.#top + this.#stripSize.height) / rowHeight)) - 1;
    return from === 0 && to >= this.#layout.length - 1 ? {} : { frame: [from, to] };
  }

  #scrollTo(top: number): void {
    const next = Math.max(0, Math.min(this.#layout.height - this.#stripSize.height, Math.round(top)));
    if (next === this.#top) return;
    this.#top = next;
    this.#elements.scroller.scrollTop = next;
  }
}
