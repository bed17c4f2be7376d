/** Starts and stops the stand-in. */
import { createServer, type Socket } from 'node:net';
import { Client } from './client.js';
import { StandIn, type StandInOptions } from './stand-in.js';

export type { StandInOptions };

/** Listens on 127.0.0.1; port 0 takes a free one. `stop` closes every connection and the engine. */
export async function startStandIn(
  options: Partial<StandInOptions> & Pick<StandInOptions, 'password'>,
): Promise<{ port: number; stop: () => Promise<void> }> {
  const standIn = await StandIn.create({
    port: 0,
    user: 'sa',
    databases: [],
    noDatabaseSnapshots: false,
    ...options,
  });
  const sockets = new Set<Socket>();
  const running = new Set<Promise<void>>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => socket.destroy());
    socket.on('close', () => sockets.delete(socket));
    const run = new Client(standIn, socket).run().catch(() => {
      socket.destroy();
    });
    running.add(run);
    void run.finally(() => running.delete(run));
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(standIn.options.port, '127.0.0.1', resolve);
  });
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  return {
    port: address.port,
    stop: async () => {
      const closed = new Promise<void>((resolve) => {
        server.close(() => resolve());
      });
      for (const socket of sockets) socket.destroy();
      await closed;
      await Promise.all(running);
      standIn.close();
    },
  };
}
