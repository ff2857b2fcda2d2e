/** One figure: a median over rounds. */
export interface KernelFigure {
  readonly name: string;
  readonly threads: number;
  readonly value: number;
  readonly unit: string;
  /** What no kernel could beat here, in the same unit, where it is known: bytes at the plain read, or arithmetic. */
  readonly floor?: number;
  /** What is asked of a ratio, as the issue words it. */
  readonly target?: string;
}
