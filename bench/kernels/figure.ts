/** One figure: a median over rounds. */
export interface KernelFigure {
  readonly name: string;
  readonly threads: number;
  readonly value: number;
  readonly unit: string;
  /** A bound of any kernel on this machine, in the same unit: bytes at the plain read's speed, or arithmetic. */
  readonly floor?: number;
  /** The target of a ratio. */
  readonly target?: string;
}
