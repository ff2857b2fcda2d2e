/** A template could not be parsed: what it writes is no Jinja, or is a part of Jinja that is not here. */
export class TemplateSyntaxError extends Error {}

/** A template was refused while it ran: an error of Python's or Jinja's, with the words they use. */
export class TemplateRuntimeError extends Error {}

/** A template went past what one render may cost. */
export class TemplateLimitError extends Error {}

/** Longest text a template may build, in UTF-16 units. */
export const MAX_TEXT = 2 ** 25;
/** Steps of one render. A step is a node visited, an item of a list made, or 32 units of a text made. */
export const MAX_STEPS = 20_000_000;
/** Time of one render. */
export const MAX_RENDER_MS = 5_000;
/** Calls of macros, and values, inside each other. */
export const MAX_DEPTH = 200;

const UNITS_PER_STEP = 32;
const STEPS_PER_LOOK = 4096;

/** What one render may cost. A template is a program that came with the checkpoint, and it runs on the calling thread. */
export class Budget {
  #steps = 0;
  #nextLook = STEPS_PER_LOOK;
  #depth = 0;
  readonly #start = performance.now();

  /** Counts work before it is done. @throws TemplateLimitError */
  spend(steps = 1): void {
    this.#steps += steps;
    if (this.#steps < this.#nextLook) return;
    this.#nextLook = this.#steps + STEPS_PER_LOOK;
    if (this.#steps > MAX_STEPS) throw new TemplateLimitError(`it takes more than ${MAX_STEPS} steps`);
    if (performance.now() - this.#start > MAX_RENDER_MS)
      throw new TemplateLimitError(`it takes more than ${MAX_RENDER_MS / 1000} s`);
  }

  /** Counts a text of `units` UTF-16 units before it is made. @throws TemplateLimitError */
  text(units: number): void {
    if (units > MAX_TEXT) throw new TemplateLimitError(`it makes a text of more than ${MAX_TEXT} characters`);
    this.spend(units / UNITS_PER_STEP);
  }

  /** Runs something that may run itself again. @throws TemplateLimitError */
  nested<T>(run: () => T): T {
    if (this.#depth >= MAX_DEPTH) throw new TemplateLimitError(`it nests more than ${MAX_DEPTH} calls`);
    this.#depth++;
    try {
      return run();
    } finally {
      this.#depth--;
    }
  }
}
