import type { AddressInfo } from 'node:net';
import { type Command, InvalidArgumentError } from 'commander';
import { isThisMachine } from '../config/address.js';
import { EXIT } from '../model/exit-code.js';
import { parseCodecKeys } from '../temporal/codec.js';
import { startCodecServer } from '../temporal/codec-server.js';
import { CommandError } from './failure.js';
import { cannotListen, hostAndPort } from './listening.js';
import { note } from './output.js';

const HELP = `
Whoever reaches it can read what STAGESWAP_CODEC_KEYS protects: keep it on this machine, or set STAGESWAP_CODEC_TOKEN and
put TLS before it. The Temporal UI is told of it under "Data Encoder"; the temporal command line by --codec-endpoint.

Examples:
  stageswap codec-server
  stageswap codec-server --listen 127.0.0.1:8888 --origin http://localhost:8233 --origin https://temporal.example
  temporal workflow show --workflow-id stageswap-billing --codec-endpoint http://127.0.0.1:8888`;

export function addCodecServer(program: Command): void {
  program
    .command('codec-server')
    .description("decrypt payloads for the Temporal UI and Temporal's command line")
    .option('--listen <address>', 'HOST:PORT', hostAndPort, '127.0.0.1:8888')
    .option('--origin <url>', 'where the UI is; may be given several times', origin, [])
    .addHelpText('after', HELP)
    .action(async (options: { listen: string; origin: string[] }) => {
      const keys = process.env.STAGESWAP_CODEC_KEYS;
      if (!keys)
        throw new CommandError(
          EXIT.usage,
          'STAGESWAP_CODEC_KEYS is not set, so nothing is encrypted',
          'export the keys that the worker has',
        );
      const [, host = '', port = ''] = /^\[?(.*?)\]?:(\d+)$/.exec(options.listen) ?? [];
      const server = await startCodecServer({
        keys: parseCodecKeys(keys),
        host,
        port: Number(port),
        origins: options.origin.length > 0 ? options.origin : ['http://localhost:8233'],
        token: process.env.STAGESWAP_CODEC_TOKEN,
      }).catch((error: NodeJS.ErrnoException) => {
        if (error.code === undefined || !CANNOT_LISTEN.has(error.code)) throw error;
        throw cannotListen(options.listen, '--listen', error);
      });
      const at = server.address() as AddressInfo;
      note(`codec server at http://${host.includes(':') ? `[${host}]` : host}:${at.port}; Ctrl-C ends it`);
      if (!isThisMachine(host) && process.env.STAGESWAP_CODEC_TOKEN === undefined)
        note(`whoever reaches ${options.listen} can decrypt: set STAGESWAP_CODEC_TOKEN`);
      const stopped = new Promise<void>((resolve) => {
        for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => resolve());
      });
      await stopped;
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    });
}

/** The address is taken, is none of this machine, is not to be had by this user, or is no name that is known. */
const CANNOT_LISTEN = new Set(['EADDRINUSE', 'EADDRNOTAVAIL', 'EACCES', 'ENOTFOUND']);

function origin(text: string, earlier: string[]): string[] {
  if (!/^https?:\/\/[^/\s]+$/.test(text))
    throw new InvalidArgumentError('write it as a browser does, such as http://localhost:8233.');
  return [...earlier, text];
}
