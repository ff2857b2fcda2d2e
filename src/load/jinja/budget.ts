/** A template failed to parse: it is not valid Jinja, or uses an unsupported part of Jinja. */
export class TemplateSyntaxError extends Error {}

/** A template failed while it ran: an error of Python or Jinja, in their own words. */
export class TemplateRuntimeError extends Error {}

/** A template exceeded the limits of one render. */
export class TemplateLimitError extends Error {}

/** Maximum length of a text that a template builds, in UTF-16 units. */
export const MAX_TEXT = 2 ** 25;
/** Maximum steps of one render. Each visited node, created list item and 32 UTF-16 units of created text is a step. */
export const MAX_STEPS = 20_000_000;
/** Maximum time of one render. */
export const MAX_RENDER_MS = 5_000;
/** Maximum nesting of calls and values. */
export const MAX_DEPTH = 200;

const UNITS_PER_STEP = 32;
const STEPS_PER_CHECK = 4096;

/** Limits one render. A template is a program from the checkpoint, and it runs on the calling thread. */
export class Budget {
  #steps = 0;
  #nextCheck = STEPS_PER_CHECK;
  #depth = 0;
  readonly #start = performance.now();

  /** Counts steps; call it before the work. @throws TemplateLimitError */
  spend(steps = 1): void {
    this.#steps += steps;
    if (this.#steps < this.#nextCheck) return;
    this.#nextCheck = this.#steps + STEPS_PER_CHECK;
    if (this.#steps > MAX_STEPS) throw new TemplateLimitError(`it takes more than ${MAX_STEPS} steps`);
    if (performance.now() - this.#start > MAX_RENDER_MS)
      throw new TemplateLimitError(`it takes more than ${MAX_RENDER_MS / 1000} s`);
  }

  /** Counts a text of `units` UTF-16 units; call it before creating the text. @throws TemplateLimitError */
  text(units: number): void {
    if (units > MAX_TEXT) throw new TemplateLimitError(`it makes a text of more than ${MAX_TEXT} characters`);
    this.spend(units / UNITS_PER_STEP);
  }

  /** Runs a function that may recurse. @throws TemplateLimitError */
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
