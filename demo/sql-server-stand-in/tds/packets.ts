/** TDS packets: messages in, a message out. [MS-TDS] 2.2.3. */
import type { Socket } from 'node:net';
import { ByteWriter } from './bytes.js';

export const PACKET = {
  batch: 1,
  rpc: 3,
  response: 4,
  attention: 6,
  bulk: 7,
  transaction: 14,
  login: 16,
  prelogin: 18,
} as const;
const STATUS = { end: 1, ignore: 2, resetConnection: 8, resetKeepTransaction: 16 } as const;
const HEADER = 8;
/** Received and not yet consumed; beyond it the socket is paused. */
const QUEUE_BYTES_MAX = 4 << 20;

export interface Incoming {
  readonly type: number;
  readonly payload: Buffer;
  readonly end: boolean;
  readonly ignore: boolean;
  readonly reset: boolean;
}

/** Cuts the byte stream of a socket into packets; attention goes to its own handler, out of turn. */
export class PacketReader {
  #pending: Buffer = Buffer.alloc(0);
  readonly #queue: Incoming[] = [];
  #queuedBytes = 0;
  #wake: (() => void) | undefined;
  #closed = false;

  constructor(
    private readonly socket: Socket,
    private readonly onAttention: () => void,
  ) {
    socket.on('data', (data: Buffer) => this.#receive(data));
    const close = (): void => {
      this.#closed = true;
      this.#wake?.();
    };
    socket.on('close', close);
    socket.on('error', close);
  }

  #receive(data: Buffer): void {
    this.#pending = this.#pending.length === 0 ? data : Buffer.concat([this.#pending, data]);
    while (this.#pending.length >= HEADER) {
      const length = this.#pending.readUInt16BE(2);
      if (length < HEADER) {
        this.socket.destroy();
        return;
      }
      if (this.#pending.length < length) break;
      const type = this.#pending[0] as number;
      const status = this.#pending[1] as number;
      const payload = this.#pending.subarray(HEADER, length);
      this.#pending = this.#pending.subarray(length);
      if (type === PACKET.attention) {
        this.onAttention();
        continue;
      }
      this.#queue.push({
        type,
        payload,
        end: (status & STATUS.end) !== 0,
        ignore: (status & STATUS.ignore) !== 0,
        reset: (status & (STATUS.resetConnection | STATUS.resetKeepTransaction)) !== 0,
      });
      this.#queuedBytes += payload.length;
    }
    if (this.#queuedBytes > QUEUE_BYTES_MAX) this.socket.pause();
    this.#wake?.();
  }

  /** The next packet; undefined once the socket is closed. */
  async packet(): Promise<Incoming | undefined> {
    for (;;) {
      const next = this.#queue.shift();
      if (next) {
        this.#queuedBytes -= next.payload.length;
        if (this.#queuedBytes <= QUEUE_BYTES_MAX / 2 && this.socket.isPaused()) this.socket.resume();
        return next;
      }
      if (this.#closed) return undefined;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
      this.#wake = undefined;
    }
  }

  /** A whole message, but for bulk data, of which only the first packet is taken. */
  async message(): Promise<Incoming | undefined> {
    const first = await this.packet();
    if (!first || first.end || first.type === PACKET.bulk) return first;
    const parts = [first.payload];
    let last = first;
    while (!last.end) {
      const next = await this.packet();
      if (!next) return undefined;
      parts.push(next.payload);
      last = next;
    }
    return { ...first, payload: Buffer.concat(parts), end: true, ignore: last.ignore };
  }
}

/** Writes response messages, packet by packet, waiting where the client does not read. */
export class MessageWriter extends ByteWriter {
  packetBytes = 4096;
  #sequence = 1;

  constructor(private readonly socket: Socket) {
    super();
  }

  /** Sends whole packets when enough has gathered; resolves when the socket takes more. */
  flowed(): Promise<void> | undefined {
    return this.length < 1 << 17 ? undefined : this.#send(false);
  }

  /** Ends the message. */
  end(): Promise<void> {
    return this.#send(true);
  }

  async #send(end: boolean): Promise<void> {
    const body = this.packetBytes - HEADER;
    const packets = end ? Math.max(1, Math.ceil(this.length / body)) : Math.floor((this.length - 1) / body);
    if (packets <= 0) return;
    const taken = end ? this.length : packets * body;
    const out = Buffer.allocUnsafe(taken + packets * HEADER);
    for (let i = 0, from = 0, to = 0; i < packets; i++) {
      const count = Math.min(body, taken - from);
      out[to] = PACKET.response;
      out[to + 1] = end && i === packets - 1 ? STATUS.end : 0;
      out.writeUInt16BE(count + HEADER, to + 2);
      out.writeUInt16BE(0, to + 4);
      out[to + 6] = this.#sequence++ & 0xff;
      out[to + 7] = 0;
      this.buffer.copy(out, to + HEADER, from, from + count);
      from += count;
      to += count + HEADER;
    }
    this.buffer.copy(this.buffer, 0, taken, this.length);
    this.length -= taken;
    if (end) this.#sequence = 1;
    if (this.socket.destroyed) throw new Error('the client is gone');
    if (!this.socket.write(out)) await drained(this.socket);
  }
}

function drained(socket: Socket): Promise<void> {
  return new Promise((resolve, reject) => {
    const done = (): void => {
      socket.off('drain', done);
      socket.off('close', gone);
      resolve();
    };
    const gone = (): void => {
      socket.off('drain', done);
      reject(new Error('the client is gone'));
    };
    socket.once('drain', done);
    socket.once('close', gone);
    if (socket.destroyed) gone();
  });
}
