import { type GgufVocabulary, type SpecialName, TOKEN_TYPE } from "./vocabulary.ts";

/** Tokens by name that end an answer in the models that have them, as llama.cpp collects them. */
const END_NAMES: ReadonlySet<string> = new Set([
  "<|eot_id|>",
  "<|eom_id|>",
  "<|im_end|>",
  "<|end|>",
  "<|return|>",
  "<|call|>",
  "<|flush|>",
  "<|calls|>",
  "<end_of_turn>",
  "<turn|>",
  "<|endoftext|>",
  "<|end_of_text|>",
  "<｜end▁of▁sentence｜>",
  "<EOT>",
  "_<EOT>",
  "[EOT]",
  "[EOS]",
  "<end_of_utterance>",
  "<|fim_pad|>",
  "<fim-pad>",
  "<fim_pad>",
  "<|fim_repo|>",
  "<|repo_name|>",
  "<fim-repo>",
  "<reponame>",
  "<|file_sep|>",
]);

/** Names that are plain text in some vocabularies, such as HTML tags in Gemma's: they count if the file types them as control. */
const END_NAMES_OF_CONTROL: ReadonlySet<string> = new Set(["</s>", "<eos>", "<PAD>", "[PAD]", "<REPO>"]);

const END_SPECIAL: readonly SpecialName[] = ["eos", "eot", "eom", "fimPad", "fimRepository", "fimSeparator"];

/**
 * Collects the ids of the tokens that end an answer, in ascending order: those that the file names (eos, eot, eom and the
 * ends of infilling) and those known by their names. In OpenAI's Harmony format `<|end|>` ends a message, not the answer.
 */
export function endTokenIds({ tokens, typeOf, special }: GgufVocabulary): readonly number[] {
  const named = new Map<string, number>();
  for (let id = 0; id < tokens.length; id++) {
    const token = tokens[id] ?? "";
    if (END_NAMES.has(token) || (END_NAMES_OF_CONTROL.has(token) && typeOf(id) === TOKEN_TYPE.control))
      named.set(token, id);
  }
  const has = (...names: readonly string[]) => names.every((name) => named.has(name));
  if (has("<|return|>", "<|call|>") || has("<|calls|>", "<|flush|>")) named.delete("<|end|>");
  const ids = new Set(named.values());
  for (const name of END_SPECIAL) {
    const id = special.get(name);
    if (id !== undefined) ids.add(id);
  }
  return [...ids].sort((a, b) => a - b);
}
