/** A running nginx. */
export interface LocalNginx {
  /** Its error log. */
  log(): string;
  /** Ends it and removes its folder. */
  stop(): Promise<void>;
}

/** True if nginx is unpacked. */
export function hasNginx(): boolean;

/** Starts nginx with a configuration of the `http` block; resolves when it answers at `url`. @throws Error with its log */
export function startNginx(http: string, url: string): Promise<LocalNginx>;
