import { timingSafeEqual } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { Payload } from '@temporalio/common';
import { type CodecKeys, EncryptionCodec } from './codec.js';

export interface CodecServerOptions {
  keys: CodecKeys;
  host: string;
  /** 0: any */
  port: number;
  /** origins of UIs whose browsers may ask */
  origins: string[];
  /** asked of every request as `Authorization: Bearer …`; undefined: whoever reaches the server is answered */
  token?: string | undefined;
}

/** As Temporal sends payloads by JSON: bytes in base64. */
interface JsonPayload {
  metadata?: Record<string, string>;
  data?: string;
}

const BODY_BYTES_MAX = 64 << 20;

/**
 * A codec server as Temporal defines it: POST …/encode and …/decode of { payloads }, with CORS for the UI.
 *
 * @returns the server, listening
 * @throws the port is taken
 */
export async function startCodecServer(options: CodecServerOptions): Promise<Server> {
  const codec = new EncryptionCodec(options.keys);
  const server = createServer((request, response) => {
    answer(codec, options, request, response).catch((error: Error) => {
      if (!response.headersSent) response.writeHead(400, { 'content-type': 'text/plain' });
      response.end(error.message);
    });
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(options.port, options.host, () => resolve());
  });
  return server;
}

async function answer(
  codec: EncryptionCodec,
  { origins, token }: CodecServerOptions,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const { origin } = request.headers;
  if (origin !== undefined && origins.includes(origin)) {
    response.setHeader('access-control-allow-origin', origin);
    response.setHeader('access-control-allow-methods', 'POST, OPTIONS');
    response.setHeader('access-control-allow-headers', 'content-type, authorization, x-namespace');
    response.setHeader('access-control-allow-credentials', 'true');
    response.setHeader('vary', 'origin');
  }
  if (request.method === 'OPTIONS') return void response.writeHead(204).end();
  const way = /\/(encode|decode)$/.exec(request.url?.split('?')[0] ?? '')?.[1];
  if (way === undefined || request.method !== 'POST') return void response.writeHead(404).end();
  if (origin !== undefined && !origins.includes(origin)) return void response.writeHead(403).end();
  if (token && !same(request.headers.authorization ?? '', `Bearer ${token}`))
    return void response.writeHead(401).end();
  const { payloads = [] } = JSON.parse(await bodyOf(request)) as { payloads?: JsonPayload[] };
  const given = payloads.map(fromJson);
  const made = await (way === 'encode' ? codec.encode(given) : codec.decode(given));
  response.writeHead(200, { 'content-type': 'application/json' });
  response.end(JSON.stringify({ payloads: made.map(toJson) }));
}

function same(given: string, wanted: string): boolean {
  const [a, b] = [Buffer.from(given), Buffer.from(wanted)];
  return a.length === b.length && timingSafeEqual(a, b);
}

async function bodyOf(request: IncomingMessage): Promise<string> {
  const parts: Buffer[] = [];
  let bytes = 0;
  for await (const part of request as AsyncIterable<Buffer>) {
    bytes += part.length;
    if (bytes > BODY_BYTES_MAX) throw new Error('the request is too large');
    parts.push(part);
  }
  return Buffer.concat(parts).toString();
}

function fromJson({ metadata = {}, data = '' }: JsonPayload): Payload {
  return {
    metadata: Object.fromEntries(
      Object.entries(metadata).map(([name, value]) => [name, Buffer.from(value, 'base64')]),
    ),
    data: Buffer.from(data, 'base64'),
  };
}

function toJson({ metadata, data }: Payload): JsonPayload {
  return {
    metadata: Object.fromEntries(
      Object.entries(metadata ?? {}).map(([name, value]) => [name, Buffer.from(value).toString('base64')]),
    ),
    data: Buffer.from(data ?? []).toString('base64'),
  };
}
