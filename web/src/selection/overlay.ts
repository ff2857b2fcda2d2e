import type { LayerGroup, SelectedToken } from "./chosen-step.ts";
import { NUM_HEAD_COLOURS } from "./palette.ts";

/** Indices into the colours of `overlayColours`. */
const [UNSEEN, KEPT, SEEN, FIRST_HEAD] = [0, 1, 2, 3];

/**
 * The colours of tokens in a chosen step, by position up to the step's own: not seen, always kept, seen, or put there by a head.
 * tokens: of the group's selection, if it has one
 */
export function overlayOf(
  position: number,
  { sees, window }: LayerGroup,
  tokens: readonly SelectedToken[] | undefined,
): Uint8Array {
  const indices = new Uint8Array(position + 1).fill(UNSEEN);
  if (!tokens) {
    indices.fill(SEEN, sees === "window" ? Math.max(0, position + 1 - (window ?? 0)) : 0);
    return indices;
  }
  for (const { position: token, heads } of tokens) {
    const [first] = heads;
    indices[token] = first === undefined ? SEEN : first < 0 ? KEPT : FIRST_HEAD + (first % NUM_HEAD_COLOURS);
  }
  return indices;
}
