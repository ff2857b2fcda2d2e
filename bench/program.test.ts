import { expect, test } from "vitest";
import { createProgram } from "./program.ts";

test.each(
  createProgram().commands.map((command) => [command.name(), command] as const),
)("help of %s shows every default as it is typed", (_, command) => {
  const help = command.helpInformation();
  expect(help).toContain("Usage: bench");
  expect(help).not.toMatch(/[{}]|\[object|default: \[/);
});

test("help of efficiency names its default shape and lists", () => {
  const help = createProgram()
    .commands.find((command) => command.name() === "efficiency")
    ?.helpInformation()
    .replaceAll(/\s+/g, " ");
  expect(help).toContain("(default: llama-3.1-8b)");
  expect(help).toContain("(default: 10240,32768,102400)");
});
