/**
 * Proves on a machine with several GPUs that `--device N` computes on card N and on no other, equal cards included: starts a
 * server for each card, all at once, and looks which card's device file it holds open and on which card memory is used.
 * Run by `node dist/test/gpu/cards.js`; prints JSON; exit code 1 if anything is wrong.
 */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { readdirSync, readlinkSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { usableNvidiaCards } from "../../src/node/nvidia-cards.ts";

const MAIN = fileURLToPath(new URL("../../cli/main.js", import.meta.url));
const START_MS = 180_000;

interface Server {
  readonly process: ChildProcess;
  readonly url: string;
  /** Of the process that serves. */
  readonly pid: number;
  readonly exit: Promise<number | null>;
}

interface Card {
  readonly index: number;
  readonly name: string;
  readonly selfTest: string;
  readonly text?: string;
  readonly opened?: readonly string[];
  readonly expected?: string | undefined;
  readonly usedMiB?: Readonly<Record<string, number>>;
  readonly exitCode?: number | null;
}

const problems: string[] = [];
const report = doctor();
const cards: Card[] = report.webgpu.adapters.map(({ index = -1, name, selfTest }) => ({
  ...{ index, name, selfTest: selfTest.isRight ? "right" : JSON.stringify(selfTest) },
}));
for (const { index, name, problem } of report.webgpu.unopened ?? [])
  problems.push(`GPU ${index}: ${name} could not be examined: ${problem}`);
for (const { index, selfTest } of cards) if (selfTest !== "right") problems.push(`GPU ${index}: ${selfTest}`);

const wrong = run(["generate", "hi", "--device", "99"]);
if (wrong.status !== 2 || !wrong.stderr.includes("99")) problems.push(`--device 99: ${wrong.stderr}`);

const servers: Server[] = [];
try {
  for (const [at, card] of cards.entries()) {
    const before = usedMemory();
    const server = await start(card.index);
    servers.push(server);
    const text = await answer(server);
    const after = usedMemory();
    const usedMiB = Object.fromEntries([...after].map(([key, mib]) => [key, mib - (before.get(key) ?? 0)]));
    cards[at] = { ...card, text, opened: openedCards(server.pid), expected: fileOf(card.name), usedMiB };
  }
  for (const { index, name, text, opened = [], expected, usedMiB = {} } of cards) {
    if (text !== cards[0]?.text)
      problems.push(`GPU ${index} answers ${text}, GPU ${cards[0]?.index} ${cards[0]?.text}`);
    if (expected === undefined) continue; // no card of NVIDIA, or the only one of its name
    if (opened.join() !== expected)
      problems.push(`GPU ${index} (${name}) holds ${opened.join()}, not ${expected}`);
    const [[most] = []] = Object.entries(usedMiB).sort(([, a], [, b]) => b - a);
    if (most !== undefined && !isOf(most, name))
      problems.push(`GPU ${index} (${name}) uses memory of ${most}`);
  }
} finally {
  for (const { process } of servers) process.kill("SIGTERM");
  for (const [at, { exit }] of servers.entries()) {
    const exitCode = await exit;
    if (exitCode !== 0) problems.push(`the server of GPU ${cards[at]?.index} ended with ${exitCode}`);
  }
}
const names = new Set(cards.map(({ name }) => name.replace(/ at .*/, "")));
process.stdout.write(
  `${JSON.stringify({ cards, numCards: cards.length, numModels: names.size, problems }, undefined, 1)}\n`,
);
process.exitCode = problems.length === 0 ? 0 : 1;

interface DoctorReport {
  readonly webgpu: {
    readonly adapters: readonly { index?: number; name: string; selfTest: { isRight: boolean } }[];
    readonly unopened?: readonly { index: number; name: string; problem: string }[];
  };
}

function doctor(): DoctorReport {
  const { stdout, stderr, status } = run(["doctor", "--json"]);
  if (stdout === "") throw new Error(`doctor ended with ${status}: ${stderr}`);
  return JSON.parse(stdout);
}

function run(args: readonly string[]) {
  return spawnSync(process.execPath, [MAIN, ...args], { encoding: "utf8", timeout: 400_000, input: "" });
}

async function start(index: number): Promise<Server> {
  const args = ["serve", "--json", "--port", "0", "--device", String(index)];
  const child = spawn(process.execPath, [MAIN, ...args], { stdio: ["ignore", "pipe", "inherit"] });
  const exit = new Promise<number | null>((resolve) => {
    child.once("exit", resolve);
  });
  const line = await new Promise<string>((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`the server of GPU ${index} did not start`)), START_MS);
    child.stdout.once("data", (text: Buffer) => {
      clearTimeout(timer);
      resolve(String(text));
    });
    void exit.then((code) => reject(new Error(`the server of GPU ${index} ended with ${code}`)));
  });
  return { process: child, exit, ...(JSON.parse(line) as { url: string; pid: number }) };
}

async function answer({ url }: Server): Promise<string> {
  const response = await fetch(`${url}/chat/completions`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({
      messages: [{ role: "user", content: "Find qw. Arithmetic is modulo 100.\nio=26\nqw=io+7" }],
      temperature: 0,
      max_tokens: 40,
    }),
    signal: AbortSignal.timeout(START_MS),
  });
  const body = await response.json();
  return JSON.stringify((body as { choices?: { message: unknown }[] }).choices?.[0]?.message ?? body);
}

/** Files of NVIDIA's cards that a process holds open. */
function openedCards(pid: number): readonly string[] {
  const folder = `/proc/${pid}/fd`;
  const links = readdirSync(folder).flatMap((name) => {
    try {
      return [readlinkSync(`${folder}/${name}`)];
    } catch {
      return []; // closed meanwhile
    }
  });
  return [...new Set(links.filter((link) => /^\/dev\/nvidia\d+$/.test(link)))].sort();
}

/** MiB in use by PCI address, as nvidia-smi tells. */
function usedMemory(): ReadonlyMap<string, number> {
  const args = ["--query-gpu=pci.bus_id,memory.used", "--format=csv,noheader,nounits"];
  const { stdout, status } = spawnSync("nvidia-smi", args, { encoding: "utf8", timeout: 30_000 });
  if (status !== 0) return new Map();
  return new Map(
    stdout
      .trim()
      .split("\n")
      .map((line): [string, number] => {
        const [address = "", mib] = line.split(", ");
        return [address.toLowerCase().replace(/^0000(?=....:)/, ""), Number(mib)];
      }),
  );
}

function fileOf(name: string): string | undefined {
  return usableNvidiaCards().find(({ address }) => isOf(address, name))?.file;
}

/** True if a card's name ends with a PCI address. */
function isOf(address: string, name: string): boolean {
  return name.endsWith(` at ${address}`);
}
