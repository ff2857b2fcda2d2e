/** `lessismore/server`: OpenAI's API over an engine of one's own, as `lessismore serve` has it. */
export { isLoopback } from "./access.ts";
export { InferenceServer } from "./app.ts";
export { type Listening, type ListenOptions, listen } from "./listen.ts";
export type { ServerOptions } from "./server-options.ts";
export { type IdleOptions, unloadWhenIdle } from "./unload-when-idle.ts";
