/** What the command line lends a command of eval. */
export interface CommandHost {
  /** columns: of a terminal */
  readonly stdout: { write(text: string): unknown; readonly columns?: number };
  readonly stderr: { write(text: string): unknown; readonly isTTY?: boolean };
  /** Shows a line on a terminal until `erase`; does nothing elsewhere. */
  readonly progress: { show(describe: () => string | undefined): void; erase(): void };
  /** Aborted by the first Ctrl-C. */
  readonly signal: AbortSignal;
  /** From here on a Ctrl-C aborts the signal; before, it ends the process. */
  begin(): void;
}

/** Exit code of a run that Ctrl-C ended. */
export const INTERRUPTED = 130;

/** Writes notes, each on a line `lessismore: …`. */
export function writeNotes({ stderr, progress }: CommandHost, notes: readonly string[]): void {
  progress.erase();
  for (const note of notes) stderr.write(`lessismore: ${note.replace(/\s*\n\s*/g, " ")}\n`);
}
