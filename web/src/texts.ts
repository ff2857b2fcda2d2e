/** Every text of the page that people read, so that it can be translated in one place. */
import type { DownloadProgress } from "lessismore";
import type { TaskName } from "../../eval/problems/index.ts";
import type { BackendWish } from "./engine/open-wish.ts";

const number = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });
const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });

export function bytes(count: number): string {
  if (count >= 1e9) return `${number.format(count / 1e9)} GB`;
  return count >= 1e6 ? `${whole.format(count / 1e6)} MB` : `${whole.format(count / 1e3)} kB`;
}
export const tokens = (count: number): string => `${whole.format(count)} ${count === 1 ? "token" : "tokens"}`;
export const percent = (share: number): string => `${whole.format(100 * share)} %`;
export const milliseconds = (ms: number): string =>
  ms < 10 ? `${ms.toFixed(1)} ms` : `${whole.format(ms)} ms`;

const TASKS: Readonly<Record<TaskName, { readonly name: string; readonly about: string }>> = {
  variables: { name: "Variables", about: "Resolve one variable of a shuffled system of equations." },
  graph: { name: "Graph", about: "Find a depth-first path, with every wrong turn on the way." },
  registers: { name: "Registers", about: "Run a small register machine step by step." },
};

const BACKENDS: Readonly<Record<BackendWish, string>> = {
  auto: "Automatic",
  webgpu: "WebGPU (the GPU)",
  wasm: "WebAssembly, all cores",
  "one-thread": "WebAssembly, one thread",
};

const ATTENTION: Readonly<Record<string, string>> = {
  "less-is-more": "LessIsMore",
  "key-sketch": "Key sketch",
  "tidal-decode": "TidalDecode",
  quest: "Quest (pages)",
  "streaming-llm": "StreamingLLM (window)",
  "oracle-top-k": "Oracle (exact best)",
  "random-tokens": "Random tokens",
  full: "Full (all tokens)",
  spec: "My own spec…",
};

