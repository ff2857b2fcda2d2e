/** The texts of the selection view and the speed view. */
const number = new Intl.NumberFormat("en");
const count = (n: number, one: string, many = `${one}s`) => `${number.format(n)} ${n === 1 ? one : many}`;
const percent = (share: number) =>
  new Intl.NumberFormat("en", { style: "percent", maximumFractionDigits: share < 0.1 ? 1 : 0 }).format(share);
/** A token as people read it: white space made visible. */
const quoted = (text: string) =>
  `“${text.replace(/\n/g, "↵").replace(/\t/g, "⇥").replace(/^ $/, "space") || "no text"}”`;

export const viewTexts = {
  number: (n: number) => number.format(n),
  percent,
  quoted,
  selection: {
    heading: "Which tokens are attended",
    strip: "Tokens of the prompt, the reasoning and the answer",
    keys: "Arrow keys move by token and by row, Page Up and Page Down by eight rows, Home and End to the ends. Escape ends the choice.",
    overview: "All tokens, small",
    smaller: "A−, smaller text",
    larger: "A+, larger text",
    latest: "Follow the newest",
    legend: "Legend",
    often: "attended rarely to often",
    ages: "last attended long ago to just now",
    never: "not attended",
    prompt: "prompt",
    sinks: "sinks",
    window: "recent window",
    answer: "answer",
    summary: (tokens: number, prompt: number, observed: number) =>
      `${count(tokens, "token")}, ${number.format(prompt)} of them the prompt. ${count(observed, "step")} seen.`,
    sparse: (share: number) => `Decoding has read ${percent(share)} of the cache.`,
    dense: "So far every step attends to all tokens: they fit the budget.",
    noObserver: "This run was not watched, so that its time is its own: there are no selections to show.",
    thinned: (every: number) => `To bound memory, the selections of every ${every}th step are kept.`,
    token: (text: string, position: number, origin: string) =>
      `${quoted(text)}, token ${number.format(position)} (${origin})`,
    attended: (share: number, sets: number, last: number | undefined) =>
      `In ${percent(share)} of the ${count(sets, "selection")} since it came${last === undefined ? "." : `, last by the step at token ${number.format(last)}.`}`,
    notAttended: "No selection has had it so far.",
    promptToken:
      "Tokens of the prompt are read together, each attending to all before it: they have no step to show.",
    noStep: "No step has been seen here yet.",
  },
  step: {
    heading: (position: number) => `The step at token ${number.format(position)}`,
    nearest: (position: number) =>
      `The selection kept nearest before is that of token ${number.format(position)}.`,
    previous: "Previous step",
    next: "Next step",
    close: "Back to all steps",
    layers: "Layers",
    layer: (list: string, isOne: boolean) => `${isOne ? "Layer" : "Layers"} ${list}`,
    all: (tokens: number) => `all ${count(tokens, "token")}`,
    selects: (chosen: number) => `sees all, and selects ${number.format(chosen)}`,
    selected: (chosen: number, tokens: number) => `${number.format(chosen)} of ${count(tokens, "token")}`,
    chosenBy: (layer: number) => `chosen by layer ${layer}`,
    slides: (window: number) => `the last ${number.format(window)}`,
    dense: "This step attends to all tokens in every layer: they fit the budget.",
    heads: "Who put the tokens there",
    head: (head: number) => `Head ${head}`,
    set: (set: number) => `Set ${set}`,
    kept: "always kept",
    keptParts: (sinks: number, recent: number) => `${count(sinks, "sink")}, ${number.format(recent)} recent`,
    unnamed: "all heads together",
    seen: "seen",
    unseen: "not seen",
    table: "The tokens as a table",
    columns: { position: "Token", text: "Text", by: "By" },
    value: (text: string, position: number, layers: string) =>
      `Token ${number.format(position)}, ${quoted(text)}. ${layers}`,
  },
  overlap: {
    heading: "Overlap with the step before",
    about: "Share of tokens in both selections of those in either (Jaccard), by the layer that selects.",
    layer: (layer: number) => `layer ${layer}`,
    empty: "It begins with the second step that selects.",
    chart: (means: string) => `Line chart of the overlap by position. Means: ${means}.`,
    table: "The overlap as a table",
    tokens: "Tokens",
  },
  speed: {
    heading: "Time of a token",
    axis: "ms a token",
    position: "position",
    mean: (window: number) => `Lines: means over ${window} tokens. Dots: single tokens.`,
    thinned: (shown: number, of: number) => `${number.format(shown)} of ${number.format(of)} dots are drawn.`,
    above: (points: number) => `${count(points, "token")} took longer than the chart is high.`,
    empty: "It begins with the second token.",
    chart: (parts: string) => `Line chart of milliseconds a token by position. ${parts}`,
    figures: "Figures",
    run: "Run",
    tokens: "Tokens",
    rate: "Tokens a second",
    recent: (window: number) => `ms a token, last ${window}`,
    first: "First token",
    attended: "Cache read",
    cache: "Cache memory",
    weights: "Weights",
    backend: "Backend",
    why: "Why",
    state: { running: "running", done: "done", failed: "ended early", waiting: "waiting" },
    watched: "A run whose selections are shown pays for the watching; a race runs both unwatched.",
    table: "The times as a table",
    bucket: "Positions",
    ratio: (ratio: number) =>
      `Over the last tokens that both have, full attention takes ${ratio.toFixed(2)} times as long a token.`,
    megabytes: (bytes: number) => `${number.format(Math.round(bytes / 1e5) / 10)} MB`,
    milliseconds: (ms: number) =>
      `${ms < 10 ? ms.toFixed(2) : ms < 100 ? ms.toFixed(1) : number.format(Math.round(ms))} ms`,
  },
  race: {
    start: "Race against full attention",
    stop: "Stop the race",
    fair: (limit: number) =>
      `Both runs have the same prompt and engine, greedy sampling and at most ${count(limit, "token")}; they run one after the other, alone, unwatched, after a short run of each that is not timed. Neither reuses the other's cache.`,
    warmingUp: (attention: string) => `Warming up ${attention} …`,
    running: (attention: string, tokens: number) => `${attention}: ${count(tokens, "token")} …`,
    done: "The race is over.",
    stopped: "The race was stopped.",
    failed: (reason: string) => `The race ended early: ${reason}`,
    noEngine: "Open a model first.",
  },
} as const;
