import { userInfo } from 'node:os';

/** Who gives the command, as the system knows them. In a container a user may have a number only. */
export function operator(): string {
  try {
    return userInfo().username;
  } catch {
    return `user ${process.getuid?.() ?? 'unknown'}`;
  }
}
