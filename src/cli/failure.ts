import { AddressError } from '../config/address.js';
import { ConfigError } from '../config/problems.js';
import { EXIT, type ExitCode, exitCodeOfFailure } from '../model/exit-code.js';
import { StageswapError } from '../model/failures.js';
import { CodecKeysError } from '../temporal/codec.js';
import { TemporalSettingsError } from '../temporal/place.js';
import { colours } from './colours.js';

/** What a command cannot do: one message, one cure, one exit code. */
export class CommandError extends Error {
  constructor(
    readonly exitCode: ExitCode,
    message: string,
    readonly cure?: string,
    options?: { cause?: unknown },
  ) {
    super(message, options);
    this.name = 'CommandError';
  }
}

export interface FailureShown {
  exitCode: ExitCode;
  /** the failure's type of failures.ts, or of this file */
  type: string;
  problems: { message: string; path?: string; cure?: string }[];
}

/** What the user is told about anything that was thrown. Never a stack: that is for STAGESWAP_DEBUG. */
export function describeFailure(error: unknown): FailureShown {
  if (error instanceof ConfigError) {
    return { exitCode: EXIT.usage, type: 'Configuration', problems: error.problems };
  }
  if (error instanceof TemporalSettingsError || error instanceof CodecKeysError) {
    return { exitCode: EXIT.usage, type: 'Configuration', problems: [{ message: error.message }] };
  }
  if (error instanceof AddressError) {
    return {
      exitCode: EXIT.usage,
      type: 'Configuration',
      problems: [{ message: error.message, cure: error.cure }],
    };
  }
  if (error instanceof CommandError) {
    const type = error.exitCode === EXIT.unreachable ? 'Unreachable' : 'Command';
    return {
      exitCode: error.exitCode,
      type,
      problems: [
        error.cure === undefined ? { message: error.message } : { message: error.message, cure: error.cure },
      ],
    };
  }
  if (error instanceof StageswapError) {
    return {
      exitCode: exitCodeOfFailure(error.type),
      type: error.type,
      problems: [{ message: error.message }],
    };
  }
  if (error instanceof Error && /unknown encoding: binary\/encrypted/i.test(error.message))
    return {
      exitCode: EXIT.usage,
      type: 'Configuration',
      problems: [
        {
          message:
            'Temporal answered, encrypted, and this command has no key to read it: what was asked for may be done',
          cure: 'set STAGESWAP_CODEC_KEYS as the worker has it, and look: stageswap status',
        },
      ],
    };
  return {
    exitCode: EXIT.failed,
    type: 'Unexpected',
    problems: [
      {
        message: error instanceof Error ? error.message : String(error),
        cure: 'this is unexpected; run the command again with STAGESWAP_DEBUG=1 to see where it comes from',
      },
    ],
  };
}

/** Failures as text for people. */
export function failureText(shown: FailureShown): string {
  return shown.problems
    .map(({ path, message, cure }) => {
      const head = `${colours.red('stageswap:')} ${path === undefined ? '' : `${path}: `}${message}`;
      return cure === undefined ? head : `${head}\n  ${colours.dim('cure:')} ${cure}`;
    })
    .join('\n');
}
