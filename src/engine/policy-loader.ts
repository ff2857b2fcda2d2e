import type { Attention } from "../attention/attend.ts";
import type { AttentionPolicy } from "../attention/policy.ts";
import { ConfigError, EngineError } from "../base/errors.ts";
import type { CacheSizer } from "../kv/cache-sizer.ts";
import type { PagePool } from "../kv/page-pool.ts";
import type { EngineComponents } from "./engine-components.ts";
import { GateStore } from "./gate-store.ts";
import { KeptMemoryTaker } from "./kept-memory.ts";

/** Runs work while nobody else uses the backend. */
type Exclusively = <T>(work: () => Promise<T>) => Promise<T>;

interface PolicyLoaderParts {
  readonly attention: Attention;
  readonly gates: GateStore;
  readonly memory: KeptMemoryTaker;
  readonly exclusively: Exclusively;
}

/** The loader of an engine. */
export function policyLoader(
  { backend, attentionModel: model, gates: source, limitWith }: EngineComponents,
  {
    attention,
    pool,
    sizer,
  }: { readonly attention: Attention; readonly pool: PagePool; readonly sizer: CacheSizer },
  exclusively: Exclusively,
): PolicyLoader {
  const memory = new KeptMemoryTaker({ backend, pool, sizer, limitWith });
  const gates = new GateStore({ backend, model, source, take: (one) => exclusively(() => memory.take(one)) });
  return new PolicyLoader({ attention, gates, memory, exclusively });
}

/** What policies need besides kernels, before their first step: the weights that they own, and what they keep beside the cache. */
export class PolicyLoader {
  readonly #attention: Attention;
  readonly #gates: GateStore;
  readonly #memory: KeptMemoryTaker;
  readonly #exclusively: Exclusively;

  constructor({ attention, gates, memory, exclusively }: PolicyLoaderParts) {
    this.#attention = attention;
    this.#gates = gates;
    this.#memory = memory;
    this.#exclusively = exclusively;
  }

  /** True if the weights of a policy are missing. */
  lacksWeights({ load, gates }: AttentionPolicy): boolean {
    return load !== undefined && gates === undefined;
  }

  /**
   * Loads and allocates what a policy lacks; returns undefined if it lacks nothing.
   * @throws ModelFileError, ConfigError, BackendError; OutOfMemoryError, after which the policy lacks what it lacked
   */
  load(policy: AttentionPolicy): Promise<void> | undefined {
    if (this.lacksWeights(policy)) return this.#loadWeights(policy);
    return this.#attention.missingFor(policy) && this.#keepFor(policy);
  }

  async #loadWeights(policy: AttentionPolicy): Promise<void> {
    try {
      await policy.load?.(this.#gates);
    } catch (error) {
      if (error instanceof EngineError) throw error;
      throw new ConfigError(`attention ${policy.name}: load failed: ${String(error)}`, { cause: error });
    }
    if (this.#attention.missingFor(policy)) await this.#keepFor(policy);
  }

  #keepFor(policy: AttentionPolicy): Promise<void> {
    return this.#exclusively(async () => {
      // another request may have made it meanwhile
      const missing = this.#attention.missingFor(policy);
      if (!missing) return;
      const { name } = policy;
      const use = await this.#memory.take({ policy: name, what: "its data of cached tokens", ...missing });
      use();
    });
  }
}
