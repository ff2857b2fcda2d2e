import type { Backend } from "../../src/node/internal.ts";

/** Milliseconds by backend op since the last `take`. */
export class StepClock {
  #isRunning = false;
  #ms = new Map<string, number>();

  start(): void {
    this.#isRunning = true;
  }

  /** Stops the clock and returns the measurements. */
  take(): ReadonlyMap<string, number> {
    const taken = this.#ms;
    this.#ms = new Map();
    this.#isRunning = false;
    return taken;
  }

  /** Wraps a backend; times its ops while the clock runs. For backends whose ops return after the work. */
  watch(backend: Backend): Backend {
    return new Proxy(backend, {
      get: (target, name) => {
        const value: unknown = Reflect.get(target, name, target);
        if (typeof value !== "function") return value;
        return (...args: unknown[]) => {
          const started = performance.now();
          const result: unknown = Reflect.apply(value, target, args);
          if (this.#isRunning && typeof name === "string")
            this.#ms.set(name, (this.#ms.get(name) ?? 0) + performance.now() - started);
          return result;
        };
      },
    });
  }
}
