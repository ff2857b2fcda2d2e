/** What of a caller's request can be sent to the worker. */

import { isPolicy } from "../attention/is-policy.ts";
import type { AttentionObserver, StepTrace } from "../attention/observer.ts";
import { formatAttention } from "../attention/spec.ts";
import { isAbortSignal } from "../base/check-options.ts";
import { RequestError } from "../base/errors.ts";
import { isObject } from "../base/is-object.ts";
import { printValue } from "../base/print-value.ts";
import { isTokenList } from "../engine/request-schema.ts";
import { resolveObserver } from "../engine/resolve-observer.ts";
import type { SentObserver } from "./protocol.ts";

/** Refuses a policy that is a value: it has functions, which stay on their thread. @throws RequestError */
export function refusePolicy(doing: string, attention: unknown): void {
  if (!isPolicy(attention)) return;
  throw new RequestError(
    `${doing}: the attention policy ${attention.name} is a value with functions, which cannot be sent to the worker; name it by ` +
      `a spec, such as "${formatAttention(attention)}", or in Node give the module of a policy of your own in the option \`policies\` of openEngineInWorker`,
  );
}

/** Refuses a constraint that is a value. @throws RequestError */
export function refuseConstraint(constraint: unknown): void {
  const { fillMask }: { readonly fillMask?: unknown } = Object(constraint ?? {});
  if (typeof fillMask !== "function") return;
  throw new RequestError(
    "generate: the constraint is a value with functions, which cannot be sent to the worker; give a spec, such as " +
      "{ schema }, or open the engine on this thread for it",
  );
}

/**
 * An observer's options as data, and its receiver.
 * @throws RequestError as the engine does, which alone knows the layers
 */
export function splitObserver(
  observer: AttentionObserver | undefined,
  doing: string,
): { readonly observer?: SentObserver; readonly onStep?: (trace: StepTrace) => void } {
  if (observer === undefined) return {};
  const { every, layers, wants, onStep }: Partial<AttentionObserver> = isObject(observer) ? observer : {};
  const checked = isObject(observer) ? { every, wants, onStep } : observer;
  resolveObserver(checked as AttentionObserver, 0, doing);
  return { observer: { every, layers, wants }, onStep: (trace) => observer.onStep(trace) };
}

/**
 * Copies a list of token ids into an array that can be given away, if all are whole numbers of 32 bits. Of a list that is too long
 * it sends the length alone, which the engine refuses.
 */
export function sendableTokens(
  ids: unknown,
  most: number,
): { readonly tokenIds: ArrayLike<number>; readonly transfer: readonly ArrayBuffer[] } {
  if (!isTokenList(ids)) return { tokenIds: ids as ArrayLike<number>, transfer: [] };
  const list = ids as ArrayLike<number>;
  if (list.length > most) return { tokenIds: { length: list.length }, transfer: [] };
  const copy = Array.from(list);
  const packed = Int32Array.from(copy, (id) => (typeof id === "number" ? id : -1));
  const isWhole = copy.every((id, i) => Object.is(packed[i], id));
  return isWhole ? { tokenIds: packed, transfer: [packed.buffer] } : { tokenIds: copy, transfer: [] };
}

/** A call of `score`: its data, and what stays on this thread. */
export interface SplitScore {
  readonly rest: Readonly<Record<string, unknown>>;
  readonly signal?: AbortSignal;
  readonly onLogits?: (...args: readonly unknown[]) => void;
  readonly onStep?: (trace: StepTrace) => void;
}

/** Members of a call of `score` that stay on this thread, and the rest. Anything of a wrong type is sent, for the engine to refuse it. */
export function splitScore(request: unknown, doing: "score" | "scoreEach"): SplitScore {
  if (!isObject(request))
    throw new RequestError(`${doing}: expected an object of options, got ${printValue(request)}`);
  const { signal, onLogits, observer, ...rest } = request;
  refusePolicy(doing, rest.attention);
  if (Array.isArray(rest.attentions)) for (const one of rest.attentions) refusePolicy(doing, one);
  const split = doing === "score" ? splitObserver(observer as AttentionObserver | undefined, doing) : {};
  return {
    rest: {
      ...rest,
      ...(signal !== undefined && !isAbortSignal(signal) && { signal }),
      ...(onLogits !== undefined && typeof onLogits !== "function" && { onLogits }),
      ...(doing === "scoreEach" && observer !== undefined && { observer: true }), // unknown there
      ...(split.observer && { observer: split.observer }),
    },
    ...(isAbortSignal(signal) && { signal: signal as AbortSignal }),
    ...(typeof onLogits === "function" && { onLogits: onLogits as (...args: readonly unknown[]) => void }),
    ...(split.onStep && { onStep: split.onStep }),
  };
}

/** Runs a send, and explains a value that cannot be sent. @throws RequestError */
export function sending(doing: string, send: () => void): void {
  try {
    send();
  } catch (cause) {
    throw new RequestError(
      `${doing}: something in it cannot be sent to the worker (${cause instanceof Error ? cause.message : String(cause)}); ` +
        "give plain data: texts, numbers, true or false, and lists and objects of them",
      { cause },
    );
  }
}
