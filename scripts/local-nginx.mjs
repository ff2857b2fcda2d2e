// nginx for tests. `node scripts/local-nginx.mjs` unpacks Debian's package into node_modules/.cache/nginx (nothing is
// installed) and prints the outcome to standard error; `startNginx` runs it as the current user.
import { spawn } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { ensurePackages, libraryFolder, unpackedFolder } from "./debian-packages.mjs";

const ROOT = unpackedFolder("nginx");
const PROGRAM = join(ROOT, "usr/sbin/nginx");
const START_TIMEOUT_MS = 20_000;

/** True if nginx is unpacked. */
export function hasNginx() {
  return existsSync(PROGRAM);
}

/**
 * Starts nginx with a configuration of the `http` block, and waits until it answers at `url`.
 * @returns {Promise<import("./local-nginx.d.mts").LocalNginx>}
 */
export async function startNginx(http, url) {
  if (!hasNginx())
    throw new Error("nginx is not unpacked: run `node scripts/local-nginx.mjs`, which says why");
  const folder = mkdtempSync(join(tmpdir(), "lessismore-nginx-"));
  mkdirSync(join(folder, "temp"));
  const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(
    (name) => `${name}_temp_path ${folder}/temp/${name};`,
  );
  const lines = [
    ...["daemon off;", `pid ${folder}/pid;`, `error_log ${folder}/error.log;`, "events {}"],
    ...["http {", `access_log ${folder}/access.log;`, ...temporary, http, "}"],
  ];
  writeFileSync(join(folder, "nginx.conf"), lines.join("\n"));
  const libraries = libraryFolder(ROOT);
  const env = { ...process.env, ...(libraries && { LD_LIBRARY_PATH: libraries }) };
  const args = ["-p", folder, "-c", join(folder, "nginx.conf"), "-e", join(folder, "error.log")];
  const nginx = spawn(PROGRAM, args, { env, stdio: "ignore" });
  let hasEnded = false;
  const ended = new Promise((resolve) => {
    const end = () => {
      hasEnded = true;
      resolve();
    };
    nginx.on("error", end);
    nginx.on("exit", end);
  });
  const log = () => {
    const path = join(folder, "error.log");
    return existsSync(path) ? readFileSync(path, "utf8") : "";
  };
  for (const until = Date.now() + START_TIMEOUT_MS; ; await sleep(50)) {
    const answers = await fetch(url, { signal: AbortSignal.timeout(1000) }).then(
      (response) => response.body?.cancel().then(() => true) ?? true,
      () => false,
    );
    if (answers) break;
    if (!hasEnded && Date.now() < until) continue;
    nginx.kill("SIGKILL");
    const said = log();
    rmSync(folder, { recursive: true, force: true });
    throw new Error(
      `nginx ${hasEnded ? "ended" : `did not answer within ${START_TIMEOUT_MS / 1000} s`}: ${said.slice(-2000)}`,
    );
  }
  return {
    log,
    stop: async () => {
      nginx.kill("SIGTERM");
      await Promise.race([ended, sleep(5000)]);
      nginx.kill("SIGKILL");
      rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
    },
  };
}

// exits with 0 in any case: the tests decide whether a missing nginx is a failure
if (process.argv[1] === fileURLToPath(import.meta.url))
  ensurePackages({ name: "nginx", packages: ["nginx"], isThere: hasNginx });
