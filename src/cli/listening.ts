import { InvalidArgumentError } from 'commander';
import { EXIT } from '../model/exit-code.js';
import { CommandError } from './failure.js';

/** An option's value where a command listens. */
export function hostAndPort(text: string): string {
  if (!/^(\[[0-9a-f:.]+\]|[^:\s]+):\d{1,5}$/i.test(text))
    throw new InvalidArgumentError('write HOST:PORT, such as 127.0.0.1:9464.');
  return text;
}

/** What the user is told where it cannot: the address is taken, mostly. @param option that named it */
export function cannotListen(address: string, option: string, cause: Error): CommandError {
  return new CommandError(
    EXIT.usage,
    `cannot listen at ${address}: ${cause.message}`,
    `name another address by ${option}, or end what listens there`,
    { cause },
  );
}
