/** Figures for Prometheus, with the names of vLLM after this engine's prefix. */
import { Counter, Gauge, Histogram, Registry } from "prom-client";
import type { EngineStats } from "../engine/engine-stats.ts";
import type { GenerationResult } from "../engine/request.ts";
import type { ChoiceEvent } from "./choice-events.ts";

const PREFIX = "lessismore:";
/** Seconds, vLLM's bounds. */
const FIRST_TOKEN_S = [
  0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80, 160, 640,
];
const TOKEN_S = [
  0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5, 5, 10,
];
const REQUEST_S = [
  0.3, 0.5, 0.8, 1, 1.5, 2, 2.5, 5, 10, 15, 20, 30, 40, 50, 60, 120, 240, 480, 960, 1920, 7680,
];
const STEPS = [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 128, 256];
const FRACTIONS = [0.02, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1];

/** What a scrape reads. */
export interface MetricsSource {
  count(): { readonly running: number; readonly waiting: number };
  /** Undefined while there is no engine. */
  stats(): EngineStats | undefined;
  /** Times that the engine was opened again after it had ended. */
  numRestarts(): number;
}

/** How a choice ended: as the engine says it, or by its client, or by a failure. */
export type Ending = GenerationResult["finishReason"] | "abort" | "error";

/** A call as the figures see it. */
export interface WatchedCall {
  /** Milliseconds of `performance.now`. */
  readonly startedAt: number;
  numFinished: number;
}

export class ServerMetrics {
  readonly #registry = new Registry();
  readonly #firstToken = this.#histogram(
    "time_to_first_token_seconds",
    "From the request to its first part.",
    FIRST_TOKEN_S,
  );
  readonly #betweenTokens = this.#histogram(
    "inter_token_latency_seconds",
    "Between the tokens of a choice.",
    TOKEN_S,
  );
  readonly #latency = this.#histogram(
    "e2e_request_latency_seconds",
    "From the request to the end of a choice.",
    REQUEST_S,
  );
  readonly #firstTokenSteps = this.#histogram(
    "time_to_first_token_steps",
    "Steps of the engine that ended between a choice's arrival there and its first token, that one included.",
    STEPS,
  );
  readonly #attended = new Histogram({
    ...{ name: `${PREFIX}attended_fraction`, help: "Share of the cache that decoding read, by policy." },
    ...{ labelNames: ["policy"] as const, buckets: FRACTIONS, registers: [this.#registry] },
  });
  readonly #promptTokens = this.#counter("prompt_tokens_total", "Tokens of prompts.");
  readonly #generationTokens = this.#counter("generation_tokens_total", "Tokens generated.");
  readonly #ended = new Counter({
    ...{ name: `${PREFIX}request_success_total`, help: "Choices by how they ended." },
    ...{ labelNames: ["finished_reason"] as const, registers: [this.#registry] },
  });
  readonly #refused = new Counter({
    ...{ name: `${PREFIX}http_errors_total`, help: "Answers that are errors, by status." },
    ...{ labelNames: ["status"] as const, registers: [this.#registry] },
  });

  constructor(modelName: string, source: MetricsSource) {
    this.#registry.setDefaultLabels({ model_name: modelName });
    this.#gauge("num_requests_running", "Choices that hold pages.", () => source.count().running);
    this.#gauge(
      "num_requests_waiting",
      "Choices that wait for a place, pages or their reader.",
      () => source.count().waiting,
    );
    this.#gauge("kv_cache_usage_perc", "Share of the cache's pages that requests hold, 1 is all.", () => {
      const pages = source.stats()?.pages;
      return pages && pages.total > 0 ? pages.held / pages.total : 0;
    });
    for (const state of ["free", "held", "cached", "total"] as const)
      this.#gauge(
        `kv_cache_pages_${state}`,
        `Pages of the cache: ${state}.`,
        () => source.stats()?.pages[state] ?? 0,
      );
    this.#total(
      "num_preemptions_total",
      "Requests that gave their pages to older ones.",
      () => source.stats()?.preempted,
    );
    this.#total("engine_restarts_total", "Times that the engine was opened again after it had ended.", () =>
      source.numRestarts(),
    );
    this.#total(
      "prefill_chunks_total",
      "Steps that computed a part of a prompt.",
      () => source.stats()?.steps.prefill,
    );
    this.#total(
      "prefill_chunk_tokens_total",
      "Tokens of prompts that they computed.",
      () => source.stats()?.steps.prefillTokens,
    );
    this.#total("engine_steps_total", "Steps of the engine.", () => source.stats()?.steps.total);
    this.#total(
      "prefix_cache_queries_total",
      "Prompts looked up in the prefix index.",
      () => source.stats()?.prefix.queries,
    );
    this.#total(
      "prefix_cache_hits_total",
      "Prompts of which the prefix index had a part.",
      () => source.stats()?.prefix.hits,
    );
    this.#total(
      "prefix_cache_tokens_total",
      "Tokens of prompts that the prefix index had.",
      () => source.stats()?.prefix.cachedTokens,
    );
  }

  /** Text in Prometheus's format. */
  async text(): Promise<{ readonly type: string; readonly text: string }> {
    return { type: this.#registry.contentType, text: await this.#registry.metrics() };
  }

  refused(status: number): void {
    this.#refused.inc({ status: String(status) });
  }

  /** Passes on the events of a call and counts them. */
  async *watch(events: AsyncIterable<ChoiceEvent>, call: WatchedCall): AsyncGenerator<ChoiceEvent> {
    const { startedAt } = call;
    const lastAt = new Map<number, number>();
    for await (const event of events) {
      const now = performance.now();
      const last = lastAt.get(event.index);
      lastAt.set(event.index, now);
      if ("result" in event) {
        call.numFinished++;
        this.#count(event.result, now - startedAt);
      } else if (last === undefined) this.#firstToken.observe((now - startedAt) / 1000);
      else this.#betweenTokens.observe((now - last) / 1000 / Math.max(1, event.part.tokenIds.length));
      yield event;
    }
  }

  #count({ usage, finishReason, attention, timings }: GenerationResult, tookMs: number): void {
    this.#promptTokens.inc(usage.promptTokens);
    this.#generationTokens.inc(usage.completionTokens);
    this.#attended.observe({ policy: attention.name }, attention.attendedFraction);
    this.#latency.observe(tookMs / 1000);
    if (timings.firstTokenSteps > 0) this.#firstTokenSteps.observe(timings.firstTokenSteps);
    this.ended(finishReason);
  }

  ended(how: Ending, choices = 1): void {
    this.#ended.inc({ finished_reason: how }, choices);
  }

  #histogram(name: string, help: string, buckets: readonly number[]): Histogram {
    return new Histogram({ name: PREFIX + name, help, buckets: [...buckets], registers: [this.#registry] });
  }

  #counter(name: string, help: string): Counter {
    return new Counter({ name: PREFIX + name, help, registers: [this.#registry] });
  }

  #gauge(name: string, help: string, read: () => number): void {
    new Gauge({
      ...{ name: PREFIX + name, help, registers: [this.#registry] },
      collect() {
        this.set(read());
      },
    });
  }

  /** A counter whose value the engine keeps; absent values count nothing. */
  #total(name: string, help: string, read: () => number | undefined): void {
    new Counter({
      ...{ name: PREFIX + name, help, registers: [this.#registry] },
      collect() {
        this.reset();
        this.inc(read() ?? 0);
      },
    });
  }
}
