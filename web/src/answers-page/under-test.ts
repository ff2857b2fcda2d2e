declare global {
  /** Shows a text as an answer that comes, so many characters in each frame, and resolves when it has ended. Set by the page of answers. */
  var streamAnswer: (text: string, charactersPerFrame: number) => Promise<void>;
}

export {};
