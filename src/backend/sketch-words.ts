/**
 * Words of the sketch of a key: 16 bytes for each 32 channels, then its f32 scale. Where a sketch is one run of words, byte i of a
 * run of 32 channels holds the code + 8 of channel i in its low half, and that of channel 16 + i in its high half. Channels past
 * headDim have the code 0.
 */
export function sketchWords(headDim: number): number {
  return 4 * Math.ceil(headDim / 32) + 1;
}
