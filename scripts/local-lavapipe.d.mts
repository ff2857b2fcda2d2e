export interface LavapipeNode {
  readonly program: string;
  /** Before those of Node. */
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
}

/** How to run Node with lavapipe as its only GPU; undefined if it is not unpacked. */
export function lavapipeNode(): LavapipeNode | undefined;
