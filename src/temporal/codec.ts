import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { DataConverter, Payload, PayloadCodec } from '@temporalio/common';
import proto from '@temporalio/proto';

/**
 * Payloads of Temporal's histories, encrypted: edits that are handed in hold personal data, and summaries and failures
 * may. AES-256-GCM, a fresh nonce each; the key's id stands beside it, so that keys can be rotated.
 */

const { Payload: PayloadMessage } = proto.temporal.api.common.v1;
const ENCODING = 'binary/encrypted';
const KEY_BYTES = 32;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;

/** Keys that cannot be used. */
export class CodecKeysError extends Error {
  override name = 'CodecKeysError';
}

/** Keys by id; the first encrypts, all decrypt. */
export type CodecKeys = ReadonlyMap<string, Buffer>;

/**
 * Reads keys as STAGESWAP_CODEC_KEYS holds them.
 *
 * @param text id:base64 of 32 bytes, several separated by commas
 * @throws {CodecKeysError} not of that form; the message repeats no key
 */
export function parseCodecKeys(text: string): CodecKeys {
  const keys = new Map<string, Buffer>();
  for (const part of text.split(',')) {
    const [, id, base64] = /^\s*([\w.-]{1,64}):([A-Za-z0-9+/]+=*)\s*$/.exec(part) ?? [];
    const key = Buffer.from(base64 ?? '', 'base64');
    if (id === undefined || key.length !== KEY_BYTES)
      throw new CodecKeysError(
        'STAGESWAP_CODEC_KEYS must be ID:KEY, KEY being 32 bytes in base64, several separated by commas. Make one by: openssl rand -base64 32',
      );
    if (keys.has(id)) throw new CodecKeysError(`STAGESWAP_CODEC_KEYS names the id ${id} twice`);
    keys.set(id, key);
  }
  return keys;
}

/** Encrypts and decrypts payloads. What is not encrypted passes through decryption as it is. */
export class EncryptionCodec implements PayloadCodec {
  constructor(readonly keys: CodecKeys) {}

  async encode(payloads: Payload[]): Promise<Payload[]> {
    const [first] = this.keys;
    if (!first) throw new CodecKeysError('no key to encrypt with');
    const [id, key] = first;
    return payloads.map((payload) => {
      const nonce = randomBytes(NONCE_BYTES);
      const cipher = createCipheriv('aes-256-gcm', key, nonce);
      cipher.setAAD(Buffer.from(id));
      const sealed = Buffer.concat([cipher.update(PayloadMessage.encode(payload).finish()), cipher.final()]);
      return {
        metadata: { encoding: Buffer.from(ENCODING), 'encryption-key-id': Buffer.from(id) },
        data: Buffer.concat([nonce, sealed, cipher.getAuthTag()]),
      };
    });
  }

  /** @throws {CodecKeysError} a key that is not known any more, or bytes that were changed on the way */
  async decode(payloads: Payload[]): Promise<Payload[]> {
    return payloads.map((payload) => {
      if (text(payload.metadata?.encoding) !== ENCODING) return payload;
      const id = text(payload.metadata?.['encryption-key-id']);
      const key = this.keys.get(id);
      if (!key)
        throw new CodecKeysError(
          `a payload is encrypted with the key ${id}, which STAGESWAP_CODEC_KEYS does not hold: add it after the newest`,
        );
      const data = Buffer.from(payload.data ?? []);
      const decipher = createDecipheriv('aes-256-gcm', key, data.subarray(0, NONCE_BYTES));
      decipher.setAAD(Buffer.from(id));
      decipher.setAuthTag(data.subarray(-TAG_BYTES));
      try {
        return PayloadMessage.decode(
          Buffer.concat([decipher.update(data.subarray(NONCE_BYTES, -TAG_BYTES)), decipher.final()]),
        );
      } catch (error) {
        throw new CodecKeysError(
          `a payload cannot be decrypted with the key ${id}: it is another key of that id, or the bytes were changed`,
          { cause: error },
        );
      }
    });
  }
}

const text = (bytes: Uint8Array | null | undefined) => Buffer.from(bytes ?? []).toString();

/**
 * How payloads are converted where STAGESWAP_CODEC_KEYS is set: encrypted, and with them the messages and stacks of
 * failures. For the worker, the command line and an application's client alike.
 *
 * @returns undefined where it is not set: payloads are plain
 * @throws {CodecKeysError} the keys cannot be used
 */
export function dataConverterOf(
  env: Record<string, string | undefined> = process.env,
): DataConverter | undefined {
  if (!env.STAGESWAP_CODEC_KEYS) return undefined;
  return {
    payloadCodecs: [new EncryptionCodec(parseCodecKeys(env.STAGESWAP_CODEC_KEYS))],
    failureConverterPath: encodedFailuresPath(),
  };
}

/** Temporal's SDK requires this module by its path, and bundles it with the workflows. */
export function encodedFailuresPath(): string {
  const built = fileURLToPath(new URL('./encoded-failures.cjs', import.meta.url));
  return existsSync(built) ? built : fileURLToPath(new URL('./encoded-failures.cts', import.meta.url));
}
