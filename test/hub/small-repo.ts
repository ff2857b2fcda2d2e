import type { HubRepo } from "./local-hub.ts";

/** The repository whose cache Python's library has recorded (test/golden/make-hub-cache.py). */
export const SMALL_REPO: HubRepo = {
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
