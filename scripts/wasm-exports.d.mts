export interface ExportedFunction {
  readonly comment: string;
  readonly name: string;
  readonly params: readonly { readonly name: string; readonly type: string }[];
  readonly result: string;
}
export function exportsOf(folder: string, module: string): ExportedFunction[];
export function exportsSource(functions: readonly ExportedFunction[], origin: string): string;
