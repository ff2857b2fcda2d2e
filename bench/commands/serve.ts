import { Command, InvalidArgumentError, Option } from "commander";
import { BACKEND_CHOICES, type BackendChoice } from "../../src/node/index.ts";
import { deviceOption } from "../device.ts";
import { collect, wholeNumber } from "../options.ts";
import { printTables } from "../output.ts";
import { benchBesidePrefill } from "../serve/beside-prefill.ts";
import { benchHealth } from "../serve/health.ts";
import { benchMix } from "../serve/mix.ts";
import { benchPrefixTurn } from "../serve/prefix-turn.ts";
import { foreignServer, type MeasuredServer, startServer } from "../serve/server.ts";
import { benchThroughput } from "../serve/throughput.ts";

const PARTS = ["throughput", "first-token", "prefix", "health", "mix"] as const;
type Part = (typeof PARTS)[number];

interface Options {
  readonly part: readonly Part[];
  readonly url?: string;
  readonly servedModel?: string;
  readonly model?: string;
  readonly backend: BackendChoice;
  readonly threads?: number;
  readonly serveOption?: readonly string[];
  readonly rounds: number;
  readonly concurrency: number;
  readonly prompt: number;
  readonly answer: number;
  readonly prefill: number;
  readonly short: number;
  readonly shared: number;
  readonly added: number;
  readonly clients: number;
  readonly rate: number;
  readonly seconds: number;
  readonly seed: number;
  readonly attention?: readonly string[];
  readonly json?: true;
}

type Tables = Readonly<Record<string, readonly Readonly<Record<string, string | number | undefined>>[]>>;

const NOTES = `
Times are those of clients of the server, which runs as a process of its own, on the same machine. p50 and p99 are over all
samples, other figures medians over rounds; what is compared alternates within a round. The prompts are token ids from 32 to
231, no two the same. With --url the server may be any with OpenAI's API that takes token ids as a prompt and ignore_eos
(vLLM, llama-server); what only ours tells is left out: chunks and steps, running and waiting requests, attended fractions.`;

export function serveCommand(): Command {
  return new Command("serve")
    .description(
      "what a client of `lessismore serve`, or of another server with OpenAI's API, gets over HTTP",
    )
    .addOption(
      new Option("--part <name,...>", `what to measure: ${PARTS.join(", ")}`)
        .argParser(parts)
        .default(PARTS, PARTS.join(",")),
    )
    .option("--rounds <n>", "alternated rounds of each part", wholeNumber, 3)
    .option("--json", "print one JSON object")
    .optionsGroup("Server:")
    .option("--model <model>", "as `lessismore serve` takes it (default: the bundled model)")
    .addOption(new Option("--backend <name>").choices(BACKEND_CHOICES).default("auto"))
    .option("--threads <n>", "threads on the CPU", wholeNumber)
    .option(
      "--serve-option <text>",
      "a further option of `serve`, such as --serve-option=--max-concurrent=8; repeatable",
      collect,
    )
    .option("--url <url>", "measure a server that runs already, in place of one of ours")
    .option("--served-model <name>", "its model (default: the first that it lists)")
    .optionsGroup("Throughput:")
    .option("--concurrency <n>", "streams at once", wholeNumber, 8)
    .option("--prompt <n>", "tokens of a prompt", wholeNumber, 512)
    .option("--answer <n>", "tokens of an answer", wholeNumber, 128)
    .optionsGroup("First token, health:")
    .option("--prefill <n>", "tokens of the long prompt", wholeNumber, 6000)
    .option("--short <n>", "tokens of the short prompts beside it", wholeNumber, 32)
    .optionsGroup("Prefix:")
    .option("--shared <n>", "tokens of the first turn", wholeNumber, 3904)
    .option("--added <n>", "tokens that the second turn adds", wholeNumber, 64)
    .optionsGroup("Mix:")
    .option("--clients <n>", "requests that may be in progress", wholeNumber, 64)
    .option("--rate <r>", "requests per second, arriving at random", rate, 2)
    .option("--seconds <n>", "time of arrivals", wholeNumber, 30)
    .option("--seed <n>", "of arrivals and lengths", wholeNumber, 1)
    .option(
      "--attention <spec>",
      "policies of the requests in turn; repeatable (default: full and less-is-more:budget=256)",
      collect,
    )
    .addHelpText("after", NOTES)
    .action(bench);
}

function parts(text: string): readonly Part[] {
  return text.split(",").map((name) => {
    const part = PARTS.find((one) => one === name);
    if (part === undefined) throw new InvalidArgumentError(`Expected some of ${PARTS.join(", ")}.`);
    return part;
  });
}

function rate(text: string): number {
  const value = Number(text);
  if (!/^\d*\.?\d+$/.test(text) || value <= 0) throw new InvalidArgumentError("Expected a number above 0.");
  return value;
}

async function bench(options: Options): Promise<void> {
  const { url, servedModel } = options;
  const server =
    url === undefined ? await startServer(serveOptions(options)) : await foreignServer(url, servedModel);
  try {
    const tables: Record<string, Tables[string]> = {
      "the server": [{ server: server.description, rounds: options.rounds }],
    };
    for (const part of options.part) Object.assign(tables, await measure(part, server, options));
    if (!server.isOurs)
      tables["left out"] = [
        {
          what: "chunks and steps, running and waiting, attended fractions",
          why: "only lessismore tells them",
        },
      ];
    printTables(tables, options.json === true);
  } finally {
    await server.stop();
  }
}

function serveOptions({ model, backend, threads, serveOption = [] }: Options): readonly string[] {
  const { device } = deviceOption();
  return [
    ...(model === undefined ? [] : ["--model", model]),
    ...["--backend", backend],
    ...(threads === undefined ? [] : ["--threads", String(threads)]),
    ...(device === undefined ? [] : ["--device", device]),
    ...serveOption,
  ];
}

async function measure(part: Part, server: MeasuredServer, options: Options): Promise<Tables> {
  const { rounds, concurrency, prompt, answer, prefill, short, shared, added } = options;
  switch (part) {
    case "throughput": {
      const sizes = { concurrency, promptTokens: prompt, answerTokens: answer, rounds };
      const rows = await benchThroughput(server, sizes);
      return {
        [`throughput: prompts of ${prompt} tokens, answers of ${answer}; goal 2.5 times one`]:
          rows.map(plain),
      };
    }
    case "first-token": {
      const row = await benchBesidePrefill(server, { prefillTokens: prefill, shortTokens: short, rounds });
      return { "first token of short requests while a long prompt is computed (ms)": [plain(row)] };
    }
    case "prefix": {
      const row = await benchPrefixTurn(server, { sharedTokens: shared, addedTokens: added, rounds });
      return { "first token of a turn whose beginning is cached (ms)": [plain(row)] };
    }
    case "health": {
      const rows = await benchHealth(server, { prefillTokens: prefill, rounds });
      return { "/health (ms)": rows.map(plain) };
    }
    case "mix": {
      const { clients, rate: perSecond, seconds, seed } = options;
      const { attention = ["full", "less-is-more:budget=256"] } = options;
      const { load, times, policies } = await benchMix(server, {
        clients,
        rate: perSecond,
        seconds,
        seed,
        attention,
      });
      return {
        "mix: requests of 32 to 512 tokens, answers of 16 to 96": [plain(load)],
        "mix: times": times.map(plain),
        ...(policies.length > 0 && { "mix: share of the cache that decoding read": policies.map(plain) }),
      };
    }
  }
}

/** A row as the tables take it: an interface has no index signature. */
function plain(row: object): Readonly<Record<string, string | number | undefined>> {
  return { ...row };
}
