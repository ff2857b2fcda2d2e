/** PNG files of figures by resvg, with a font of its own: the same picture on every machine. */
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { ConfigError } from "../../src/node/index.ts";

const PACKAGES = { renderer: "@resvg/resvg-wasm", font: "@fontsource/source-sans-3" };
const FAMILY = "Source Sans 3";
const WEIGHTS = [400, 600];
/** Pixels of the picture to one of the figure. */
const SCALE = 2;

export type PngRenderer = (svg: string) => Uint8Array;

/**
 * Loads the renderer and the font, which are optional packages.
 * @throws ConfigError if one is not installed
 */
export async function openPngRenderer(): Promise<PngRenderer> {
  const { resolve } = createRequire(import.meta.url);
  try {
    const { initWasm, Resvg } = await import("@resvg/resvg-wasm");
    const [fonts, wasm] = await Promise.all([
      Promise.all(
        WEIGHTS.map((weight) =>
          readFile(resolve(`${PACKAGES.font}/files/source-sans-3-latin-${weight}-normal.woff2`)),
        ),
      ),
      readFile(resolve(`${PACKAGES.renderer}/index_bg.wasm`)),
    ]);
    initialised ??= initWasm(wasm);
    await initialised;
    return (svg) => {
      const picture = new Resvg(svg, {
        fitTo: { mode: "zoom", value: SCALE },
        font: { fontBuffers: fonts, defaultFontFamily: FAMILY, sansSerifFamily: FAMILY },
      });
      const image = picture.render();
      try {
        return image.asPng();
      } finally {
        image.free();
        picture.free();
      }
    };
  } catch (cause) {
    throw new ConfigError(
      `PNG files need the optional packages ${PACKAGES.renderer} and ${PACKAGES.font}, which did not load (${String(cause)}); ` +
        `install them with "npm install ${PACKAGES.renderer} ${PACKAGES.font}", or write SVG files with --svg`,
      { cause },
    );
  }
}

/** resvg's module takes one initialisation a process. */
let initialised: Promise<void> | undefined;
