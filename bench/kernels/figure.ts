/** One figure: a median over rounds. */
export interface KernelFigure {
  readonly name: string;
  readonly threads: number;
  readonly value: number;
  readonly unit: string;
}
