// An attention policy as a person may write one, for the tests of workers: a sliding window that can end its thread.
export default function slidingWindow({ budget, exitAt = 0, throwAt = 0 }) {
  let numSelections = 0;
  return {
    name: "window",
    settings: { budget },
    tokenBudget: budget,
    layerRole: (layer) => ({ attends: "selected", selects: layer === 0 }),
    select: (selector) => {
      numSelections++;
      if (numSelections === exitAt) process.exit(7); // in a worker this ends the worker alone
      if (numSelections === throwAt) throw new RangeError("not today");
      return selector.expandSelection(undefined, { sinks: 0, recent: budget });
    },
  };
}
