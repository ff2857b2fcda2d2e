import { ConfigError } from "../../base/errors.ts";
import { printValue } from "../../base/print-value.ts";
import type { BlockGates, PolicyHost } from "../block-gates.ts";
import { type AttentionPolicy, DENSE, SELECTS_FOR_ITSELF } from "../policy.ts";
import { checkLayers, knownKeys, orDefault, wholeNumber } from "../settings.ts";

/** Settings of `seerAttentionR`. */
export interface SeerAttentionROptions {
  /**
   * The trained gate: a folder, a .safetensors or .pth file, or a repository of the hub. Default: the file
   * seer-attention-gates.safetensors beside the model.
   */
  readonly gate?: string;
  /** Tokens of the best blocks of each kv head; the first and the last block come on top if they are not among them. Default 4096. */
  readonly tokenBudget?: number;
  /**
   * Instead of a budget: each kv head attends to the blocks whose softmax weight among all blocks is above the threshold, from 0 to below
   * 1. Default: a budget.
   */
  readonly threshold?: number;
  /** First layers that stay dense. Default: those that the gate leaves out. */
  readonly denseLayers?: number;
}

/** Always attended: the first and the last block, which are among the best or come on top. */
const ENDS = { sinks: 1, recent: 1 };
const NUM_ENDS = ENDS.sinks + ENDS.recent;
const NO_ENDS = { sinks: 0, recent: 0 };

/**
 * SeerAttention-R: a trained gate per layer scores blocks of tokens for each kv head, from queries and keys before RoPE. Each kv
 * head attends to its best `budget / block size` blocks, or to those whose weight is above a threshold, and to the first and the last
 * block. A last block that is not whole has the key 0, hence the score 0, by which it competes with the others.
 *
 * Source: arXiv 2506.08889, and its published code and gates. Departure: a block's key is rotated by the position of its first token, as
 * in training and prefill (the published decode steps rotate it by its last). A head attends to at most `budget / block size + 2`
 * blocks. `attendedFraction` counts as many for each head, and all blocks under a threshold, since the host does not know the sizes
 * of sets; traces have them.
 */
export function seerAttentionR(options: SeerAttentionROptions = {}): AttentionPolicy {
  const name = "seer-attention-r";
  knownKeys(name, options, ["gate", "tokenBudget", "threshold", "denseLayers"]);
  const { gate } = options;
  if (gate !== undefined && (typeof gate !== "string" || gate === ""))
    throw new ConfigError(
      `attention ${name}: gate must name a folder, a file or a repository of the hub, got ${printValue(gate)}`,
    );
  const rule = ruleOf(name, options);
  const denseLayers = wholeNumber(name, "dense-layers", orDefault(options.denseLayers, 0), 0);
  const settings = {
    ...(gate !== undefined && { gate }),
    ...rule,
    ...(denseLayers > 0 && { "dense-layers": denseLayers }),
  };
  return {
    name,
    settings,
    tokenBudget: rule.budget ?? Number.POSITIVE_INFINITY,
    layerRole: () => SELECTS_FOR_ITSELF,
    select: () => {
      throw new TypeError(`attention ${name}: selecting before the policy is bound to a model`);
    },
    // each model has gates of its own
    forModel(model) {
      if (denseLayers > 0) checkLayers(name, "dense-layers", [denseLayers - 1], model.numLayers);
      return new SeerAttentionR(name, settings, { gate, rule, denseLayers });
    },
  };
}

/** How blocks are chosen: one of both. */
interface Rule {
  readonly budget?: number;
  readonly threshold?: number;
}

/** @throws ConfigError for both, and for numbers that cannot be */
function ruleOf(name: string, { tokenBudget, threshold }: SeerAttentionROptions): Rule {
  if (threshold === undefined)
    return { budget: wholeNumber(name, "budget", orDefault(tokenBudget, 4096), 1) };
  if (tokenBudget !== undefined)
    throw new ConfigError(`attention ${name}: expected a budget or a threshold, got both; leave one out`);
  if (typeof threshold !== "number" || !(threshold >= 0 && threshold < 1))
    throw new ConfigError(
      `attention ${name}: threshold must be a share of attention from 0 to below 1, got ${printValue(threshold)}`,
    );
  return { threshold };
}

interface BoundSettings {
  readonly gate: string | undefined;
  readonly rule: Rule;
  readonly denseLayers: number;
}

/** The policy bound to a model. Its gates come with `load`. */
class SeerAttentionR implements AttentionPolicy {
  readonly name: string;
  readonly settings: Readonly<Record<string, unknown>>;
  readonly gate: { readonly location: string | undefined };
  readonly #bound: BoundSettings;
  #gates: BlockGates | undefined;

  constructor(name: string, settings: Readonly<Record<string, unknown>>, bound: BoundSettings) {
    this.name = name;
    this.settings = settings;
    this.gate = { location: bound.gate };
    this.#bound = bound;
  }

  get gates(): BlockGates | undefined {
    return this.#gates;
  }

  /** Of the chosen blocks and both ends; before the gates are loaded, the budget alone. No limit under a threshold. */
  get tokenBudget(): number {
    const { budget = Number.POSITIVE_INFINITY } = this.#bound.rule;
    return this.#gates ? (this.#numChosen(this.#gates) + NUM_ENDS) * this.#gates.blockSize : budget;
  }

  /** Of sequences that have no more blocks than are chosen; of both ends under a threshold. */
  get denseLength(): number {
    if (!this.#gates) return this.tokenBudget;
    const { blockSize } = this.#gates;
    return this.#bound.rule.budget === undefined
      ? NUM_ENDS * blockSize
      : this.#numChosen(this.#gates) * blockSize;
  }

  /** Blocks of the budget. */
  #numChosen({ blockSize }: BlockGates): number {
    return Math.floor((this.#bound.rule.budget ?? Number.POSITIVE_INFINITY) / blockSize);
  }

  layerRole(layer: number) {
    return layer < Math.max(this.#loaded.startLayer, this.#bound.denseLayers) ? DENSE : SELECTS_FOR_ITSELF;
  }

  get #loaded(): BlockGates {
    if (!this.#gates) throw new TypeError(`attention ${this.name}: its gates are not loaded`);
    return this.#gates;
  }

  async load(host: PolicyHost): Promise<void> {
    const gates = await host.loadGates(this.#bound.gate);
    if (this.#numChosen(gates) < 1)
      throw new ConfigError(
        `attention ${this.name}: a budget of ${this.#bound.rule.budget} holds no block of ${gates.blockSize} tokens, which the gate ` +
          `${gates.name} scores`,
      );
    this.#gates = gates;
  }

  select: NonNullable<AttentionPolicy["select"]> = (selector) => {
    const gates = this.#loaded;
    const scores = selector.blockScores(gates);
    const { threshold } = this.#bound.rule;
    const blocks =
      threshold === undefined
        ? selector.topK(scores, this.#numChosen(gates), NO_ENDS)
        : selector.unitsAbove(selector.poolScores(scores, { how: "softmax-mean", heads: "kv" }), threshold);
    return selector.expandSelection(blocks, ENDS);
  };
}
