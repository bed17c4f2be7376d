import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';

interface Link {
  client: Socket;
  server: Socket;
  /** the engine's next answer is thrown away, and the connection with it */
  losesReply?: boolean;
}

/** A TCP proxy before an engine: the network between a worker and the engine, which a test cuts, closes or freezes. */
export class TcpProxy {
  readonly #links = new Set<Link>();
  #open = true;
  #frozen = false;
  #cuts = { afterBytes: 0, left: 0 };
  #delays = { ms: 0, left: 0 };

  private constructor(
    readonly server: Server,
    readonly to: { host: string; port: number },
  ) {
    server.on('connection', (client) => this.#link(client));
  }

  static async before(url: string): Promise<TcpProxy> {
    const { hostname, port } = new URL(url);
    const server = createServer();
    const proxy = new TcpProxy(server, { host: hostname, port: Number(port) });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return proxy;
  }

  /** The engine's address, by way of the proxy. */
  through(url: string): string {
    const by = new URL(url);
    by.hostname = '127.0.0.1';
    by.port = String((this.server.address() as AddressInfo).port);
    return by.href;
  }

  get connections(): number {
    return this.#links.size;
  }

  /** Resets all connections; new ones are taken at once. */
  cut(): void {
    for (const { client, server } of this.#links) {
      client.resetAndDestroy();
      server.resetAndDestroy();
    }
  }

  /** Resets a connection as soon as so many bytes have passed in one direction; so many connections, one after another. */
  cutAfter(afterBytes: number, times: number): void {
    this.#cuts = { afterBytes, left: times };
  }
  /** How many of them are still to be cut. */
  get cutsLeft(): number {
    return this.#cuts.left;
  }

  /**
   * Resets a connection when the engine answers on it next: what was sent is done, and its sender is not told.
   *
   * @param port of the sender's end
   * @returns whether there is such a connection
   */
  loseReplyTo(port: number): boolean {
    const link = [...this.#links].find(({ client }) => client.remotePort === port);
    if (link) link.losesReply = true;
    return link !== undefined;
  }
  /** Resets one connection. @param port of the sender's end */
  cutOne(port: number): void {
    for (const { client, server } of this.#links) {
      if (client.remotePort !== port) continue;
      client.resetAndDestroy();
      server.resetAndDestroy();
    }
  }

  /** Holds up the next so many pieces of data, each for some milliseconds. */
  delay(ms: number, times: number): void {
    this.#delays = { ms, left: times };
  }

  /** The engine is away: connections are reset, new ones as well. */
  close(): void {
    this.#open = false;
    this.cut();
  }
  open(): void {
    this.#open = true;
  }

  /** Nothing passes any more, and neither side is told: both believe that the connection stands. */
  freeze(): void {
    this.#frozen = true;
    for (const { client, server } of this.#links) {
      client.pause();
      server.pause();
    }
  }
  thaw(): void {
    this.#frozen = false;
    for (const { client, server } of this.#links) {
      client.resume();
      server.resume();
    }
  }

  async end(): Promise<void> {
    this.close();
    await new Promise<void>((resolve) => this.server.close(() => resolve()));
  }

  #link(client: Socket): void {
    if (!this.#open) {
      client.resetAndDestroy();
      return;
    }
    const server = connect(this.to);
    const link: Link = { client, server };
    this.#links.add(link);
    const reset = () => {
      client.resetAndDestroy();
      server.resetAndDestroy();
    };
    const pass = (from: Socket, to: Socket) => {
      let bytes = 0;
      from.on('data', (data) => {
        bytes += data.length;
        if (link.losesReply && from === server) return reset();
        if (this.#cuts.left > 0 && bytes > this.#cuts.afterBytes) {
          this.#cuts.left -= 1;
          return reset();
        }
        if (this.#delays.left > 0) {
          this.#delays.left -= 1;
          from.pause();
          setTimeout(() => {
            if (to.writable) to.write(data);
            if (!this.#frozen) from.resume();
          }, this.#delays.ms);
          return;
        }
        if (to.writable && !to.write(data)) from.pause();
      });
      to.on('drain', () => {
        if (!this.#frozen) from.resume();
      });
      from.on('end', () => to.end());
      from.on('error', () => to.destroy());
      from.on('close', () => {
        this.#links.delete(link);
        to.destroy();
      });
    };
    pass(client, server);
    pass(server, client);
    if (this.#frozen) {
      client.pause();
      server.pause();
    }
  }
}
