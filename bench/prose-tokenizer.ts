/**
 * A real tokenizer whose streams speak prose, whatever tokens they get: weights made on a device draw tokens that make no text, and
 * a reader of real text costs the host more. It is the bundled model's.
 */
import { openTokenizer, type Tokenizer } from "../src/node/index.ts";

/** With numbers, lines and marks of several bytes, as a model that reasons writes it; no marker and no stop text. */
const TEXT =
  "Let x be the number of apples. Each of the 12 children takes 3 of them, so 36 are gone, and 48 - 36 = 12 remain.\n" +
  "We check: 12 + 36 = 48, as it should be. The second part asks for the ratio of red ones to green ones.\n\n" +
  "If a third is red, then 16 are red and 32 green; the ratio is 16 : 32, or 1 : 2. Wait, the problem says that 6 " +
  "of the green ones were sold — “naïve” counting forgets them. So 26 green ones are left, and 16 : 26 = 8 : 13.\n";

/** Tokens of the text between the places where two streams begin. */
const APART = 7;

export async function proseTokenizer(): Promise<Tokenizer> {
  const real = await openTokenizer();
  const ids = real.encode(TEXT, { addSpecialTokens: false });
  let numStreams = 0;
  return {
    ...real,
    decodeStream: (options) => {
      const stream = real.decodeStream(options);
      let at = APART * numStreams++;
      return { push: () => stream.push(ids[at++ % ids.length] ?? 0), end: () => stream.end() };
    },
  };
}
