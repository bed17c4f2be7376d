import { randomBytes } from 'node:crypto';
import type { Payload } from '@temporalio/common';
import { describe, expect, test } from 'vitest';
import { dataConverterOf, EncryptionCodec, parseCodecKeys } from '../src/temporal/codec.js';
import { TemporalSettingsError, temporalPlace } from '../src/temporal/place.js';

/** Payloads that are encrypted, keys that are rotated, and the settings by which Temporal is found. */
const key = () => randomBytes(32).toString('base64');
const PAYLOAD: Payload = {
  metadata: { encoding: Buffer.from('json/plain') },
  data: Buffer.from('{"email":"ada@example.org"}'),
};
const textOf = (payload: Payload | undefined) => Buffer.from(payload?.data ?? []).toString();

describe('the payload codec', () => {
  test('gives back what it encrypted, and encrypts the same in another way each time', async () => {
    const codec = new EncryptionCodec(parseCodecKeys(`a:${key()}`));
    const [one, two] = await codec.encode([PAYLOAD, PAYLOAD]);
    expect(textOf(one)).not.toContain('ada');
    expect(Buffer.from(one?.data ?? []).equals(Buffer.from(two?.data ?? []))).toBe(false);
    expect(Buffer.from(one?.metadata?.['encryption-key-id'] ?? []).toString()).toBe('a');
    expect((await codec.decode(one ? [one] : [])).map(textOf)).toEqual([textOf(PAYLOAD)]);
  });

  test('passes what is not encrypted, so that it can be switched on while runs work', async () => {
    const codec = new EncryptionCodec(parseCodecKeys(`a:${key()}`));
    expect(await codec.decode([PAYLOAD])).toEqual([PAYLOAD]);
  });

  test('encrypts with the first key and decrypts with each, so that keys can be rotated', async () => {
    const [old, young] = [`old:${key()}`, `new:${key()}`];
    const before = await new EncryptionCodec(parseCodecKeys(old)).encode([PAYLOAD]);
    const codec = new EncryptionCodec(parseCodecKeys(`${young},${old}`));
    expect((await codec.decode(before)).map(textOf)).toEqual([textOf(PAYLOAD)]);
    const after = await codec.encode([PAYLOAD]);
    await expect(new EncryptionCodec(parseCodecKeys(old)).decode(after)).rejects.toThrow('the key new');
  });

  test('refuses bytes that were changed, and another key of the same id', async () => {
    const codec = new EncryptionCodec(parseCodecKeys(`a:${key()}`));
    const [sealed] = await codec.encode([PAYLOAD]);
    if (!sealed?.data) throw new Error('nothing was encrypted');
    await expect(new EncryptionCodec(parseCodecKeys(`a:${key()}`)).decode([sealed])).rejects.toThrow(
      'another key',
    );
    const changed = Buffer.from(sealed.data);
    changed[20] = (changed[20] ?? 0) ^ 1;
    await expect(codec.decode([{ ...sealed, data: changed }])).rejects.toThrow('changed');
  });

  test.each(['', 'a', 'a:', 'a:c2hvcnQ=', `a:${'A'.repeat(43)}=,a:${'A'.repeat(43)}=`])(
    'refuses the keys %j, and repeats none in its words',
    (text) => {
      expect(() => parseCodecKeys(text)).toThrow(/^STAGESWAP_CODEC_KEYS (?!.*AAAA)/);
    },
  );

  test('is off unless it has keys', () => {
    expect(dataConverterOf({})).toBeUndefined();
    expect(dataConverterOf({ STAGESWAP_CODEC_KEYS: `a:${key()}` })?.payloadCodecs).toHaveLength(1);
  });
});

describe('Temporal is found', () => {
  test('where its development server is, without TLS, if nothing is said', () => {
    expect(temporalPlace({})).toEqual({ address: 'localhost:7233', namespace: 'default', security: {} });
  });

  test('by the variables that its own command line knows', () => {
    const place = temporalPlace({
      TEMPORAL_ADDRESS: 'eu.tmprl.cloud:7233',
      TEMPORAL_NAMESPACE: 'invoices.acct',
      TEMPORAL_API_KEY: 'key',
    });
    expect(place).toEqual({
      address: 'eu.tmprl.cloud:7233',
      namespace: 'invoices.acct',
      security: { apiKey: 'key', tls: true },
    });
    expect(temporalPlace({ TEMPORAL_TLS: 'true' }).security.tls).toBeTruthy();
    expect(temporalPlace({ TEMPORAL_TLS_DISABLE_HOST_VERIFICATION: 'false' }).security).toEqual({});
    expect(temporalPlace({ TEMPORAL_ADDRESS: '', TEMPORAL_NAMESPACE: '' }).address).toBe('localhost:7233');
  });

  test('by TLS on another machine, unless something else is said', () => {
    const tlsOf = (address: string, more = {}) =>
      temporalPlace({ TEMPORAL_ADDRESS: address, ...more }).security.tls;
    expect(tlsOf('temporal.example.com:7233')).toBe(true);
    expect(tlsOf('10.0.0.7:7233')).toBe(true);
    expect(tlsOf('temporal:7233', { TEMPORAL_TLS: 'false' })).toBeFalsy();
    expect(tlsOf('temporal:7233', { TEMPORAL_TLS: 'TRUE' })).toBeTruthy();
    expect(() => tlsOf('temporal:7233', { TEMPORAL_TLS: 'yes' })).toThrow(/write true or false/);
    for (const here of ['localhost:7233', '127.0.0.1:7233', '[::1]:7233']) expect(tlsOf(here)).toBeFalsy();
  });

  test('never with a certificate that is not checked, nor without a file that is named', () => {
    expect(() => temporalPlace({ TEMPORAL_TLS_DISABLE_HOST_VERIFICATION: 'true' })).toThrow(
      TemporalSettingsError,
    );
    expect(() => temporalPlace({ TEMPORAL_TLS_SERVER_CA_CERT_PATH: '/none/ca.pem' })).toThrow(
      TemporalSettingsError,
    );
  });
});
