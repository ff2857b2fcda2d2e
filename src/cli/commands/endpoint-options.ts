import type { Command } from "commander";
import { UsageError, wholeNumber } from "../args.ts";

/** Options of a model behind a server, as commander parses them. */
export interface EndpointOptions {
  readonly endpoint?: string;
  readonly servedModel?: string;
  readonly apiKeyEnv?: string;
  readonly stream: boolean;
  readonly requestTimeout?: number;
  readonly tokenizer?: string;
}

/** Adds --endpoint and what goes with it, under a heading. */
export function addEndpoint(command: Command): Command {
  return command
    .optionsGroup("A model behind a server, in place of one here:")
    .option(
      "--endpoint <url>",
      "an OpenAI-compatible server (vLLM, SGLang, llama-server): http://localhost:8000/v1",
    )
    .option("--served-model <name>", "the model's name there")
    .option(
      "--api-key-env <name>",
      "the variable of the environment that holds the API key (default: send none)",
    )
    .option("--no-stream", "ask for whole answers: no token is timed")
    .option("--request-timeout <seconds>", "longest silence of a request (default: 900)", wholeNumber(1))
    .option("--tokenizer <model>", "measures problems that come in lengths (default: the bundled model's)");
}

/** The endpoint that the options name; undefined if they name none. @throws UsageError on options that do not fit */
export function endpointOf(
  options: EndpointOptions & {
    readonly model?: string;
    readonly device?: string;
    readonly attention?: unknown;
  },
) {
  const { endpoint, servedModel, apiKeyEnv, stream, requestTimeout, tokenizer } = options;
  if (endpoint === undefined) {
    if (servedModel !== undefined || apiKeyEnv !== undefined || tokenizer !== undefined)
      throw new UsageError("--served-model, --api-key-env and --tokenizer go with --endpoint URL");
    return undefined;
  }
  if (servedModel === undefined)
    throw new UsageError("--endpoint: name the model at the server with --served-model NAME");
  if (options.model !== undefined)
    throw new UsageError(
      "--model and --endpoint exclude each other: the model at the server is --served-model",
    );
  if (options.device !== undefined)
    throw new UsageError("--device and --endpoint exclude each other: the server decides where to compute");
  if (options.attention !== undefined)
    throw new UsageError("--attention and --endpoint exclude each other: the server decides how to attend");
  return {
    ...{ endpoint, servedModel, apiKeyEnv, tokenizer },
    ...(!stream && { streams: false }),
    ...(requestTimeout !== undefined && { silenceMs: 1000 * requestTimeout }),
  };
}
