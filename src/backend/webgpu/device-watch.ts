import { BackendError, OutOfMemoryError } from "../../base/errors.ts";
import { yieldToEventLoop } from "../../base/yield.ts";
import { napWhilePending } from "./patient-wait.ts";

/**
 * Maximum wait for the device. Far above any real wait (a prefill chunk of a large model takes a second; on a software
 * adapter, tens of seconds), and above the 2 to 10 seconds after which drivers themselves reset a device that hangs.
 */
export const WAIT_DEADLINE_MS = 120_000;

/**
 * Tracks whether the device still works: refused commands, its loss, missing answers. Every wait for the device goes
 * through `wait` or `guard`, which end when any of these happens.
 */
export class DeviceWatch {
  readonly #device: GPUDevice;
  readonly #deadlineMs: number;
  readonly #waiting = new Set<(error: BackendError) => void>();
  readonly #forgetLoss: () => void;
  /** Pending checks of kernels by the device. */
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
   * Fails with the error of `verdict`, if any. Earlier errors of the device wait for the verdict, because its cause may be
   * theirs.
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
          // a command may fail a little before the device reports its loss
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
   * Runs `make`, which creates and fills buffers, and waits until the device confirms the memory.
   * what: completes "no memory left for …".
   * @throws BackendError if memory is short.
   */
  async allocate<T>(make: () => T, what: () => string): Promise<T> {
    const { made, outOfMemory } = await this.tryAllocate(make, what);
    if (!outOfMemory) return made;
    throw new OutOfMemoryError(
      `backend webgpu: the device has no memory left for ${what()}: ${firstLine(outOfMemory)}; choose a shorter ` +
        "contextLength, fewer concurrent requests or a smaller model, or use the wasm backend",
    );
  }

  /**
   * Like `allocate`, but returns the device's out-of-memory error instead of throwing it; `made` is unusable then.
   * @throws BackendError if the device refuses it for another reason.
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
      scopes.catch(() => {}); // if `make` threw, nobody waits
    }
    const [outOfMemory, refused] = await this.wait("memory", scopes);
    if (refused && !outOfMemory)
      throw new BackendError(`backend webgpu: the device refused ${what()}: ${refused.message}`);
    return { made, outOfMemory: outOfMemory ?? undefined };
  }

  /** Stops listening: later errors of the device are no failures. */
  close(): void {
    this.#device.removeEventListener("uncapturederror", this.#onError);
    this.#forgetLoss();
  }
}

function firstLine({ message }: GPUError): string {
  return message.split("\n")[0] ?? "";
}
