/** How to start the unpacked Firefox; undefined if it is not there. */
export function firefoxLaunchOptions():
  | { readonly executablePath: string; readonly env: Record<string, string | undefined> }
  | undefined;
