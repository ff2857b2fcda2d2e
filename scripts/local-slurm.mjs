// A Slurm of one machine for tests: munged, slurmctld and slurmd run as the current user from a folder of their own.
// `node scripts/local-slurm.mjs` unpacks Debian's packages into node_modules/.cache/slurm (4 MB; nothing is installed) and
// prints the outcome to standard error. It needs apt, and root only to refresh apt's lists.
import { spawn, spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir, userInfo } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { ensurePackages, libraryFolder, unpackedFolder } from "./debian-packages.mjs";

const ROOT = unpackedFolder("slurm");
const PACKAGES = ["slurmctld", "slurmd", "slurm-client", "munge"];
const START_TIMEOUT_MS = 60_000;

const inRoot = (...parts) => join(ROOT, "usr", ...parts);

/** Folder of the packages' libraries. */
const libraries = () => libraryFolder(ROOT, "slurm-wlm");

/** True if the packages are unpacked. */
export function hasSlurm() {
  return (
    libraries() !== undefined && existsSync(inRoot("sbin/slurmctld-wlm")) && existsSync(inRoot("sbin/munged"))
  );
}

/**
 * Starts a cluster of one node.
 * @returns {Promise<import("./local-slurm.d.mts").LocalSlurm>}
 */
export async function startSlurm() {
  const libraryPath = libraries();
  if (!hasSlurm() || libraryPath === undefined)
    throw new Error("Slurm is not unpacked: run `node scripts/local-slurm.mjs`, which says why");
  const folder = mkdtempSync(join(tmpdir(), "lessismore-slurm-"));
  const [controllerPort, nodePort] = await freePorts(2);
  writeConfiguration(folder, { controllerPort, nodePort, libraryFolder: libraryPath });
  const env = {
    ...process.env,
    SLURM_CONF: join(folder, "slurm.conf"),
    PATH: `${inRoot("bin")}:${process.env.PATH}`,
    LD_LIBRARY_PATH: `${libraryPath}:${join(libraryPath, "slurm-wlm")}`,
  };
  const daemons = [];
  const daemon = (program, args) => {
    const child = spawn(inRoot("sbin", program), args, { env, stdio: "ignore" });
    child.on("error", () => {}); // The wait below ends with the logs.
    daemons.push(child);
  };
  const stop = async () => {
    for (const child of daemons.reverse()) child.kill("SIGTERM");
    const isOver = () =>
      daemons.every(({ exitCode, signalCode }) => exitCode !== null || signalCode !== null);
    for (let i = 0; i < 100 && !isOver(); i++) await sleep(100);
    for (const child of daemons) child.kill("SIGKILL");
    rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
  };
  const call = (program, args) => spawnSync(program, args, { env, encoding: "utf8", timeout: 20_000 });
  try {
    daemon("munged", mungeOptions(folder));
    await until(() => existsSync(join(folder, "munge/socket")), folder);
    daemon("slurmctld-wlm", ["-D", "-c"]);
    daemon("slurmd-wlm", ["-D", "-N", "localhost", "-d", inRoot("sbin/slurmstepd-wlm")]);
    await until(() => call("sinfo", ["-h", "-o", "%T"]).stdout?.trim() === "idle", folder);
  } catch (error) {
    await stop();
    throw error;
  }
  return { env, folder, call, stop };
}

function mungeOptions(folder) {
  const at = (name) => join(folder, "munge", name);
  return [
    "--foreground",
    "--force",
    ...["key", "pid", "log", "seed"].map((kind) => `--${kind}-file=${at(kind)}`),
    `--socket=${at("socket")}`,
  ];
}

function writeConfiguration(folder, { controllerPort, nodePort, libraryFolder }) {
  for (const name of ["munge", "state", "spool"]) mkdirSync(join(folder, name), { mode: 0o700 });
  writeFileSync(join(folder, "munge/key"), randomBytes(1024), { mode: 0o400 });
  const { username } = userInfo();
  const lines = [
    "ClusterName=test",
    "SlurmctldHost=localhost(127.0.0.1)",
    `SlurmctldPort=${controllerPort}`,
    `SlurmdPort=${nodePort}`,
    `SlurmUser=${username}`,
    `SlurmdUser=${username}`,
    "AuthType=auth/munge",
    `AuthInfo=socket=${join(folder, "munge/socket")}`,
    "CredType=cred/munge",
    `PluginDir=${join(libraryFolder, "slurm-wlm")}`,
    `StateSaveLocation=${join(folder, "state")}`,
    `SlurmdSpoolDir=${join(folder, "spool")}`,
    `SlurmctldPidFile=${join(folder, "slurmctld.pid")}`,
    `SlurmdPidFile=${join(folder, "slurmd.pid")}`,
    `SlurmctldLogFile=${join(folder, "slurmctld.log")}`,
    `SlurmdLogFile=${join(folder, "slurmd.log")}`,
    "ProctrackType=proctrack/linuxproc",
    "TaskPlugin=task/none",
    "JobAcctGatherType=jobacct_gather/none",
    "AccountingStorageType=accounting_storage/none",
    "SwitchType=switch/none",
    "MpiDefault=none",
    "SelectType=select/cons_tres",
    "SelectTypeParameters=CR_Core",
    "SchedulerType=sched/builtin",
    "ReturnToService=2",
    "KillWait=2",
    "SlurmdParameters=config_overrides",
    "NodeName=localhost NodeAddr=127.0.0.1 CPUs=2 RealMemory=2000 State=UNKNOWN",
    "PartitionName=main Nodes=ALL Default=YES MaxTime=60 State=UP",
    "",
  ];
  writeFileSync(join(folder, "slurm.conf"), lines.join("\n"));
}

async function until(isReady, folder) {
  const end = Date.now() + START_TIMEOUT_MS;
  while (!isReady()) {
    if (Date.now() > end) {
      const logs = ["munge/log", "slurmctld.log", "slurmd.log"]
        .map((name) => join(folder, name))
        .filter(existsSync);
      const said = logs.map((path) => `${path}:\n${readFileSync(path, "utf8").slice(-1500)}`).join("\n");
      throw new Error(`Slurm did not start within ${START_TIMEOUT_MS / 1000} s\n${said}`);
    }
    await sleep(100);
  }
}

async function freePorts(count) {
  const servers = Array.from({ length: count }, () => createServer());
  await Promise.all(
    servers.map((server) => new Promise((resolve) => server.listen(0, "127.0.0.1", resolve))),
  );
  const ports = servers.map((server) => server.address().port);
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}

// exits with 0 in any case: the tests decide whether a missing Slurm is a failure
if (process.argv[1] === fileURLToPath(import.meta.url))
  ensurePackages({ name: "Slurm", packages: PACKAGES, isThere: hasSlurm });
