export function checkImports(root: string): { files: number; problems: string[] };
export function importsOf(source: string): string[];
