/** What the page leaves for the test to read. */
export type PageOutcome =
  | {
      readonly text: string;
      readonly attendedFraction: number;
      /** When each part came, from the start of the request. */
      readonly partsAtMs: readonly number[];
    }
  | { readonly error: string };

declare global {
  /** Set when the page is done. */
  var outcome: PageOutcome | undefined;
}
