/** Pre-login and LOGIN7. [MS-TDS] 2.2.6.4 and 2.2.6.5. */

/** Answers pre-login: version 16.0.1000, no encryption, no MARS. */
export function preloginReply(): Buffer {
  const options: [number, Buffer][] = [
    [0, Buffer.from([16, 0, 0x03, 0xe8, 0, 0])],
    [1, Buffer.from([2])],
    [2, Buffer.from([0])],
    [4, Buffer.from([0])],
  ];
  let offset = options.length * 5 + 1;
  const head: number[] = [];
  for (const [token, data] of options) {
    head.push(token, offset >> 8, offset & 255, data.length >> 8, data.length & 255);
    offset += data.length;
  }
  return Buffer.concat([Buffer.from([...head, 0xff]), ...options.map(([, data]) => data)]);
}

/** Whether the client insists on encryption, which the stand-in does not have. */
export function insistsOnEncryption(payload: Buffer): boolean {
  for (let at = 0; payload[at] !== 0xff && at + 5 <= payload.length; at += 5) {
    if (payload[at] === 1) {
      const value = payload[payload.readUInt16BE(at + 1)];
      return value === 1 || value === 3;
    }
  }
  return false;
}

export interface Login {
  readonly user: string;
  readonly password: string;
  readonly database: string;
  readonly hostName: string;
  readonly application: string;
  readonly packetBytes: number;
}

export function readLogin(payload: Buffer): Login {
  const text = (at: number): string => {
    const offset = payload.readUInt16LE(at);
    return payload.toString('utf16le', offset, offset + payload.readUInt16LE(at + 2) * 2);
  };
  const offset = payload.readUInt16LE(44);
  const scrambled = Buffer.from(payload.subarray(offset, offset + payload.readUInt16LE(46) * 2));
  for (let i = 0; i < scrambled.length; i++) {
    const byte = (scrambled[i] as number) ^ 0xa5;
    scrambled[i] = ((byte & 0x0f) << 4) | (byte >> 4);
  }
  return {
    hostName: text(36),
    user: text(40),
    password: scrambled.toString('utf16le'),
    application: text(48),
    database: text(68),
    packetBytes: payload.readUInt32LE(8),
  };
}
