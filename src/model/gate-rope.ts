import { ConfigError } from "../base/errors.ts";
import type { ModelConfig } from "./config.ts";
import { createRope, type Rope } from "./rope.ts";

/** The model's RoPE over heads of `dim` elements, as a gate of blocks uses it. @throws ConfigError if it cannot be resized */
export function gateRope({ ropes, headDim }: Pick<ModelConfig, "ropes" | "headDim">, dim: number): Rope {
  const rope = ropes.find(({ type }) => type !== "none");
  if (!rope)
    throw new ConfigError("attention seer-attention-r: the model has no RoPE, which the gate takes from it");
  if (rope.type === "longrope" && dim !== headDim)
    throw new ConfigError(
      `attention seer-attention-r: the model's RoPE has factors for heads of ${headDim}, the gate has ${dim} elements`,
    );
  if (rope.rotaryDim !== undefined && rope.rotaryDim !== rope.headDim)
    throw new ConfigError(
      `attention seer-attention-r: RoPE turns ${rope.rotaryDim} of the model's ${rope.headDim} elements of a head, which no gate was made for`,
    );
  const { queryScale: _, rotaryDim: __, ...rest } = rope;
  return createRope({ ...rest, headDim: dim });
}
