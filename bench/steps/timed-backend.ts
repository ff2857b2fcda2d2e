import type { Backend } from "../../src/node/internal.ts";

/** Milliseconds by backend step since the last `take`. */
export class StepClock {
  #isRunning = false;
  #ms = new Map<string, number>();

  start(): void {
    this.#isRunning = true;
  }

  /** Stops and hands over what was measured. */
  take(): ReadonlyMap<string, number> {
    const taken = this.#ms;
    this.#ms = new Map();
    this.#isRunning = false;
    return taken;
  }

  /** The backend itself, its calls timed while the clock runs. For backends whose calls return when the work is done. */
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
