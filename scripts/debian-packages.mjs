// Programs of Debian for tests: unpacks packages, and what they need and the machine lacks, into a folder below
// node_modules/.cache. Nothing is installed. It needs apt, and root only to refresh apt's lists.
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const CACHE = join(dirname(dirname(fileURLToPath(import.meta.url))), "node_modules/.cache");
const TIMEOUT_MS = 3 * 60_000; // seconds on a good line

/** The folder of unpacked packages, such as `slurm`. */
export const unpackedFolder = (name) => join(CACHE, name);

/** The folder of the packages' libraries, such as usr/lib/x86_64-linux-gnu; undefined if `has` is in none. */
export function libraryFolder(root, has = ".") {
  const lib = join(root, "usr/lib");
  const found = existsSync(lib)
    ? readdirSync(lib).find((name) => existsSync(join(lib, name, has)))
    : undefined;
  return found === undefined ? undefined : join(lib, found);
}

/**
 * Unpacks packages into a folder of the cache, whole or not at all.
 * @param {string} name of the folder
 * @param {readonly string[]} packages
 * @param {{ suite?: string }} [from] another release of Debian: then with all that they need, the C library too, for nothing of the
 * machine's own fits them
 * @throws {Error} when this is not Debian, or a package does not come
 */
export function unpackPackages(name, packages, { suite } = {}) {
  if (!existsSync("/etc/debian_version")) throw new Error("this is not Debian");
  const start = Date.now();
  const root = unpackedFolder(name);
  const folder = `${root}.new`;
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  const call = (program, args) => {
    const timeout = Math.max(1, TIMEOUT_MS - (Date.now() - start));
    const result = spawnSync(program, args, { cwd: folder, timeout, encoding: "utf8" });
    if (result.status !== 0)
      throw new Error(`${program} ${args[0]}: ${result.error?.message ?? result.stderr.trim()}`);
    return result.stdout;
  };
  const apt = suite === undefined ? [] : ["-c", ownApt(folder, suite)];
  try {
    if (apt.length > 0 || process.getuid?.() === 0) call("apt-get", [...apt, "update", "-qq"]);
    // What these packages need and the machine lacks.
    const simulated = call("apt-get", [
      ...[...apt, "install", "--print-uris", "-qq", "-y", "--no-install-recommends"],
      ...packages,
    ]);
    const named = [...simulated.matchAll(/^'[^']+' ([^_\s]+)_/gm)].map((match) => match[1]);
    call("apt-get", [
      ...[...apt, "download", "-qq", "-o", "APT::Sandbox::User=root"],
      ...new Set([...packages, ...named]),
    ]);
    for (const file of readdirSync(folder).filter((one) => one.endsWith(".deb")))
      call("dpkg-deb", ["--extract", file, "."]);
    for (const file of readdirSync(folder).filter((one) => one.endsWith(".deb"))) rmSync(join(folder, file));
    rmSync(join(folder, "apt"), { recursive: true, force: true });
    rmSync(root, { recursive: true, force: true });
    renameSync(folder, root);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Writes the configuration of an apt that knows one release and nothing that is installed; returns its file. */
function ownApt(folder, suite) {
  const apt = join(folder, "apt");
  for (const path of ["lists/partial", "cache/archives/partial", "parts"])
    mkdirSync(join(apt, path), { recursive: true });
  writeFileSync(join(apt, "status"), "");
  writeFileSync(
    join(apt, "parts/debian.sources"),
    `Types: deb\nURIs: http://deb.debian.org/debian\nSuites: ${suite}\nComponents: main\n` +
      "Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg\n",
  );
  const file = join(apt, "apt.conf");
  writeFileSync(
    file,
    `Dir::Etc::SourceList "/dev/null";\nDir::Etc::SourceParts "${apt}/parts";\nDir::State::Lists "${apt}/lists";\n` +
      `Dir::State::status "${apt}/status";\nDir::Cache "${apt}/cache";\nAPT::Sandbox::User "root";\n`,
  );
  return file;
}

/**
 * Unpacks packages unless they are there, and says what came of it in one line on standard error.
 * @param {{ name: string, packages: readonly string[], isThere: () => boolean, suite?: string }} wanted
 */
export function ensurePackages({ name, packages, isThere, suite }) {
  const say = (text) => process.stderr.write(`${text}\n`);
  if (isThere()) return say(`${name} is there, for tests`);
  const start = Date.now();
  try {
    unpackPackages(name.toLowerCase(), packages, suite === undefined ? {} : { suite });
    say(`unpacked ${name} for tests in ${((Date.now() - start) / 1000).toFixed(1)} s`);
  } catch (error) {
    say(`no ${name} for tests: ${error instanceof Error ? error.message : String(error)}`);
  }
}
