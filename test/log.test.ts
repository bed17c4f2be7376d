import { Writable } from 'node:stream';
import { describe, expect, test } from 'vitest';
import { createLog, type Level, sdkLogger } from '../src/log.js';

/** What may be read in a worker's log. */
function logged(level: Level, write: (log: ReturnType<typeof sdkLogger>) => void): Record<string, unknown>[] {
  const lines: string[] = [];
  const to = new Writable({
    write(chunk, _encoding, done) {
      lines.push(String(chunk));
      done();
    },
  });
  write(sdkLogger(createLog({ level, secrets: ['s3cret!'], to })));
  return lines.map((line) => JSON.parse(line) as Record<string, unknown>);
}

describe('the log', () => {
  test('is one object a line, with level, time and the fields that were given', () => {
    const [line, ...rest] = logged('info', (log) =>
      log.info('chunk stored', { pipeline: 'billing', run: 7, table: 'customer', chunk: 3, phase: 'ingest' }),
    );
    expect(rest).toEqual([]);
    expect(line).toMatchObject({
      level: 'info',
      msg: 'chunk stored',
      pipeline: 'billing',
      run: 7,
      table: 'customer',
      chunk: 3,
      phase: 'ingest',
    });
    expect(line?.time).toMatch(/^\d{4}-\d\d-\d\dT/);
  });

  test('holds no password: of an address, of a field, of an error, of a text', () => {
    const [line] = logged('info', (log) =>
      log.error('cannot open mysql://app:s3cret!@db/x', {
        url: 'mysql://app:s3cret!@db/x',
        settings: { host: 'db', password: 's3cret!' },
        error: new Error('refused with s3cret!'),
        note: ['s3cret!'],
      }),
    );
    expect(JSON.stringify(line)).not.toContain('s3cret!');
    expect(line).toMatchObject({
      error: { type: 'Error', message: 'refused with ***' },
      settings: { host: 'db' },
    });
  });

  test('leaves out what is below its level', () => {
    expect(logged('warn', (log) => log.info('x'))).toEqual([]);
    expect(logged('debug', (log) => log.debug('x'))).toHaveLength(1);
  });
});
