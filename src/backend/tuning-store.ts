/** Keeps measurements of a machine: texts of a few hundred characters. */
export interface TuningStore {
  /** Identifies this machine and JavaScript engine: processor, versions. */
  readonly machine: string;
  /** The text kept under a key; undefined if there is none. */
  read(key: string): Promise<string | undefined>;
  /** Keeps the whole text or nothing. */
  write(key: string, text: string): Promise<void>;
}
