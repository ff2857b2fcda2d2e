import type { TensorRef } from "../base/tensor-ref.ts";

/** Sizes that a result was made for. */
export interface ResultSizes {
  /** Heads, or head groups. */
  readonly groups: number;
  /** Room for units of each group, or their exact count. */
  readonly size: number;
  readonly unit: number;
}

interface Kept<T> extends ResultSizes {
  readonly result: T;
  readonly tensors: readonly TensorRef[];
}

/**
 * Results of one kind of calls of a selection step, kept from step to step. The n-th call of a layer finds what the n-th call of
 * any layer made for the same sizes, so that layers with other budgets make tensors of their own once.
 */
export class KeptResults<T extends object> {
  readonly #byCall: Kept<T>[][] = [];

  /** Returns the result of this call with these sizes and room for `sequences`, if there is one. */
  find(call: number, groups: number, size: number, unit: number, sequences: number): T | undefined {
    const kept = this.#byCall[call];
    if (!kept) return undefined;
    for (let i = 0; i < kept.length; i++) {
      const one = kept[i] as Kept<T>;
      if (one.groups === groups && one.size === size && one.unit === unit)
        return hasRoom(one, sequences) ? one.result : undefined;
    }
    return undefined;
  }

  /**
   * Keeps a result for this call, at most `most` of them: in place of a smaller one of the same sizes, else of the oldest. Returns
   * the tensors of the replaced result.
   */
  keep(
    call: number,
    made: ResultSizes & { readonly result: T; readonly tensors: readonly TensorRef[] },
    most: number,
  ): readonly TensorRef[] {
    const kept = this.#byCall[call] ?? [];
    this.#byCall[call] = kept;
    const same = kept.findIndex(
      ({ groups, size, unit }) => groups === made.groups && size === made.size && unit === made.unit,
    );
    const replaced = same >= 0 ? kept.splice(same, 1)[0] : kept.length >= most ? kept.shift() : undefined;
    kept.push(made);
    return replaced?.tensors ?? [];
  }

  /** Forgets all results and returns their tensors. */
  clear(): readonly TensorRef[] {
    return this.#byCall.splice(0).flatMap((kept) => kept.flatMap(({ tensors }) => tensors));
  }
}

function hasRoom({ tensors }: Kept<unknown>, sequences: number): boolean {
  return (tensors[0]?.shape[0] ?? 0) >= sequences;
}
