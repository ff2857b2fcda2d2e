#!/usr/bin/env node
import { Command } from "commander";
import { stepCommand } from "./commands/decode.ts";
import { kernelsCommand } from "./commands/kernels.ts";

const program = new Command("bench").description("Timings of kernels and of whole steps.");
for (const command of [kernelsCommand(), stepCommand("decode"), stepCommand("prefill")])
  program.addCommand(command);
await program.parseAsync();
