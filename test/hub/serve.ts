/** Serves a small hub until standard input ends, and prints its address: for the script that compares with Python's library. */
import { LocalHub } from "./local-hub.ts";

const REPO = {
  files: {
    "config.json": '{"model_type":"llama"}\n',
    "generation_config.json": "{}\n",
    "tokenizer.json": '{"model":{}}\n',
    "model.safetensors": new Uint8Array(9 << 20).map((_, i) => (i >>> 8) ^ i),
    "q/m-Q4_0-00001-of-00002.gguf": "GGUF one",
    "q/m-Q4_0-00002-of-00002.gguf": "GGUF two",
    "README.md": "not needed\n",
  },
  revisions: ["v1", "refs/pr/4"],
};

const hub = await LocalHub.start({ "org/model": REPO });
process.stdout.write(`${JSON.stringify({ url: hub.url, commit: hub.commitOf("org/model") })}\n`);
process.stdin.on("end", () => hub.close()).resume();
