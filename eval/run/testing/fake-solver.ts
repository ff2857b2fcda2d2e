/** A solver for tests: its answers depend on the request alone. */
import type {
  AttentionChoice,
  Method,
  Scored,
  ScoreRequest,
  Solved,
  SolveRequest,
  Solver,
} from "../solver.ts";

export interface FakeOptions {
  readonly concurrency?: number;
  readonly identity?: Readonly<Record<string, unknown>>;
  /** Called with each request, before it is answered; may throw. */
  readonly onSolve?: (request: SolveRequest) => void | Promise<void>;
}

/** Answers "sum of the question's digits", or the seed's last digit where it samples. */
export class FakeSolver implements Solver {
  readonly report;
  readonly concurrency: number;
  readonly #onSolve: FakeOptions["onSolve"];
  /** Requests in flight, and the most there were. */
  inFlight = 0;
  mostInFlight = 0;

  constructor({ concurrency = 4, identity = { model: "fake" }, onSolve }: FakeOptions = {}) {
    this.concurrency = concurrency;
    this.report = { model: "fake", identity, facts: {}, notes: [] };
    this.#onSolve = onSolve;
  }

  async bind(choices: readonly AttentionChoice[]): Promise<readonly Method[]> {
    return choices.map(({ spec, attention }) => ({ label: spec, attention }));
  }

  async solve(request: SolveRequest): Promise<Solved> {
    this.mostInFlight = Math.max(this.mostInFlight, ++this.inFlight);
    try {
      await new Promise((resolve) => setImmediate(resolve));
      request.signal?.throwIfAborted();
      await this.#onSolve?.(request);
      const question = String(request.messages[0]?.content);
      const sum = [...question].reduce((total, digit) => total + (Number(digit) || 0), 0);
      const answer = (request.sampling.temperature ?? 0) > 0 ? request.seed % 10 : sum;
      return {
        text: `thinking</think>The answer is \\boxed{${answer}}.`,
        promptTokens: question.length,
        completionTokens: 10 + (request.seed % 7),
        finishReason: "stop",
        attendedFraction: 0.5,
        msPerToken: 1,
      };
    } finally {
      this.inFlight--;
    }
  }

  async score({ tokenIds, from, methods }: ScoreRequest): Promise<readonly Scored[]> {
    return methods.map(({ label }) => {
      const extra = label === "full" ? 0 : 1;
      return {
        logProbs: Float32Array.from(tokenIds.slice(from), (id) => -(id + extra)),
        isLikeliest: tokenIds.slice(from).map((id) => id < 5 - extra),
      };
    });
  }

  async close(): Promise<void> {}
}
