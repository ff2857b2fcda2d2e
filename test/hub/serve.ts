/** Serves a small hub until standard input ends, and prints its address: for the script that compares with Python's library. */
import { LocalHub } from "./local-hub.ts";
import { SMALL_REPO } from "./small-repo.ts";

const hub = await LocalHub.start({ "org/model": SMALL_REPO });
process.stdout.write(`${JSON.stringify({ url: hub.url, commit: hub.commitOf("org/model") })}\n`);
process.stdin.on("end", () => hub.close()).resume();
