/** The server that `lessismore serve` starts. */
export { isLoopback } from "./access.ts";
export { InferenceServer, type ServerOptions } from "./app.ts";
export { type Listening, type ListenOptions, listen } from "./listen.ts";
export { unloadWhenIdle } from "./unload-when-idle.ts";
