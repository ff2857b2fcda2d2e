/** Storage types of tensors. */
export type TensorDtype = "f32" | "u32";
