/** Colours of the strip, from the CSS custom properties of its element, so that a theme changes them in one place. */

export type Rgb = readonly [red: number, green: number, blue: number];

export interface Palette {
  readonly surface: string;
  readonly text: string;
  readonly faintText: string;
  readonly cursor: string;
  readonly marks: Readonly<Record<Mark, string>>;
  /** A token that no set had. */
  readonly cell: Rgb;
  /** A token that was attended to long ago, or in the last step. */
  readonly old: Rgb;
  readonly recent: Rgb;
  /** A token of the chosen selection that is always kept. */
  readonly kept: Rgb;
  /** By head of the chosen selection, in turn. */
  readonly heads: readonly Rgb[];
}

export type Mark = "prompt" | "sinks" | "window" | "answer";

export const NUM_HEAD_COLOURS = 8;

/**
 * Reads the palette of an element, each colour as the browser resolves it there, `light-dark()` included.
 * @throws TypeError if a property is missing
 */
export function readPalette(element: Element): Palette {
  const probe = document.createElement("span");
  probe.hidden = true;
  element.append(probe);
  try {
    const rgb = (name: string) => {
      probe.style.color = "";
      probe.style.color = `var(--selection-${name})`;
      return parseColour(getComputedStyle(probe).color, `--selection-${name}`);
    };
    const css = (name: string) => cssOf(rgb(name));
    return {
      ...{ surface: css("surface"), text: css("text"), faintText: css("faint-text"), cursor: css("cursor") },
      marks: {
        ...{ prompt: css("prompt"), sinks: css("sinks"), window: css("window"), answer: css("answer") },
      },
      ...{ cell: rgb("cell"), old: rgb("old"), recent: rgb("recent"), kept: rgb("kept") },
      heads: Array.from({ length: NUM_HEAD_COLOURS }, (_, head) => rgb(`head-${head}`)),
    };
  } finally {
    probe.remove();
  }
}

/** Reads a colour as computed styles have it, such as "rgb(18, 81, 75)". @throws TypeError for any other form */
export function parseColour(text: string, name: string): Rgb {
  const numbers = /^rgb\((\d+),? (\d+),? (\d+)\)$/.exec(text);
  if (!numbers)
    throw new TypeError(`the colour ${name} must be opaque and in sRGB, such as #12514b, and is "${text}"`);
  return [Number(numbers[1]), Number(numbers[2]), Number(numbers[3])];
}

function mix(from: Rgb, to: Rgb, share: number): Rgb {
  const part = (i: 0 | 1 | 2) => Math.round(from[i] + (to[i] - from[i]) * share);
  return [part(0), part(1), part(2)];
}

/** Levels of each of the two: more cannot be told apart. */
const LEVELS = 16;
/** Steps after which an attended token looks as old as any. */
const OLD_STEPS = 512;

/** The colours of tokens, packed for image data (0xAABBGGRR), and as CSS for the same indices. */
export class Heat {
  readonly packed: Uint32Array;
  readonly css: readonly string[];

  constructor({ cell, old, recent }: Palette) {
    const colours: Rgb[] = [cell];
    for (let share = 0; share < LEVELS; share++)
      for (let age = 0; age < LEVELS; age++) {
        const hue = mix(recent, old, age / (LEVELS - 1));
        colours.push(mix(cell, hue, 0.15 + (0.85 * share) / (LEVELS - 1)));
      }
    this.packed = Uint32Array.from(colours, pack);
    this.css = colours.map(cssOf);
  }

  /**
   * The index of a colour. share: of the sets since the token came, those that had it, 0 to 1. age: steps since the last one that
   * attended to it; negative if none did.
   */
  static indexOf(share: number, age: number): number {
    if (age < 0 || !(share > 0)) return 0;
    const often = OFTEN_LEVELS[share >= 1 ? SHARE_PARTS : (share * SHARE_PARTS) | 0] ?? 0;
    return 1 + often * LEVELS + (AGE_LEVELS[age < OLD_STEPS ? age : OLD_STEPS] ?? 0);
  }
}

/** Tables in place of roots and logarithms, which a frame of 8,000 tokens would compute twice for each. */
const SHARE_PARTS = 255;
const OFTEN_LEVELS = Uint8Array.from({ length: SHARE_PARTS + 1 }, (_, part) =>
  Math.round(Math.sqrt(part / SHARE_PARTS) * (LEVELS - 1)),
);
const AGE_LEVELS = Uint8Array.from({ length: OLD_STEPS + 1 }, (_, age) =>
  Math.round((Math.log2(1 + age) / Math.log2(1 + OLD_STEPS)) * (LEVELS - 1)),
);

export function pack([red, green, blue]: Rgb): number {
  return (0xff000000 | (blue << 16) | (green << 8) | red) >>> 0;
}

export function cssOf([red, green, blue]: Rgb): string {
  return `rgb(${red} ${green} ${blue})`;
}
