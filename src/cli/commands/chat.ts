import { Command } from "commander";
import { attentionSpec, UsageError, wholeNumber } from "../args.ts";
import type { ChatOptions } from "../chat/chat.ts";
import { rerunOnDevice } from "../rerun-on-device.ts";
import { addDevice, addModel, addPlace, addSampling } from "./model-options.ts";

const NOTES = `
Reasoning is dim, the answer plain; the last row says how fast it goes. Ctrl-C stops the
answer, not the program. A line that ends with a backslash goes on, and """ begins and ends
a message of several lines. /help lists the commands.`;

/** `lessismore chat`. `done` receives the action's exit code. */
export function chatCommand(done: (exitCode: number) => void): Command {
  const command = new Command("chat").description("talk to a model in the terminal");
  addModel(command).option(
    "--attention <spec>",
    "e.g. full or less-is-more:budget=256,layers=2+7, or a file: ./my-policy.mjs (default: the model's)",
    attentionSpec,
  );
  addDevice(addPlace(command));
  addSampling(command);
  return command
    .optionsGroup("Conversation:")
    .option("--system <text>", "a system message")
    .option(
      "--think <on|off|N>",
      "reasoning: on, off, or at most N tokens (default: the template's)",
      thinking,
    )
    .option("--max-tokens <n>", "most tokens of an answer (default: what the context holds)", wholeNumber(1))
    .option("--load <file>", "go on with a conversation that /save wrote")
    .option("--no-history", "do not keep what is typed for the arrow keys of later chats")
    .addHelpText("after", NOTES)
    .action(async (options: ChatOptions) => {
      const exitCode = await rerunOnDevice(options.device);
      if (exitCode !== undefined) return done(exitCode);
      const { chat } = await import("../chat/chat.ts");
      done(await chat(options, { input: process.stdin, output: process.stdout, notes: process.stderr }));
    });
}

function thinking(text: string): "on" | "off" | number {
  if (text === "on" || text === "off") return text;
  if (!/^\d+$/.test(text))
    throw new UsageError(`--think: expected on, off or a number of tokens, got "${text}"`);
  return Number(text);
}
