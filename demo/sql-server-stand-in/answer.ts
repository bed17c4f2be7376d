/** The answer to a request, token by token. */
import type { SqlError } from './errors.js';
import type { MessageWriter } from './tds/packets.js';
import { DONE, DONE_KIND, writeDone, writeError } from './tds/tokens.js';

/** Writes a batch's answer; a DONE waits until it is known whether more follows. */
export class Answer {
  #pending: { status: number; rows: bigint } | undefined;
  failed = false;

  constructor(
    readonly w: MessageWriter,
    readonly kind: number,
  ) {}

  /** Before any token but DONE. */
  more(): void {
    if (this.#pending) writeDone(this.w, this.kind, this.#pending.status | DONE.more, this.#pending.rows);
    this.#pending = undefined;
  }
  done(status: number, rows: bigint): void {
    this.more();
    this.#pending = { status, rows };
  }
  error(error: SqlError): void {
    this.more();
    this.failed = true;
    writeError(this.w, error);
    this.done(DONE.error, 0n);
  }
  finish(): void {
    if (this.kind === DONE_KIND.done) {
      if (this.#pending) writeDone(this.w, this.kind, this.#pending.status, this.#pending.rows);
      else writeDone(this.w, this.kind, DONE.final, 0n);
    } else if (this.#pending) this.more();
    this.#pending = undefined;
  }
}
