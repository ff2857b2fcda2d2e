import { BackendError } from "../../base/errors.ts";
import { yieldToEventLoop } from "../../base/yield.ts";
import { napWhilePending } from "./patient-wait.ts";

/**
 * Longest wait for the device. Far above what any wait takes (a prefill chunk of a large model: a second; emulated on
 * the CPU: tens of seconds), and above the 2 to 10 seconds after which drivers themselves reset a device that hangs.
 */
export const WAIT_DEADLINE_MS = 120_000;

/**
 * Knows whether the device still works: what it refused, whether it was lost, whether it stopped answering. Every wait
 * for the device goes through `wait` or `guard`, which end when any of these happens.
 */
export class DeviceWatch {
  readonly #device: GPUDevice;
  readonly #deadlineMs: number;
  readonly #waiting = new Set<(error: BackendError) => void>();
  readonly #forgetLoss: () => void;
  /** What the device has yet to say of kernels. */
  readonly #verdicts = new Set<Promise<unknown>>();
  #failure: BackendError | undefined;

  constructor(device: GPUDevice, deadlineMs = WAIT_DEADLINE_MS) {
    this.#device = device;
    this.#deadlineMs = deadlineMs;
    device.addEventListener("uncapturederror", this.#onError);
    // `lost` lives as long as the device, which others may share: it must hold no more than this little object
    const listener: { onLost: ((info: GPUDeviceLostInfo) => void) | undefined } = {
      onLost: ({ reason, message }) =>
        this.#fail(`the device was lost (${message || reason}); close the engine and open it again`),
    };
    void device.lost.then((info) => listener.onLost?.(info));
    this.#forgetLoss = () => {
      listener.onLost = undefined;
    };
  }

  readonly #onError = ({ error }: GPUUncapturedErrorEvent): void => {
    // Node has no global GPUOutOfMemoryError to compare with
    const isMemory = error.constructor.name === "GPUOutOfMemoryError";
    const what = isMemory ? "the device ran out of memory" : "the device refused a command";
    const fail = () => this.#fail(`${what}: ${error.message}; close the engine and open it again`);
    if (this.#verdicts.size === 0) fail();
    else void Promise.all(this.#verdicts).then(fail);
  };

  /**
   * Fails with the error that `verdict` brings, if any. Errors of the device that come before it wait for it: they may
   * follow from what it is about.
   */
  judge(verdict: Promise<BackendError | undefined>): void {
    const heard = verdict.then(
      (error) => error && this.fail(error),
      () => {}, // the device was lost, which is told apart
    );
    this.#verdicts.add(heard);
    void heard.then(() => this.#verdicts.delete(heard));
  }

  #fail(what: string): void {
    this.fail(new BackendError(`backend webgpu: ${what}`));
  }

  /** Ends all that waits. The first failure stays. */
  fail(error: BackendError): void {
    this.#failure ??= error;
    for (const reject of [...this.#waiting]) reject(this.#failure);
  }

  get hasFailed(): boolean {
    return this.#failure !== undefined;
  }

  /** @throws BackendError when the device was lost, refused an earlier command or stopped answering. */
  check(): void {
    if (this.#failure) throw this.#failure;
  }

  /** Like `guard`, with few polls of the device meanwhile. */
  wait<T>(what: string, answer: Promise<T>): Promise<T> {
    const guarded = this.guard(what, answer);
    napWhilePending(guarded);
    return guarded;
  }

  /**
   * Waits for the device, but not for ever.
   * what: completes "waiting for …".
   * @throws BackendError if the device has failed, fails meanwhile, or the deadline passes.
   */
  guard<T>(what: string, answer: Promise<T>): Promise<T> {
    if (this.#failure) {
      answer.catch(() => {}); // the failure says more
      return Promise.reject(this.#failure);
    }
    return new Promise((resolve, reject) => {
      const end = () => {
        clearTimeout(timer);
        this.#waiting.delete(fail);
      };
      const fail = (error: BackendError) => {
        end();
        reject(error);
      };
      const timer = setTimeout(
        () =>
          this.#fail(
            `waiting for ${what}: no answer in ${this.#deadlineMs / 1000} s, the GPU seems to hang; ` +
              "close the engine and open it again, or use the wasm backend",
          ),
        this.#deadlineMs,
      );
      this.#waiting.add(fail);
      answer.then(
        (value) => {
          end();
          if (this.#failure) reject(this.#failure);
          else resolve(value);
        },
        async (cause: unknown) => {
          // the news that the device was lost may come a little later than what fails for it
          await yieldToEventLoop();
          fail(
            this.#failure ??
              new BackendError(`backend webgpu: waiting for ${what}: ${String(cause)}`, { cause }),
          );
        },
      );
    });
  }

  /**
   * Runs what makes buffers and fills them, and waits until the device has said whether it has the memory.
   * what: completes "no memory left for …".
   * @throws BackendError when it has not.
   */
  async allocate<T>(make: () => T, what: () => string): Promise<T> {
    const { made, outOfMemory } = await this.tryAllocate(make, what);
    if (!outOfMemory) return made;
    throw new BackendError(
      `backend webgpu: the device has no memory left for ${what()}: ${firstLine(outOfMemory)}; choose a shorter ` +
        "contextLength, fewer concurrent requests or a smaller model, or use the wasm backend",
    );
  }

  /**
   * Like `allocate`, but tells of memory that the device does not have instead of throwing; what was made is unusable then.
   * @throws BackendError where the device refuses it for another reason.
   */
  async tryAllocate<T>(
    make: () => T,
    what: () => string,
  ): Promise<{ readonly made: T; readonly outOfMemory: GPUError | undefined }> {
    // A buffer whose allocation failed makes every later use of it a validation error.
    this.#device.pushErrorScope("validation");
    this.#device.pushErrorScope("out-of-memory");
    let scopes: Promise<readonly (GPUError | null)[]> | undefined;
    let made: T;
    try {
      made = make();
    } finally {
      scopes = Promise.all([this.#device.popErrorScope(), this.#device.popErrorScope()]);
      scopes.catch(() => {}); // where `make` threw, nobody waits
    }
    const [outOfMemory, refused] = await this.wait("memory", scopes);
    if (refused && !outOfMemory)
      throw new BackendError(`backend webgpu: the device refused ${what()}: ${refused.message}`);
    return { made, outOfMemory: outOfMemory ?? undefined };
  }

  /** Stops listening: what happens to the device from now on is no failure. */
  close(): void {
    this.#device.removeEventListener("uncapturederror", this.#onError);
    this.#forgetLoss();
  }
}

function firstLine({ message }: GPUError): string {
  return message.split("\n")[0] ?? "";
}
