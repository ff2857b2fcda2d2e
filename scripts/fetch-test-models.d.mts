/**
 * Returns the path of a fetched model.
 * @throws Error with the command that fetches it, when it is not there
 */
export function testModel(name: "smollm2.gguf" | "gemma3.gguf"): string;
