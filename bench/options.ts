import { InvalidArgumentError } from "commander";

export function wholeNumber(text: string): number {
  if (!/^[1-9]\d*$/.test(text)) throw new InvalidArgumentError("Expected a whole number of at least 1.");
  return Number(text);
}

export function wholeNumbers(text: string): readonly number[] {
  return text.split(",").map(wholeNumber);
}

export function collect(text: string, previous: readonly string[] = []): readonly string[] {
  return [...previous, text];
}
