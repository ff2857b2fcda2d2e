import type { RunRecord } from "../run/run-record.ts";
import { Heat, type Mark, type Palette, pack } from "./palette.ts";
import { lineOf, type StripLayout } from "./strip-layout.ts";

/** What a frame shows. */
export interface Scene {
  readonly record: RunRecord;
  readonly layout: StripLayout;
  /** CSS pixels of the strip above the view. */
  readonly top: number;
  /** The chosen token, with a ring around it. */
  readonly cursor: number | undefined;
  /** Colours of a chosen step in place of the heat (`overlay.ts`). */
  readonly overlay: Uint8Array | undefined;
  /** Always-kept tokens, of the chosen step or of the newest: the first `sinks`, and the `recent` up to `last`. */
  readonly kept: { readonly sinks: number; readonly recent: number; readonly last: number };
  /** The rows of the view of another strip, to show them as a frame: first and last position. */
  readonly frame?: readonly [from: number, to: number];
}

export interface PainterOptions {
  readonly palette: Palette;
  /** CSS font of the tokens; absent: cells without text. */
  readonly font?: string;
  /** CSS pixels between cells. */
  readonly gap: number;
}

const MARK_HEIGHT = 2;
const LEAST_ROW_WITH_LINES = 8;
/** What `lineOf` puts in place of line ends, tabs and empty texts. */
const MARKS = /[↵⇥·]/g;
const PLAIN = /^[\x20-\x7e]*$/;

/**
 * Paints the visible rows of a strip: colours on one canvas, and texts on another one above it, which changes only with the tokens
 * and the scroll position. Colours are an image of one pixel a cell, scaled up, so that a frame of 14,000 cells takes less than a
 * millisecond of script.
 */
export class StripPainter {
  readonly #colours: CanvasRenderingContext2D;
  readonly #texts: CanvasRenderingContext2D | undefined;
  readonly #cells = new OffscreenCanvas(1, 1);
  readonly #cellContext: OffscreenCanvasRenderingContext2D;
  #image: ImageData | undefined;
  #pixels = new Uint32Array(0);
  #options: PainterOptions;
  #heat: Heat;
  #overlayColours: Uint32Array;
  #width = 0;
  #height = 0;
  #ratio = 1;
  /** What the canvas of texts shows. */
  #shown: { readonly layout: StripLayout; readonly top: number; length: number } | undefined;

  /** @throws TypeError if the browser gives no 2D context */
  constructor(colours: HTMLCanvasElement, texts: HTMLCanvasElement | undefined, options: PainterOptions) {
    this.#colours = contextOf(colours);
    this.#texts = texts && contextOf(texts);
    const cells = this.#cells.getContext("2d");
    if (!cells) throw new TypeError("the strip needs a 2D canvas, which this browser does not give");
    this.#cellContext = cells;
    this.#options = options;
    this.#heat = new Heat(options.palette);
    this.#overlayColours = overlayColours(options.palette);
  }

  set options(options: PainterOptions) {
    this.#options = options;
    this.#heat = new Heat(options.palette);
    this.#overlayColours = overlayColours(options.palette);
    this.#shown = undefined;
  }

