import { Command } from "commander";
import { markdownTable } from "../output.ts";
import { compareMeasured, readMeasured } from "../peers/compare.ts";

export function compareCommand(): Command {
  return new Command("compare")
    .description(
      "a Markdown table of `bench report --out` beside what a script in bench/peers printed; a peer's steps have full attention",
    )
    .argument("<report>", "ours, JSON")
    .argument("<peer>", "the peer's, JSON")
    .action((report: string, peer: string) => {
      const [ours, theirs] = [readMeasured(report), readMeasured(peer)];
      const rows = compareMeasured(ours, theirs).map(({ what, unit, ours, theirs: peers, times }) => ({
        what: `${what}, ${unit}`,
        lessismore: ours,
        [theirs.peer ?? "peer"]: peers,
        "ours over theirs": times,
      }));
      process.stdout.write(`${markdownTable(rows)}\nOurs on ${ours.gpu}, the peer on ${theirs.gpu}.\n`);
    });
}
