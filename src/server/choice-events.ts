import type { Generation, GenerationPart, GenerationResult } from "../engine/request.ts";

/** What comes of the choices of a call: parts in the order of each choice, and its result after its last part. */
export type ChoiceEvent =
  | { readonly index: number; readonly part: GenerationPart }
  | { readonly index: number; readonly result: GenerationResult };

interface Step {
  readonly index: number;
  readonly part: GenerationPart | undefined;
}

/**
 * Reads the parts of several generations as they come. It reads each at most one part ahead of its own reader, so a slow
 * reader pauses the generations. The first failure ends it; the caller aborts the others.
 */
export async function* choiceEvents(generations: readonly Generation[]): AsyncGenerator<ChoiceEvent> {
  const pending = new Map<number, Promise<Step>>();
  const iterators = generations.map((one) => one[Symbol.asyncIterator]());
  const read = (index: number) => {
    const iterator = iterators[index];
    if (!iterator) return;
    const step = iterator
      .next()
      .then(({ done, value }): Step => ({ index, part: done === true ? undefined : value }));
    step.catch(() => {}); // one failure is reported; others would have no handler
    pending.delete(index); // behind those that have waited longer
    pending.set(index, step);
  };
  for (const index of generations.keys()) read(index);
  while (pending.size > 0) {
    const { index, part } = await Promise.race(pending.values());
    if (part) {
      read(index);
      yield { index, part };
      continue;
    }
    pending.delete(index);
    const result = await generations[index]?.result();
    if (result) yield { index, result };
  }
}
