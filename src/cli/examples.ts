/** The end of a command's help: lines that work as they stand, but for the names in them. A test parses every one. */
export function examples(...lines: string[]): string {
  return `\nExamples:\n${lines.map((line) => `  ${line}`).join('\n')}`;
}
