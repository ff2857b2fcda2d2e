/** Styles in which models write calls of tools. */

/**
 * - hermes: `<tool_call>{"name": …, "arguments": …}</tool_call>`, of Qwen and Hermes.
 * - llama3: `{"name": …, "parameters": …}` as the whole answer, or behind `<|python_tag|>`.
 * - mistral: `[TOOL_CALLS][{"name": …, "arguments": …}, …]`.
 * - mistral-args: `[TOOL_CALLS]name[ARGS]{…}`, of newer Mistral models.
 */
export type ToolStyle = "hermes" | "llama3" | "mistral" | "mistral-args";

/** Finds the style in the texts of a model's chat templates; undefined if they show none of these. */
export function detectToolStyle(templates: readonly string[]): ToolStyle | undefined {
  const text = templates.join("\n");
  // Qwen3-Coder writes XML between the markers
  if (text.includes("<tool_call>")) return text.includes("<function=") ? undefined : "hermes";
  if (text.includes("[TOOL_CALLS]")) return text.includes("[ARGS]") ? "mistral-args" : "mistral";
  return /<\|python_tag\|>|ipython/.test(text) && text.includes("parameters") ? "llama3" : undefined;
}

/** The text that begins calls, and the text that ends one. */
export const MARKERS: Readonly<Record<ToolStyle, { readonly open: string; readonly close?: string }>> = {
  hermes: { open: "<tool_call>", close: "</tool_call>" },
  llama3: { open: "<|python_tag|>" },
  mistral: { open: "[TOOL_CALLS]" },
  "mistral-args": { open: "[TOOL_CALLS]" },
};
