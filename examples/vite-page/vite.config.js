import { defineConfig } from "vite";

// Threads of WebAssembly share memory, which browsers allow on pages with these headers alone.
const headers = {
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Embedder-Policy": "require-corp",
};

export default defineConfig({
  server: { headers },
  preview: { headers },
  build: { target: "es2022" },
});
