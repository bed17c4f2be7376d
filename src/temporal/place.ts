import type { TLSConfig } from '@temporalio/client';
import type { DataConverter } from '@temporalio/common';
import { loadClientConnectConfig } from '@temporalio/envconfig';
import { isThisMachine } from '../config/address.js';
import { dataConverterOf } from './codec.js';

/** Where Temporal is, and how it is spoken to. Holds secrets: for connections only. */
export interface TemporalPlace {
  address: string;
  namespace: string;
  /** as Temporal's connections take it, without `address` */
  security: { tls?: TLSConfig | boolean; apiKey?: string };
  /** absent: payloads are plain */
  dataConverter?: DataConverter;
}

/** Settings of Temporal that cannot be used. */
export class TemporalSettingsError extends Error {
  override name = 'TemporalSettingsError';
}

/**
 * Where Temporal is, by the variables that its own command line knows: TEMPORAL_ADDRESS, TEMPORAL_NAMESPACE,
 * TEMPORAL_API_KEY, TEMPORAL_TLS and TEMPORAL_TLS_…; what is not said is as its development server has it, but that an
 * address on another machine means TLS unless TEMPORAL_TLS=false. Server certificates are always checked. Payloads are encrypted
 * where STAGESWAP_CODEC_KEYS is set.
 *
 * @throws {TemporalSettingsError} a file that cannot be read, a key that is none, or an unchecked certificate
 */
export function temporalPlace(env: Record<string, string | undefined> = process.env): TemporalPlace {
  const set = Object.fromEntries(
    Object.entries(env).filter((pair): pair is [string, string] => pair[1] !== undefined && pair[1] !== ''),
  );
  if (isTrue(set, 'TEMPORAL_TLS_DISABLE_HOST_VERIFICATION'))
    throw new TemporalSettingsError(
      'TEMPORAL_TLS_DISABLE_HOST_VERIFICATION is set, and certificates are always checked: unset it; TEMPORAL_TLS_SERVER_CA_CERT_PATH names an authority of your own',
    );
  delete set.TEMPORAL_TLS_DISABLE_HOST_VERIFICATION; // said to be false, it would still be taken for a word on TLS
  if (set.TEMPORAL_TLS !== undefined) set.TEMPORAL_TLS = String(isTrue(set, 'TEMPORAL_TLS'));
  const { connectionOptions, namespace } = environmentOf(set);
  const { apiKey, address = 'localhost:7233' } = connectionOptions;
  const isSaid = set.TEMPORAL_TLS !== undefined || (connectionOptions.tls ?? undefined) !== undefined;
  const tls = isSaid || isThisMachine(hostOf(address)) ? connectionOptions.tls : true;
  const dataConverter = dataConverterOf(set);
  return {
    address,
    namespace: namespace ?? 'default',
    security: {
      ...(tls === undefined || tls === null ? {} : { tls }),
      ...(typeof apiKey === 'string' ? { apiKey } : {}),
    },
    ...(dataConverter ? { dataConverter } : {}),
  };
}

/** A switch of the environment. @throws {TemporalSettingsError} neither true nor false: what is mistyped must not turn TLS off */
function isTrue(set: Record<string, string>, name: string): boolean {
  const text = set[name];
  if (text === undefined || /^(0|false)$/i.test(text)) return false;
  if (/^(1|true)$/i.test(text)) return true;
  throw new TemporalSettingsError(`${name} is ${text}: write true or false`);
}

/** Of host:port, with an IPv6 address out of its brackets. */
const hostOf = (address: string) =>
  address
    .replace(/:\d+$/, '')
    .replace(/^\[(.*)\]$/, '$1')
    .toLowerCase();

function environmentOf(set: Record<string, string>) {
  try {
    return loadClientConnectConfig({ disableFile: true, overrideEnvVars: set });
  } catch (error) {
    throw new TemporalSettingsError(
      `the settings of Temporal in the environment (TEMPORAL_…) cannot be used: ${(error as Error).message}`,
      { cause: error },
    );
  }
}
