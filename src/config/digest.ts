import { createHash } from 'node:crypto';
import type { Config } from './load.js';

/**
 * What tells two configurations from one another: all but the addresses, which are each machine's own way to the same place,
 * and hold secrets.
 */
export function configDigest({ source, target, webhook, ...rest }: Config): string {
  const [{ url: _source, ...ofSource }, { url: _target, ...ofTarget }] = [source, target];
  const { url: _webhook, ...ofWebhook } = webhook ?? { url: '' };
  const known = { ...rest, source: ofSource, target: ofTarget, webhook: webhook ? ofWebhook : null };
  return createHash('sha256')
    .update(JSON.stringify(sorted(known)))
    .digest('hex');
}

/** In one order of names, whatever order the file has. */
function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value).sort(([left], [right]) => (left < right ? -1 : 1));
  return Object.fromEntries(entries.map(([name, inner]) => [name, sorted(inner)]));
}
