import type { FileFolder } from "../byte-source.ts";
import type { PartialFile } from "./fetch-parts.ts";
import type { HubFile } from "./hub-client.ts";

/** A commit of a repository in a store. */
export interface Snapshot {
  /** As `repo-id.ts` has it: `org/name` of a model, `datasets/org/name`. */
  readonly repo: string;
  readonly commit: string;
}

/** A place that keeps models of a hub: a cache folder on disk, or a browser's private files. */
export interface ModelStore {
  /** Names the place in messages. */
  readonly name: string;
  /** The commit that a revision named when it was last asked for. */
  commitOf(repo: string, revision: string): Promise<string | undefined>;
  /** Notes that a revision names a commit now. */
  keepCommit(snapshot: Snapshot, revision: string): Promise<void>;
  /** Paths of the whole files of a commit. */
  list(snapshot: Snapshot): Promise<readonly string[]>;
  /** True if the file is here, whole. A file of another size counts as missing. */
  has(snapshot: Snapshot, file: HubFile): Promise<boolean>;
  /** Bytes of a file that an earlier download left. */
  partlyHere(snapshot: Snapshot, file: HubFile): Promise<number>;
  /** @throws ModelFileError when so many bytes do not fit, with what is free and what to do. */
  checkSpace(sizeBytes: number): Promise<void>;
  /**
   * Receives a file: waits until no other process fetches it, opens what is there of it, lets `fill` fetch the rest, checks
   * the hash, and only then gives it its name. Does nothing if the file is whole by then.
   * @throws ModelFileError when the hash is wrong; the bytes are then removed.
   */
  receive(snapshot: Snapshot, file: HubFile, calls: ReceiveCalls): Promise<void>;
  /** Notes that a commit has no file of these names. */
  keepAbsent(snapshot: Snapshot, paths: readonly string[]): Promise<void>;
  /** True if the commit is known to have no such file. */
  isAbsent(snapshot: Snapshot, path: string): Promise<boolean>;
  openFolder(snapshot: Snapshot): Promise<FileFolder>;
}

export interface ReceiveCalls {
  readonly signal: AbortSignal | undefined;
  /** Called while another process has the file. */
  readonly onWait: () => void;
  /** Called before the hash is computed. */
  readonly onCheck: () => void;
  fill(partial: PartialFile): Promise<void>;
}
