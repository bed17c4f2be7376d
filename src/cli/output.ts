/** Standard output is for what was asked; progress, notes and failures go to standard error. */

export function print(text: string): void {
  process.stdout.write(`${text}\n`);
}

/** The one object that `--json` prints. */
export function printJson(value: unknown): void {
  process.stdout.write(`${JSON.stringify(value, null, 2)}\n`);
}

export function note(text: string): void {
  process.stderr.write(`${text}\n`);
}
