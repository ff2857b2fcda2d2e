/** Prompts of given lengths, as token ids that every vocabulary has. */

const FIRST_ID = 32;
const IDS = 200;

/** A prompt whose first tokens no other number gives, so that no cache knows it. number: up to 40,000 */
export function promptOf(length: number, number: number): readonly number[] {
  const [high, low] = [Math.floor(number / IDS) % IDS, number % IDS];
  return Array.from({ length }, (_, i) => {
    if (i === 0) return FIRST_ID + low;
    if (i === 1) return FIRST_ID + high;
    return FIRST_ID + ((i * 7919 + number * 104_729) % IDS);
  });
}

let last = Math.floor(performance.timeOrigin) % 39_000;

/** A prompt that this process has not used yet. */
export function freshPrompt(length: number): readonly number[] {
  last = (last + 1) % 40_000;
  return promptOf(length, last);
}