  /** Sets the size of the view in CSS pixels, for a screen with `ratio` device pixels for each. */
  resize(width: number, height: number, ratio: number): void {
    [this.#width, this.#height, this.#ratio] = [width, height, ratio];
    for (const context of [this.#colours, this.#texts]) {
      if (!context) continue;
      context.canvas.width = Math.round(width * ratio);
      context.canvas.height = Math.round(height * ratio);
      context.setTransform(ratio, 0, 0, ratio, 0, 0);
    }
    this.#shown = undefined;
  }

  paint(scene: Scene): void {
    const { layout, top } = scene;
    const { rowHeight } = layout.sizes;
    const context = this.#colours;
    context.clearRect(0, 0, this.#width, this.#height);
    const first = Math.floor(top / rowHeight);
    const last = Math.min(layout.numRows, Math.ceil((top + this.#height) / rowHeight));
    if (last > first) {
      this.#paintCells(scene, first, last);
      this.#paintMarks(scene, first, last);
      if (scene.frame) this.#paintFrame(scene, scene.frame);
      this.#paintCursor(scene);
    }
    if (this.#texts) this.#paintTexts(this.#texts, scene, first, last);
  }

  #paintCells({ record, layout, top, overlay }: Scene, first: number, last: number): void {
    const { columns, cellWidth, rowHeight } = layout.sizes;
    const rows = last - first;
    const pixels = this.#pixelsFor(columns, rows);
    pixels.fill(0);
    const [from, to] = [layout.rowStart(first), layout.rowStart(last)];
    const { packed } = this.#heat;
    const { columns: columnOf, cells: cellsOf } = layout;
    const { attendedCounts: counts, lastAttended, setsBefore, numSets, lastObserved } = record;
    let row = first - 1;
    let rowEnd = from;
    for (let position = from; position < to; position++) {
      if (position === rowEnd) rowEnd = layout.rowStart(++row + 1);
      let colour: number;
      if (overlay) colour = this.#overlayColours[overlay[position] ?? 0] ?? 0;
      else {
        const at = lastAttended[position] ?? -1;
        const share = (counts[position] ?? 0) / (numSets - (setsBefore[position] ?? 0));
        colour = packed[Heat.indexOf(share, at < 0 ? -1 : lastObserved - at)] ?? 0;
      }
      const start = (row - first) * columns + (columnOf[position] ?? 0);
      const end = start + (cellsOf[position] ?? 0);
      for (let pixel = start; pixel < end; pixel++) pixels[pixel] = colour;
    }
    if (this.#image) this.#cellContext.putImageData(this.#image, 0, 0);
    const context = this.#colours;
    context.imageSmoothingEnabled = false;
    const y = first * rowHeight - top;
    context.drawImage(
      this.#cells,
      ...([0, 0, columns, rows, 0, y, columns * cellWidth, rows * rowHeight] as const),
    );
    this.#paintGaps(layout, first, last, y);
  }

  /** Lines in the colour of the surface between cells, or between tokens of several cells. */
  #paintGaps(layout: StripLayout, first: number, last: number, y: number): void {
    const { gap, palette, font } = this.#options;
    if (gap === 0) return;
    const { columns, cellWidth, rowHeight } = layout.sizes;
    const context = this.#colours;
    context.fillStyle = palette.surface;
    const height = (last - first) * rowHeight;
    for (let row = 1; row <= last - first; row++)
      context.fillRect(0, y + row * rowHeight - gap, this.#width, gap);
    if (font === undefined)
      for (let column = 1; column <= columns; column++)
        context.fillRect(column * cellWidth - gap, y, gap, height);
    else
      for (let row = first; row < last; row++)
        for (let position = layout.rowStart(row); position < layout.rowStart(row + 1); position++)
          context.fillRect(
            layout.columnAt(position) * cellWidth,
            y + (row - first) * rowHeight,
            gap,
            rowHeight,
          );
  }

  /** Lines under the prompt, the sinks, the recent window and the answer. */
  #paintMarks(scene: Scene, first: number, last: number): void {
    const { record, layout, kept } = scene;
    const answer = record.answerFrom ?? layout.length;
    this.#underline(scene, "sinks", [0, kept.sinks], first, last);
    this.#underline(scene, "window", [kept.last + 1 - kept.recent, kept.last + 1], first, last);
    if (layout.sizes.rowHeight >= LEAST_ROW_WITH_LINES) {
      this.#underline(scene, "prompt", [kept.sinks, record.promptLength], first, last);
      this.#underline(scene, "answer", [answer, kept.last + 1 - kept.recent], first, last);
      this.#underline(scene, "answer", [Math.max(answer, kept.last + 1), layout.length], first, last);
    } else {
      // lines under most rows would hide their cells
      this.#tick(scene, "prompt", record.promptLength);
      this.#tick(scene, "answer", answer);
    }
  }

  #underline(
    { layout, top }: Scene,
    mark: Mark,
    [from, to]: readonly [number, number],
    first: number,
    last: number,
  ): void {
    const { cellWidth, rowHeight } = layout.sizes;
    const thickness = rowHeight < LEAST_ROW_WITH_LINES ? 1 : MARK_HEIGHT;
    this.#colours.fillStyle = this.#options.palette.marks[mark];
    for (let row = first; row < last; row++) {
      const start = Math.max(from, layout.rowStart(row));
      const end = Math.min(to, layout.rowStart(row + 1)) - 1;
      if (end < start) continue;
      const x = layout.columnAt(start) * cellWidth;
      const right = (layout.columnAt(end) + layout.cellsAt(end)) * cellWidth;
      this.#colours.fillRect(x, (row + 1) * rowHeight - top - thickness, right - x, thickness);
    }
  }

  /** A short line where a part begins. */
  #tick({ layout, top }: Scene, mark: Mark, position: number): void {
    if (position >= layout.length) return;
    const { cellWidth, rowHeight } = layout.sizes;
    const { row, column } = layout.placeOf(position);
    this.#colours.fillStyle = this.#options.palette.marks[mark];
    this.#colours.fillRect(column * cellWidth - 1, row * rowHeight - top, 2, rowHeight);
  }

  #paintFrame({ layout, top }: Scene, [from, to]: readonly [number, number]): void {
    if (layout.length === 0) return;
    const { rowHeight } = layout.sizes;
    const clamp = (position: number) => Math.max(0, Math.min(layout.length - 1, position));
    const y = layout.placeOf(clamp(from)).row * rowHeight - top;
    const bottom = (layout.placeOf(clamp(to)).row + 1) * rowHeight - top;
    this.#colours.strokeStyle = this.#options.palette.faintText;
    this.#colours.lineWidth = 1;
    this.#colours.strokeRect(0.5, y + 0.5, this.#width - 1, Math.max(2, bottom - y - 1));
  }

  #paintCursor({ layout, top, cursor }: Scene): void {
    if (cursor === undefined || cursor >= layout.length) return;
    const { cellWidth, rowHeight } = layout.sizes;
    const { row, column, cells } = layout.placeOf(cursor);
    this.#colours.strokeStyle = this.#options.palette.cursor;
    this.#colours.lineWidth = 2;
    this.#colours.strokeRect(
      ...([column * cellWidth, row * rowHeight - top, cells * cellWidth, rowHeight] as const),
    );
  }

  /** Writes the rows that are not there yet: the last one while tokens come, and those that a scroll brings into view. */
  #paintTexts(context: CanvasRenderingContext2D, scene: Scene, first: number, last: number): void {
    const { layout, top, record } = scene;
    const { palette, font } = this.#options;
    if (font === undefined) return;
    const { rowHeight, cellWidth } = layout.sizes;
    const [from, to] = this.#missingRows(context, layout, top, [first, last]);
    this.#shown = { layout, top, length: layout.length };
    if (to <= from) return;
    context.font = font;
    context.fillStyle = palette.text;
    context.textBaseline = "middle";
    for (let row = from; row < to; row++) {
      const y = row * rowHeight - top;
      context.clearRect(0, y, this.#width, rowHeight);
      this.#writeRow(context, record, layout, row, y + rowHeight / 2, cellWidth);
    }
  }

  /** Moves what a scroll leaves in view to its place; returns the first row to write and the one after the last. */
  #missingRows(
    context: CanvasRenderingContext2D,
    layout: StripLayout,
    top: number,
    [first, last]: readonly [number, number],
  ): readonly [number, number] {
    const shown = this.#shown;
    const { rowHeight } = layout.sizes;
    const by = shown ? top - shown.top : 0;
    const pixels = by * this.#ratio;
    const isKept = shown?.layout === layout && Math.abs(by) < this.#height && Number.isInteger(pixels);
    if (!shown || !isKept) {
      context.clearRect(0, 0, this.#width, this.#height);
      return [first, last];
    }
    if (by !== 0) {
      context.save();
      context.setTransform(1, 0, 0, 1, 0, 0);
      context.globalCompositeOperation = "copy";
      context.drawImage(context.canvas, 0, -pixels);
      context.restore();
    }
    if (by < 0) return [first, Math.min(last, Math.ceil(shown.top / rowHeight) + 1)];
    // the row at the lower edge was cut, and the last row may have more tokens
    const cut = by > 0 ? Math.floor((shown.top + this.#height) / rowHeight) : last;
    const isGrown = shown.length < layout.length && shown.length > 0;
    const grown = isGrown ? layout.placeOf(shown.length - 1).row : shown.length === 0 ? first : last;
    return [Math.max(first, Math.min(cut, grown)), last];
  }

  /** Writes a row at once if its characters all take a cell; else token by token, each within its cells. */
  #writeRow(
    context: CanvasRenderingContext2D,
    record: RunRecord,
    layout: StripLayout,
    row: number,
    y: number,
    cellWidth: number,
  ): void {
    const [from, to] = [layout.rowStart(row), layout.rowStart(row + 1)];
    const lines = Array.from({ length: to - from }, (_, i) => lineOf(record.textAt(from + i)));
    // marks are not in every font at the width of a cell
    const text = lines.join("").replace(MARKS, " ");
    const isPlain = PLAIN.test(text);
    if (isPlain) context.fillText(text, 0, y);
    for (const [i, line] of lines.entries()) {
      const x = layout.columnAt(from + i) * cellWidth;
      if (!isPlain) context.fillText(line, x, y, layout.cellsAt(from + i) * cellWidth);
      else if (line.search(MARKS) >= 0) {
        context.fillStyle = this.#options.palette.faintText;
        for (const { index, 0: mark } of line.matchAll(MARKS))
          context.fillText(mark, x + index * cellWidth, y, cellWidth);
        context.fillStyle = this.#options.palette.text;
      }
    }
  }

  #pixelsFor(columns: number, rows: number): Uint32Array {
    const known = this.#image;
    if (!known || known.width !== columns || known.height < rows) {
      this.#image = new ImageData(columns, rows + 8);
      this.#pixels = new Uint32Array(this.#image.data.buffer);
      [this.#cells.width, this.#cells.height] = [columns, rows + 8];
    }
    return this.#pixels;
  }
}

/** Colours of overlays, by their indices (`overlay.ts`). */
function overlayColours({ cell, kept, recent, heads }: Palette): Uint32Array {
  return Uint32Array.from([cell, kept, recent, ...heads], pack);
}

function contextOf(canvas: HTMLCanvasElement): CanvasRenderingContext2D {
  const context = canvas.getContext("2d");
  if (!context) throw new TypeError("the strip needs a 2D canvas, which this browser does not give");
  return context;
}
