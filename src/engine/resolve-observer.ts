import {
  type AttentionObserver,
  OBSERVED,
  type Observed,
  type ResolvedObserver,
} from "../attention/observer.ts";
import { RequestError } from "../base/errors.ts";
import { isObject } from "../base/is-object.ts";
import { printValue } from "../base/print-value.ts";

/**
 * Checks and copies the options of an observer. It may be an object of a class, so that other members are its own affair.
 * @throws RequestError that names the option
 */
export function resolveObserver(
  observer: AttentionObserver | undefined,
  numLayers: number,
  doing: string,
): ResolvedObserver | undefined {
  if (observer === undefined) return undefined;
  const refuse = (what: string, expected: string, got: unknown): never => {
    throw new RequestError(`${doing}: ${what} must be ${expected}, got ${printValue(got)}`);
  };
  if (!isObject(observer)) return refuse("observer", "an object with wants and onStep", observer);
  const { every = 1, layers, wants, onStep }: Partial<Record<keyof AttentionObserver, unknown>> = observer;
  if (!Number.isSafeInteger(every) || Number(every) < 1)
    refuse("observer.every", "a whole number of at least 1", every);
  const isLayer = (layer: unknown) =>
    Number.isSafeInteger(layer) && Number(layer) >= 0 && Number(layer) < numLayers;
  if (layers !== undefined && !(Array.isArray(layers) && layers.every(isLayer)))
    refuse("observer.layers", `a list of layers from 0 to ${numLayers - 1}`, layers);
  const isWanted = (one: unknown) => OBSERVED.some((known) => known === one);
  if (!Array.isArray(wants) || !wants.every(isWanted))
    refuse("observer.wants", `a list of ${OBSERVED.join(", ")}`, wants);
  if (typeof onStep !== "function") refuse("observer.onStep", "a function", onStep);
  const observed = layers as readonly number[] | undefined;
  return {
    every: Number(every),
    layers: Array.from({ length: numLayers }, (_, layer) => observed?.includes(layer) ?? true),
    wants: new Set(wants as readonly Observed[]),
    onStep: (trace) => observer.onStep(trace),
  };
}
