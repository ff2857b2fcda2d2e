/** Models behind OpenAI-compatible servers. */
export { EndpointSolver } from "./endpoint-solver.ts";
export { type EndpointOptions, openEndpointSolver } from "./open-endpoint.ts";
