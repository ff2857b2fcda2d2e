/** Colours of figures and page in both schemes. */
export type Scheme = "light" | "dark";

/**
 * Values of the variables that figures use. Any two series differ by at least 9 (100 ΔE in OKLab) in normal vision and in the three
 * kinds of colour blindness (Machado et al. 2009), and have a contrast of at least 2 to the surface; symbols say the same without colour.
 */
export const THEME: Readonly<Record<Scheme, Readonly<Record<string, string>>>> = {
  light: {
    page: "#f4f4f1",
    surface: "#fcfcfb",
    ink: "#111110",
    "ink-2": "#52514e",
    muted: "#7d7b75",
    grid: "#e4e3dc",
    accent: "#1f62b4",
    flag: "#9a5b00",
    heat: "#2a78d6",
    "on-heat": "#ffffff",
    "series-1": "#2a78d6",
    "series-2": "#e85f60",
    "series-3": "#0db3b5",
    "series-4": "#e09800",
    "series-5": "#b25789",
    "series-6": "#0d7317",
    "series-7": "#4b3195",
    "series-8": "#cc324a",
  },
  dark: {
    page: "#0f0f0e",
    surface: "#1a1a19",
    ink: "#f6f5f1",
    "ink-2": "#c3c2b7",
    muted: "#98968f",
    grid: "#31312e",
    accent: "#86b6ef",
    flag: "#f0b357",
    heat: "#6da7ec",
    "on-heat": "#0d0d0d",
    "series-1": "#39cff4",
    "series-2": "#b44800",
    "series-3": "#1eb2bd",
    "series-4": "#e6c43c",
    "series-5": "#b05bb9",
    "series-6": "#2c9d60",
    "series-7": "#aa78fc",
    "series-8": "#ff6692",
  },
};

/** The variables as CSS declarations. */
export function declarations(scheme: Scheme): string {
  return Object.entries(THEME[scheme])
    .map(([name, value]) => `--${name}:${value}`)
    .join(";");
}

/** Writes the scheme's colours in the place of variables, for programs that know none. */
export function resolveColours(svg: string, scheme: Scheme): string {
  return svg.replace(/var\(--([a-z0-9-]+)\)/g, (_, name: string) => {
    const value = THEME[scheme][name];
    if (value === undefined) throw new RangeError(`the theme has no colour ${name}`);
    return value;
  });
}
