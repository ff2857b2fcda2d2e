/**
 * The messages between an engine in a worker and its proxy. Both sides come from one package; the worker's first message has the
 * version, since a page may load an old copy of the worker's script.
 */
import type { StepTrace } from "../attention/observer.ts";
import type { EngineReport } from "../engine/engine-api.ts";
import type { EngineStats } from "../engine/engine-stats.ts";
import type {
  GenerationPart,
  GenerationProgress,
  GenerationRequest,
  GenerationResult,
} from "../engine/request.ts";
import type { ScoreEachRequest, ScoreRequest, ScoreResult } from "../engine/score.ts";
import type { LoadedSession, SavedSession, SessionOptions, SessionRequest } from "../engine/session.ts";
import type { PromptToTokenize, TokenizedPrompt } from "../engine/tokenize-prompt.ts";
import type { DownloadProgress } from "../load/hub/transfer-rate.ts";
import type { SentError } from "./error-transfer.ts";
import type { SentTokenizer } from "./tokenizer-transfer.ts";

/** Raised with every change of a message. */
export const PROTOCOL_VERSION = 3;

/** A request as data. The engine in the worker checks it again. */
export type SentRequest = Omit<GenerationRequest, "signal" | "observer"> & {
  /** Options of an observer, whose `onStep` is the proxy's. */
  readonly observer?: SentObserver | undefined;
};

/** What an observer wants; checked by the engine in the worker. */
export type SentObserver = Readonly<Record<string, unknown>>;

type Live = "signal" | "observer" | "onLogits";
export type SentScore = Omit<ScoreRequest, Live> & { readonly observer?: SentObserver | undefined };
export type SentScoreEach = Omit<ScoreEachRequest, Live>;
export type SentSession = Omit<SessionRequest, "signal">;

/** Calls that return once, by name: what is sent, and what comes back. */
export interface Calls {
  readonly logits: { readonly sent: { readonly tokenIds: ArrayLike<number> }; readonly back: Float32Array };
  readonly score: {
    readonly sent: { readonly request: SentScore; readonly wantsLogits: boolean };
    readonly back: ScoreResult;
  };
  readonly scoreEach: {
    readonly sent: { readonly request: SentScoreEach; readonly wantsLogits: boolean };
    readonly back: readonly ScoreResult[];
  };
  readonly saveSession: { readonly sent: { readonly request: SentSession }; readonly back: SavedSession };
  readonly loadSession: {
    readonly sent: { readonly bytes: Uint8Array; readonly options: Omit<SessionOptions, "signal"> };
    readonly back: LoadedSession;
  };
  readonly tokenizePrompt: {
    readonly sent: { readonly prompt: PromptToTokenize };
    readonly back: TokenizedPrompt;
  };
  readonly close: { readonly sent: object; readonly back: undefined };
}

export type CallName = keyof Calls;
export type Call = { readonly [Name in CallName]: { readonly name: Name } & Calls[Name]["sent"] }[CallName];

/** Messages of the proxy. `id` names a generation or a call; the proxy counts them. */
export type ToEngine =
  /** unread: the counter of `UnreadEvents`, where threads may share memory. */
  | { readonly type: "open"; readonly options: unknown; readonly unread: Int32Array | undefined }
  | { readonly type: "generate"; readonly id: number; readonly request: SentRequest }
  /** The consumer has room for `count` more parts. */
  | { readonly type: "read"; readonly id: number; readonly count: number }
  /** The result is wanted, however many parts are unread. */
  | { readonly type: "result"; readonly id: number }
  | { readonly type: "call"; readonly id: number; readonly call: Call }
  /** Nobody waits for this generation or call any more. */
  | { readonly type: "abort"; readonly id: number };

/** Messages of the worker. */
export type FromEngine =
  | { readonly type: "ready"; readonly version: number }
  | { readonly type: "download"; readonly progress: DownloadProgress }
  | { readonly type: "opened"; readonly engine: OpenedEngine }
  | { readonly type: "refused"; readonly error: SentError }
  | {
      readonly type: "part";
      readonly id: number;
      readonly part: GenerationPart;
      readonly progress: GenerationProgress;
    }
  | {
      readonly type: "progress";
      readonly progress: readonly (readonly [id: number, progress: GenerationProgress])[];
    }
  | { readonly type: "stats"; readonly stats: EngineStats }
  /** The engine has ended; its requests get their errors by themselves. */
  | { readonly type: "lost"; readonly error: SentError }
  | {
      readonly type: "finished";
      readonly id: number;
      readonly result: GenerationResult;
      readonly progress: GenerationProgress;
    }
  | {
      readonly type: "failed";
      readonly id: number;
      readonly error: SentError;
      readonly progress: GenerationProgress | undefined;
    }
  | { readonly type: "step"; readonly id: number; readonly trace: StepTrace }
  | {
      readonly type: "logits";
      readonly id: number;
      readonly index: number;
      readonly position: number;
      readonly logits: Float32Array;
    }
  | { readonly type: "returned"; readonly id: number; readonly value: Calls[CallName]["back"] }
  | { readonly type: "threw"; readonly id: number; readonly error: SentError };

/** What an engine tells once. */
export interface OpenedEngine {
  readonly report: EngineReport;
  readonly stats: EngineStats;
  readonly chatTemplates: readonly string[];
  readonly tokenizer: SentTokenizer;
}

/** One end of a channel: sends messages of one type, receives those of the other. */
export interface Channel<Out, In> {
  /** @throws DataCloneError if the message has something that cannot be sent, such as a function */
  send(message: Out, transfer?: readonly ArrayBuffer[]): void;
  /** Called once. Messages that came before wait for it. */
  receive(callback: (message: In) => void): void;
  close(): void;
}

/** The channel of a port. */
export function channelOf<Out, In>(port: MessagePort): Channel<Out, In> {
  return {
    send: (message, transfer) => port.postMessage(message, [...(transfer ?? [])]),
    receive: (callback) => {
      port.onmessage = ({ data }: MessageEvent<In>) => callback(data);
    },
    close: () => port.close(),
  };
}

/** The buffers behind arrays that the sender gives away, each once. Memory that threads share is not given away. */
export function buffersOf(arrays: Iterable<ArrayBufferView | undefined>): ArrayBuffer[] {
  const buffers = new Set<ArrayBuffer>();
  for (const array of arrays) if (array?.buffer instanceof ArrayBuffer) buffers.add(array.buffer);
  return [...buffers];
}
