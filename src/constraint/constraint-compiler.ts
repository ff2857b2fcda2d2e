import type { Tokenizer } from "../load/tokenizer.ts";
import { AutomatonConstraint } from "./automaton-constraint.ts";
import { checkSpec } from "./check-spec.ts";
import { compileSpec, specText } from "./compile.ts";
import type { ConstraintSpec, TokenConstraint } from "./constraint.ts";
import { LIMITS, refuse } from "./limits.ts";
import { Machine } from "./machine.ts";
import { Vocabulary } from "./vocabulary.ts";

export interface ConstraintUse {
  /** Tokens that end the output; allowed exactly when the constraint is complete. */
  readonly endIds: readonly number[];
  /** True if the constraint holds from the first token of the output, false behind reasoning. */
  readonly isAtStart: boolean;
}

/** Makes constraints over the tokens of one engine. Equal specs share their automaton, and what it has learnt of masks. */
export class ConstraintCompiler {
  readonly #vocabulary: Vocabulary;
  /** Machines by the text of their spec, the least recently used first. */
  readonly #machines = new Map<string, Machine>();

  private constructor(vocabulary: Vocabulary) {
    this.#vocabulary = vocabulary;
  }

  /** @throws RequestError if the model's tokenizer does not let its output be constrained */
  static async open(tokenizer: Tokenizer): Promise<ConstraintCompiler> {
    return new ConstraintCompiler(await Vocabulary.open(tokenizer.outputBytes?.()));
  }

  /** @throws RequestError for a spec that is wrong, too large or unsupported, or that no output satisfies */
  compile(spec: ConstraintSpec, { endIds, isAtStart }: ConstraintUse): TokenConstraint {
    const text = specText(spec);
    let machine = this.#machines.get(text);
    if (machine) this.#machines.delete(text);
    // from the text, so that nobody changes it, and keys without a value are as good as absent
    else machine = new Machine(compileSpec(checkSpec(JSON.parse(text)), this.#vocabulary));
    this.#machines.set(text, machine);
    this.#forget();
    // a stop token that is text, such as a line break, comes as text does
    const added = endIds.filter((id) => this.#vocabulary.isAdded(id));
    const shared = { machine, vocabulary: this.#vocabulary, endIds: added.length > 0 ? added : endIds };
    const constraint = new AutomatonConstraint(shared, isAtStart && this.#vocabulary.differsAtFirst);
    if (isAtStart) this.#checkStart(constraint);
    return constraint;
  }

  /** Later tokens can always go on; the first one may have lost the space that the constraint needs. */
  #checkStart(constraint: TokenConstraint): void {
    const mask = new Uint32Array(this.#vocabulary.numWords);
    constraint.fillMask(mask);
    if (mask.some((word) => word !== 0)) return;
    throw refuse("compiling", "no token of this vocabulary can begin it, such as one with a space in front");
  }

  /** Drops the least recently used beyond the limits, but never the last. */
  #forget(): void {
    let numNodes = 0;
    for (const { program } of this.#machines.values()) numNodes += program.nodes.length;
    for (const [text, { program }] of this.#machines) {
      if (this.#machines.size <= LIMITS.programs && numNodes <= LIMITS.programNodes) return;
      if (this.#machines.size === 1) return;
      numNodes -= program.nodes.length;
      this.#machines.delete(text);
    }
  }
}
