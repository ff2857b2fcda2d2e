/**
 * Decoders of `tokenizers`, as streams: each step takes tokens one by one and outputs the text that no later token can
 * change. Decoding a list also uses a stream, so that streamed pieces always join to the decoded list.
 */
import { createByteFallback, createByteLevel } from "./byte-decoders.ts";
import type { Decoder, DecodeStep } from "./decode-step.ts";
import type { Fields } from "./fields.ts";
import { readPattern, replace } from "./normalizers.ts";
import { literalPattern } from "./pattern.ts";
import { collecting, mapping, replacing, stripping } from "./text-steps.ts";

/** Replacements of the clean-up, in order: they remove spaces before marks. */
const CLEANED: readonly (readonly [string, string])[] = [
  [" .", "."],
  [" ?", "?"],
  [" !", "!"],
  [" ,", ","],
  [" ' ", "'"],
  [" n't", "n't"],
  [" 'm", "'m"],
  [" 's", "'s"],
  [" 've", "'ve"],
  [" 're", "'re"],
];

/** @throws ModelFileError when the decoder is unknown. */
export function createDecoder(fields: Fields): Decoder {
  switch (fields.text("type")) {
    case "Sequence":
      return chain(fields.children("decoders").map(createDecoder));
    case "ByteLevel":
      return { fuses: true, open: createByteLevel };
    case "ByteFallback":
      return tokenwise(createByteFallback);
    case "Fuse":
      return { fuses: true, open: () => mapping((token) => token) };
    case "Replace":
      return replaceStep(fields);
    case "Strip":
      return stripStep(fields);
    case "Metaspace":
      return metaspace(fields);
    case "WordPiece":
      return wordPiece(fields);
    case "BPEDecoder":
      return suffix(fields.text("suffix", "</w>"));
    case "CTC":
      return ctc(fields);
    default:
      return fields.unknownType("decoder");
  }
}

/** Puts spaces between the tokens. Used by files without a decoder. */
export const spacedDecoder: Decoder = tokenwise(() => {
  let isFirst = true;
  return mapping((token) => {
    const text = isFirst ? token : ` ${token}`;
    isFirst = false;
    return text;
  });
});

/** A decoder that works on tokens. On fused input it must collect the whole text. */
function tokenwise(open: () => DecodeStep): Decoder {
  return { fuses: false, open: (isFused) => (isFused ? collecting(open()) : open()) };
}

/** Composes decoders. */
export function chain(decoders: readonly Decoder[]): Decoder {
  return {
    fuses: decoders.some((decoder) => decoder.fuses),
    open: (isFused) => {
      let fused = isFused;
      const steps = decoders.map((decoder) => {
        const step = decoder.open(fused);
        fused ||= decoder.fuses;
        return step;
      });
      const through = (tokens: readonly string[], from: number): readonly string[] =>
        steps.slice(from).reduce((made, step) => made.flatMap((token) => step.push(token)), tokens);
      return {
        push: (token) => through([token], 0),
        end: () => steps.flatMap((step, i) => through(step.end(), i + 1)),
      };
    },
  };
}

/** `clean_up_tokenization` of transformers, which applies to the whole text. */
export const cleanUp: Decoder = chain([
  { fuses: true, open: () => mapping((token) => token) },
  ...CLEANED.map(
    ([from, to]): Decoder => ({
      fuses: false,
      open: (isFused) => (isFused ? replacing(from, to) : mapping((token) => token.replaceAll(from, to))),
    }),
  ),
]);

function replaceStep(fields: Fields): Decoder {
  const content = fields.text("content");
  const literal = fields.child("pattern")?.optionalText("String");
  const inToken = replace(literal === undefined ? readPattern(fields) : literalPattern(literal), content);
  return {
    fuses: false,
    open: (isFused) => {
      if (!isFused) return mapping(inToken);
      return literal === undefined || literal === ""
        ? collecting(mapping(inToken))
        : replacing(literal, content);
    },
  };
}

function stripStep(fields: Fields): Decoder {
  const content = fields.text("content");
  const start = fields.count("start", 0, 1e6);
  const stop = fields.count("stop", 0, 1e6);
  const strip = (token: string): string => {
    const points = Array.from(token);
    let from = 0;
    while (from < Math.min(start, points.length) && points[from] === content) from++;
    let to = points.length;
    while (to > from && points.length - to < stop && points[to - 1] === content) to--;
    return points.slice(from, to).join("");
  };
  return { fuses: false, open: (isFused) => (isFused ? stripping(content, start, stop) : mapping(strip)) };
}

function metaspace(fields: Fields): Decoder {
  const sign = fields.text("replacement", "▁");
  const scheme = fields.text("prepend_scheme", fields.flag("add_prefix_space", true) ? "always" : "never");
  return tokenwise(() => {
    let isFirst = scheme !== "never";
    return mapping((token) => {
      const text = token.replaceAll(sign, isFirst ? "" : " ");
      isFirst = false;
      return text;
    });
  });
}

function wordPiece(fields: Fields): Decoder {
  const prefix = fields.text("prefix", "##");
  const cleans = fields.flag("cleanup", true);
  return tokenwise(() => {
    let isFirst = true;
    return mapping((token) => {
      const joins = isFirst || (prefix !== "" && token.startsWith(prefix));
      const text = joins ? (isFirst ? token : token.slice(prefix.length)) : ` ${token}`;
      isFirst = false;
      return cleans ? cleanToken(text) : text;
    });
  });
}

/** Cleans up a token. The decoders' own clean-up has one replacement more than `cleanUp`. */
function cleanToken(text: string): string {
  let made = text;
  for (const [from, to] of CLEANED) {
    if (from === " 's") made = made.replaceAll(" do not", " don't");
    made = made.replaceAll(from, to);
  }
  return made;
}

/** Turns the suffix of words into a space, and into nothing at the end. Holds back the last token for that. */
function suffix(mark: string): Decoder {
  return tokenwise(() => {
    let held: string | undefined;
    const take = (text: string): readonly string[] =>
      held === undefined ? [] : [mark === "" ? held : held.replaceAll(mark, text)];
    return {
      push: (token) => {
        const made = take(" ");
        held = token;
        return made;
      },
      end: () => {
        const made = take("");
        held = undefined;
        return made;
      },
    };
  });
}

function ctc(fields: Fields): Decoder {
  const pad = fields.text("pad_token", "<pad>");
  const delimiter = fields.text("word_delimiter_token", "|");
  const cleans = fields.flag("cleanup", true);
  return tokenwise(() => {
    let last: string | undefined;
    return {
      push: (token) => {
        if (token === last) return [];
        last = token;
        const text = token.replaceAll(pad, "");
        const made = cleans ? cleanToken(text).replaceAll(delimiter, " ") : text;
        return made === "" ? [] : [made];
      },
      end: () => [],
    };
  });
}