export const texts = {
  title: "lessismore",
  skip: "Skip to the message field",
  first: {
    heading: "Watch a model think for thousands of tokens, on your own machine",
    lead:
      "A reasoning model runs in this page. As its thoughts grow, it looks at a few hundred tokens of them " +
      "instead of all, and the view beside shows which. Nothing leaves your machine.",
    steps: [
      ["Solve", "The model writes its reasoning, thousands of tokens of it, then the answer."],
      ["Look", "Each token is coloured by how often the model has looked back at it."],
      ["Compare", "Change the attention, or race it against full attention."],
    ] as const,
  },
  problems: {
    heading: "An example problem",
    task: "Kind of problem",
    taskName: (task: TaskName) => TASKS[task].name,
    about: (task: TaskName) => TASKS[task].about,
    length: "Length",
    lengthOf: (length: number) => tokens(length),
    another: "Another",
    solve: "Solve it",
    preview: "The problem",
    expects: (promptTokens: number, reasoningTokens: number) =>
      `${tokens(promptTokens)} to read, about ${whole.format(reasoningTokens)} to think. The page knows the answer and checks it.`,
    waiting: "The problem is drawn when the model is there.",
    more: "Another problem",
    onlyThese: "pico-reasoner solves three kinds of problems and nothing else; it cannot chat.",
  },
  composer: {
    label: "Message",
    placeholder: "Write a message",
    placeholderPico: "Write a problem of one of the three kinds, in the same words",
    send: "Send",
    stop: "Stop",
    editing: "Editing: sending replaces the message and all after it.",
    cancelEdit: "Cancel",
    options: "Attention and thinking",
    attention: "Attention",
    budget: "Budget",
    spec: "Spec",
    thinking: "Thinking",
    thinkingFree: "As long as it takes",
    thinkingBudget: "At most",
    thinkingOff: "Off",
    thinkingTokens: "Thinking budget",
    attentionName: (kind: string) => ATTENTION[kind] ?? kind,
  },
  message: {
    you: "You",
    model: "Model",
    conversation: "Conversation",
    reasoning: "Reasoning",
    reasoningOf: (count: number) => `Reasoning, ${tokens(count)}`,
    thinking: (count: number) => `Thinking, ${tokens(count)} so far`,
    answering: (count: number) => `Answering, ${tokens(count)} so far`,
    reading: "Reading the problem…",
    waiting: "Waiting for the model…",
    replaying: (count: number) => `Taking up ${tokens(count)} again under the same attention…`,
    right: "Right",
    notRight: "Wrong",
    wrong: (answer: string) => `Wrong: the answer is ${answer}`,
    copy: "Copy",
    copied: "Copied",
    copyFailed: "The browser did not allow copying. Select the text and copy it.",
    retry: "Retry",
    edit: "Edit",
    resume: "Continue",
    stopped: "Stopped.",
    cut: "Cut by a reload of the page.",
    otherModel: (name: string) => `Continue needs ${name}, which wrote the beginning.`,
    failed: "It failed:",
    noTemplate: "This model has no chat template: it goes on with the text of the last message.",
    lengthReached: "The context is full.",
    notes: (count: number) => (count === 1 ? "1 note" : `${count} notes`),
    figures: {
      tokens: (count: number) => tokens(count),
      speed: (ms: number) => `${milliseconds(ms)} a token`,
      attended: (share: number) => `read ${percent(share)} of the cache`,
    },
    runStarted: "The model is thinking.",
    runEnded: (answer: string) => `Answer: ${answer}`,
  },
  answer: {
    copyCode: "Copy code",
    code: (language: string) => (language === "" ? "Code" : `Code, ${language}`),
    table: "Table",
    maths: "Formula",
    image: (text: string) => (text === "" ? "Image" : `Image: ${text}`),
    done: "Done",
    notDone: "Not done",
  },
  conversations: {
    heading: "Conversations",
    new: "New conversation",
    none: "Conversations are kept in this browser.",
    untitled: "New conversation",
    remove: (title: string) => `Delete “${title}”`,
    open: "Conversations",
  },
  models: {
    heading: "Model and machine",
    open: "Model",
    bundled: "Bundled",
    bundledAbout: "8.3 million parameters, 17 MB, made for this page.",
    stored: "In this browser",
    hub: "From the Hugging Face hub",
    hubAbout:
      "A name such as Qwen/Qwen3-0.6B or org/name/file.gguf. It is fetched once, in parts, and an interrupted download goes on where it stopped. " +
      "The browser talks to the hub then, and to nobody else.",
    hubName: "Name on the hub, or a URL",
    hubToken: "Access token (for gated models; not kept)",
    hubUrl: "Address of another hub, such as a mirror",
    hubMore: "Gated models and mirrors",
    fetch: "Open",
    suggestions: "To begin with",
    files: "From your files",
    filesAbout:
      "Drop a .gguf file, or the folder of a checkpoint, anywhere on the page. It is read, not copied or sent.",
    chooseFiles: "Choose files",
    chooseFolder: "Choose a folder",
    dropHere: "Drop the model to open it",
    remove: (name: string) => `Delete ${name} from this browser`,
    storage: (usage: number, quota: number) =>
      `This page keeps ${bytes(usage)}; the browser allows ${bytes(quota)}.`,
    noPrivateFiles:
      "This browser has no private files for pages (OPFS), or blocks them, so that models of the hub cannot be kept. The bundled model and your own files work.",
    noModelIn: (names: readonly string[]) =>
      `There is no model in ${names.slice(0, 3).join(", ") || "what was dropped"}: expected a .gguf file, or *.safetensors with config.json and tokenizer.json.`,
    missingBeside: (missing: readonly string[]) =>
      `Beside the weights ${missing.join(" and ")} ${missing.length === 1 ? "is" : "are"} missing: drop the whole folder.`,
    backend: "Runs on",
    backendName: (wish: BackendWish) => BACKENDS[wish],
    theme: "Appearance",
    themes: { auto: "As the system", light: "Light", dark: "Dark" },
  },
  engine: {
    opening: (name: string) => `Opening ${name}…`,
    reopening: "The device was lost. Opening the model again…",
    download: ({ phase, doneBytes, totalBytes, bytesPerSecond, secondsLeft }: DownloadProgress) => {
      if (phase === "waiting") return "Waiting for another tab that fetches it…";
      if (phase === "checking") return "Checking the files…";
      const left = secondsLeft === undefined ? "" : `, ${whole.format(Math.ceil(secondsLeft))} s left`;
      return `${bytes(doneBytes)} of ${bytes(totalBytes)}, ${bytes(bytesPerSecond)}/s${left}`;
    },
    ready: (backend: string) => `Ready on ${backend}`,
    failed: "The model did not open",
    retry: "Try again",
    closed: "No model is open",
    fellBack: (wanted: string, reason: string) =>
      `${wanted} could not be opened, so the next backend runs: ${reason}`,
    attempt: (backend: string, threads?: number) =>
      backend === "webgpu"
        ? "WebGPU"
        : threads === 1
          ? "One thread"
          : backend === "wasm"
            ? "WebAssembly with threads"
            : "The automatic choice",
    backendOf: (name: string) => (name === "webgpu" ? "WebGPU" : name === "wasm" ? "WebAssembly" : name),
    why: (description: string, why: string) => `${description} (${why})`,
    facts: "What runs",
    factModel: "Model",
    factBackend: "Backend",
    factWhy: "Why",
    factContext: "Context",
    factCache: "Cache",
    cacheOf: (perToken: number, dtype: string) => `${bytes(perToken)} a token, ${dtype}`,
  },
  notices: {
    noWebGpu:
      "This browser has no WebGPU, or does not offer it here. The model runs on WebAssembly, which is slower.",
    notIsolated:
      "This page is not cross-origin isolated, so that WebAssembly has one thread. Serve it with the headers Cross-Origin-Opener-Policy: same-origin and " +
      "Cross-Origin-Embedder-Policy: require-corp, or allow its service worker.",
    notKept: (why: string) =>
      `This browser blocks storage (${why}). Conversations are lost when the page closes.`,
    saveFailed: (why: string) => `The conversation could not be saved: ${why}`,
    offlineFailed: (why: string) => `The page cannot be kept for use without a network: ${why}`,
    offline: "No network. The page and the models in this browser work without one.",
    dismiss: "Dismiss",
  },
  tab: {
    otherHeading: "The page is open in another tab",
    other:
      "One tab at a time holds the model, so that it is in memory once and conversations are not overwritten.",
    takenHeading: "Another tab has taken over",
    taken: "The model was closed here. Your conversations are in the other tab.",
    useHere: "Use it here",
  },
  views: {
    heading: "What the model does",
    selection: "Attended tokens",
    speed: "Speed",
    short: { selection: "Attended", speed: "Speed" },
    chat: "Chat",
    emptyHeading: "Nothing to see yet",
    empty:
      "Solve a problem: while the model thinks, this shows which of its tokens it looks at, and what each token costs.",
  },
  errors: {
    noModel: "No model is open: choose one.",
    page: "Something in the page failed:",
  },
  close: "Close",
} as const;
