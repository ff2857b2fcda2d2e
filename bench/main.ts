#!/usr/bin/env node
import { Command } from "commander";
import { stepCommand } from "./commands/decode.ts";
import { kernelsCommand } from "./commands/kernels.ts";
import { memoryCommand } from "./commands/memory.ts";
import { backendsCommand, stepsCommand } from "./commands/steps.ts";

const program = new Command("bench").description("Timings of kernels and of whole steps, and peak memory.");
const requests = [stepCommand("decode"), stepCommand("prefill")];
const single = [kernelsCommand(), stepsCommand(), backendsCommand(), memoryCommand()];
for (const command of [...single, ...requests]) program.addCommand(command);
await program.parseAsync();
