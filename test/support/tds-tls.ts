import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { Duplex } from 'node:stream';
import { createSecureContext, TLSSocket } from 'node:tls';

/** A TDS packet: 8 bytes of header, its length in bytes 2 and 3. Pre-login carries TLS's handshake, too ([MS-TDS] 2.2.6.5). */
const HEAD_BYTES = 8;
const PRELOGIN = 0x12;
const LAST = 1;
const ENCRYPTION = 1;
const ENCRYPT_ON = 1;
const ENCRYPT_NOT_SUPPORTED = 2;

function packet(type: number, payload: Buffer): Buffer {
  const head = Buffer.from([type, LAST, 0, 0, 0, 0, 1, 0]);
  head.writeUInt16BE(HEAD_BYTES + payload.length, 2);
  return Buffer.concat([head, payload]);
}

/** Writes what the client, or the server, says of encryption in a pre-login message. */
function withEncryption(prelogin: Buffer, value: number): Buffer {
  const changed = Buffer.from(prelogin);
  for (let at = HEAD_BYTES; changed[at] !== 0xff; at += 5)
    if (changed[at] === ENCRYPTION) changed[HEAD_BYTES + changed.readUInt16BE(at + 1)] = value;
  return changed;
}

/**
 * Gives a SQL Server without TLS what it lacks: a server in front of it that insists on encryption, shakes hands inside of
 * pre-login packets as SQL Server does, and passes the clear text on.
 */
export async function tlsBefore(
  server: { host: string; port: number },
  certificate: { cert: Buffer; key: Buffer },
  at = '127.0.0.1',
): Promise<{ port: number; encrypted: () => number; close: () => void }> {
  const sockets = new Set<Socket>();
  let encrypted = 0;
  const front = createServer((near) => {
    const far = connect(server.port, server.host);
    for (const [socket, other] of [
      [near, far],
      [far, near],
    ] as const) {
      sockets.add(socket);
      socket.on('error', () => {});
      socket.on('close', () => other.destroy());
    }
    near.once('data', (first: Buffer) => far.write(withEncryption(first, ENCRYPT_NOT_SUPPORTED)));
    far.once('data', (reply: Buffer) => {
      shakeHands(near, certificate, (clear) => {
        encrypted += 1;
        clear.pipe(far).pipe(clear);
      });
      near.write(withEncryption(reply, ENCRYPT_ON));
    });
  });
  await new Promise<void>((resolve) => front.listen(0, at, resolve));
  return {
    port: (front.address() as AddressInfo).port,
    encrypted: () => encrypted,
    close: () => {
      front.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}

function shakeHands(
  near: Socket,
  { cert, key }: { cert: Buffer; key: Buffer },
  secured: (clear: TLSSocket) => void,
): void {
  // The client speaks first after the handshake: until then all is in packets, afterwards nothing is.
  let isSecure = false;
  let rest: Buffer = Buffer.alloc(0);
  const tunnel = new Duplex({
    read() {},
    write(data: Buffer, _encoding, done) {
      near.write(isSecure ? data : packet(PRELOGIN, data), () => done());
    },
  });
  near.on('data', (data: Buffer) => {
    rest = Buffer.concat([rest, data]);
    while (!isSecure && rest.length >= HEAD_BYTES) {
      isSecure = rest[0] !== PRELOGIN;
      const bytes = rest.readUInt16BE(2);
      if (isSecure || rest.length < bytes) break;
      tunnel.push(rest.subarray(HEAD_BYTES, bytes));
      rest = rest.subarray(bytes);
    }
    if (!isSecure) return;
    tunnel.push(rest);
    rest = Buffer.alloc(0);
  });
  const clear = new TLSSocket(tunnel, {
    isServer: true,
    secureContext: createSecureContext({ cert, key, maxVersion: 'TLSv1.2' }),
  });
  clear.on('error', () => near.destroy());
  clear.once('secure', () => secured(clear));
}
