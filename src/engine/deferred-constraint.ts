import type { ConstraintSpec, TokenConstraint } from "../constraint/constraint.ts";
import type { ConstraintCompiler, ConstraintUse } from "../constraint/constraint-compiler.ts";
import type { Tokenizer } from "../load/tokenizer.ts";

/** A constraint of one request, which its engine compiles before the request runs. */
export class DeferredConstraint implements TokenConstraint {
  readonly #spec: ConstraintSpec;
  readonly #use: ConstraintUse;
  #compiled: TokenConstraint | undefined;

  constructor(spec: ConstraintSpec, use: ConstraintUse) {
    this.#spec = spec;
    this.#use = use;
  }

  /** @throws RequestError for a spec that cannot be compiled */
  compile(compiler: ConstraintCompiler): void {
    this.#compiled ??= compiler.compile(this.#spec, this.#use);
  }

  get #own(): TokenConstraint {
    if (!this.#compiled) throw new TypeError("a constraint is used before it is compiled");
    return this.#compiled;
  }

  fillMask(mask: Uint32Array): void {
    this.#own.fillMask(mask);
  }

  accept(tokenId: number): boolean {
    return this.#own.accept(tokenId);
  }

  get isComplete(): boolean {
    return this.#own.isComplete;
  }

  /** Before it is compiled it has taken no token, and its request alone holds it. */
  clone(): TokenConstraint {
    return this.#compiled?.clone() ?? this;
  }
}

/** Compiles constraints of requests. The code and the tables of the vocabulary load with the first one. */
export class ConstraintLoader {
  readonly #tokenizer: Tokenizer;
  #opening: Promise<ConstraintCompiler> | undefined;

  constructor(tokenizer: Tokenizer) {
    this.#tokenizer = tokenizer;
  }

  /** Compiles a constraint; returns undefined if there is nothing to do. @throws RequestError */
  load(constraint: TokenConstraint | undefined): Promise<void> | undefined {
    return constraint instanceof DeferredConstraint ? this.#compile(constraint) : undefined;
  }

  async #compile(constraint: DeferredConstraint): Promise<void> {
    this.#opening ??= import("../constraint/constraint-compiler.ts").then(
      ({ ConstraintCompiler: compiler }) => compiler.open(this.#tokenizer),
    );
    constraint.compile(await this.#opening);
  }
}
