/** One figure: a median over rounds. */
export interface KernelFigure {
  readonly name: string;
  readonly threads: number;
  readonly value: number;
  readonly unit: string;
  /** The limit for any kernel here, in the same unit, if known: bytes at the speed of a plain read, or arithmetic. */
  readonly floor?: number;
  /** The target of a ratio, in words. */
  readonly target?: string;
}
