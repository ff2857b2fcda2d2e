import { Argument, Command } from "commander";
import { ConfigError } from "../../base/errors.ts";
import {
  type CachedModel,
  listModels,
  removeModel,
  type StarterModel,
  suggestModels,
} from "../../node/index.ts";
import { UsageError } from "../args.ts";
import { formatBytes } from "../output.ts";

interface ModelsOptions {
  readonly suggest?: boolean;
  readonly json?: boolean;
}

/** `lessismore models`. `done` receives the action's exit code. */
export function modelsCommand(done: (exitCode: number) => void): Command {
  const remove = new Command("remove")
    .description("remove a model from the cache, or one revision of it")
    .addArgument(new Argument("<model>", "org/name or org/name@revision"))
    .option("--json", "print one JSON object")
    .action(async (model: string, _: unknown, command: Command) => {
      const { json } = command.optsWithGlobals<ModelsOptions>(); // `models` takes the option wherever it stands.
      const removal = await asUsage(() => removeModel(model));
      const { name, freedBytes, sharedBytes } = removal;
      const kept =
        sharedBytes > 0
          ? `; ${formatBytes(sharedBytes)} are shared by Python's library: \`hf cache prune\``
          : "";
      process.stdout.write(
        json
          ? `${JSON.stringify(removal)}\n`
          : `removed ${name}: ${formatBytes(freedBytes)} free again${kept}\n`,
      );
      done(0);
    });
  return new Command("models")
    .description("list the models in the cache, or suggest some to begin with")
    .option("--suggest", "list published models that run, with what they take")
    .option("--json", "print one JSON array")
    .addCommand(remove)
    .action(async ({ suggest, json }: ModelsOptions) => {
      const models = suggest ? suggestModels() : await listModels();
      const text = suggest
        ? describeSuggestions(suggestModels())
        : describeModels(models as readonly CachedModel[]);
      process.stdout.write(json ? `${JSON.stringify(models)}\n` : text);
      done(0);
    });
}

async function asUsage<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw error instanceof ConfigError ? new UsageError(error.message) : error;
  }
}

function describeModels(models: readonly CachedModel[]): string {
  if (models.length === 0)
    return "no models in the cache; `lessismore models --suggest` lists some to begin with\n";
  const rows = models.map(({ name, sizeBytes, partialBytes, revisions }) => [
    name,
    formatBytes(sizeBytes),
    revisions.map(({ commit, refs }) => (refs.length > 0 ? refs.join(" ") : commit.slice(0, 8))).join(", "),
    partialBytes > 0 ? `${formatBytes(partialBytes)} of downloads that have not ended` : "",
  ]);
  const total = models.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  return table([["MODEL", "SIZE", "REVISIONS", ""], ...rows, ["", formatBytes(total), "", ""]]);
}

function describeSuggestions(models: readonly StarterModel[]): string {
  const rows = models.map((model) => {
    const { name, licence, weightBytes, memory, selectionLayers, selectionLayersFrom } = model;
    const cells = memory.map(({ bytes, q8Bytes }) =>
      bytes === undefined
        ? "-"
        : `${formatBytes(bytes)}${q8Bytes === undefined ? "" : ` (q8 ${formatBytes(q8Bytes)})`}`,
    );
    return [
      name,
      licence,
      formatBytes(weightBytes),
      ...cells,
      selectionLayers.join("+"),
      selectionLayersFrom,
    ];
  });
  const head = ["MODEL", "LICENCE", "WEIGHTS", "MEMORY AT 4K", "AT 32K", "LAYERS", "FROM"];
  const note =
    "Memory: weights in bf16 (or quantised on load with --dtype q8), or as a GGUF file (hf:) has them, and a cache in f16. " +
    "docs/models.md says which of them were run.\n";
  return table([head, ...rows]) + note;
}

/** Formats rows as columns. */
function table(rows: readonly (readonly string[])[]): string {
  const [head = []] = rows;
  const widths = head.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  return rows
    .map(
      (row) =>
        `${row
          .map((cell, column) => cell.padEnd(widths[column] ?? 0))
          .join("  ")
          .trimEnd()}\n`,
    )
    .join("");
}
