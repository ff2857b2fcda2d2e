/**
 * The package as its users get it: packed by npm, and installed by npm from the tarball into an empty folder outside the
 * checkout. Nothing is fetched: the packages that it depends on are installed from the checkout.
 */
import { spawnSync } from "node:child_process";
import {
  chmodSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { repositoryPath } from "../golden/open-fixture.ts";

const LIMIT_MS = 200_000;

/** What `npm pack --json` says of a tarball. */
export interface PackedFiles {
  readonly size: number;
  readonly unpackedSize: number;
  readonly files: readonly { readonly path: string; readonly size: number }[];
}

interface LockedPackage {
  readonly dev?: boolean;
  readonly optional?: boolean;
  readonly devOptional?: boolean;
  readonly peer?: boolean;
}

export class InstalledPackage {
  /** A project of its own that depends on the package. */
  readonly project: string;
  readonly tarball: string;
  readonly packed: PackedFiles;
  readonly #folder = mkdtempSync(join(tmpdir(), "lessismore-installed-"));

  constructor() {
    this.project = join(this.#folder, "project");
    mkdirSync(this.project);
    const pack = ["pack", "--json", "--ignore-scripts", "--pack-destination", this.#folder];
    const [packed] = JSON.parse(npm(pack, repositoryPath(".")));
    this.packed = packed;
    this.tarball = join(this.#folder, packed.filename);
    const dependencies = { ...this.#dependencies(), lessismore: `file:${this.tarball}` };
    this.write("package.json", JSON.stringify({ private: true, type: "module", dependencies }));
    const install = ["install", "--offline", "--install-links", "--omit=optional", "--ignore-scripts"];
    npm([...install, "--no-audit", "--no-fund"], this.project);
  }

  /** Copies a file or a folder of the checkout into the project. */
  copy(from: string, to = from): string {
    const target = join(this.project, to);
    cpSync(repositoryPath(from), target, { recursive: true });
    return target;
  }

  write(path: string, text: string): string {
    const target = join(this.project, path);
    mkdirSync(dirname(target), { recursive: true });
    writeFileSync(target, text);
    return target;
  }

  /** Lets the project find a development package of the checkout. */
  link(name: string): void {
    const target = join(this.project, "node_modules", name);
    mkdirSync(dirname(target), { recursive: true });
    symlinkSync(repositoryPath(`node_modules/${name}`), target, "junction");
  }

  /** Gives the project's scripts the command of a linked package. */
  bin(name: string, script: string): void {
    this.write(`node_modules/.bin/${name}`, `#!/usr/bin/env node\nimport "../${name}/${script}";\n`);
    chmodSync(join(this.project, `node_modules/.bin/${name}`), 0o755);
  }

  /** Runs a program of Node in the project. */
  node(args: readonly string[], env: Record<string, string> = {}) {
    return spawnSync(process.execPath, args, {
      cwd: this.project,
      encoding: "utf8",
      timeout: LIMIT_MS,
      env: { ...process.env, ...env },
    });
  }

  remove(): void {
    rmSync(this.#folder, { recursive: true, force: true });
  }

  /** The packages that npm would fetch with this one, each as a folder of the checkout. */
  #dependencies(): Record<string, string> {
    const { packages } = JSON.parse(readFileSync(repositoryPath("package-lock.json"), "utf8"));
    const locked = Object.entries<LockedPackage>(packages).filter(
      ([path, { dev, optional, devOptional, peer }]) =>
        path !== "" && !dev && !optional && !devOptional && !peer,
    );
    return Object.fromEntries(
      locked.map(([path]) => [path.replace(/^.*node_modules\//, ""), `file:${repositoryPath(path)}`]),
    );
  }
}

/** Runs npm and returns what it prints. */
function npm(args: readonly string[], cwd: string): string {
  const isWindows = process.platform === "win32";
  const { status, stdout, stderr, error } = spawnSync(isWindows ? "npm.cmd" : "npm", args, {
    cwd,
    encoding: "utf8",
    timeout: LIMIT_MS,
    shell: isWindows,
  });
  if (status !== 0) throw new Error(`npm ${args[0]} in ${cwd}: ${error?.message ?? stderr}`);
  return stdout;
}
