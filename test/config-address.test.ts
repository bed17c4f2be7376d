import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { AddressError, parseMssqlAddress, parseMysqlAddress, redact } from '../src/config/address.js';

test('a SQL Server address has these parts and defaults', () => {
  expect(parseMssqlAddress('mssql://sa:secret@db.example/billing')).toEqual({
    host: 'db.example',
    port: 1433,
    user: 'sa',
    password: 'secret',
    database: 'billing',
    encrypt: true,
    trustServerCertificate: false,
  });
  expect(
    parseMssqlAddress('mssql://sa:x@db:14330/b?encrypt=false&trustServerCertificate=true'),
  ).toMatchObject({ port: 14330, encrypt: false, trustServerCertificate: true });
});

test('a MySQL address has these parts and defaults', () => {
  expect(parseMysqlAddress('mysql://app@127.0.0.1/invoices')).toEqual({
    host: '127.0.0.1',
    port: 3306,
    user: 'app',
    password: '',
    database: 'invoices',
  });
  expect(parseMysqlAddress('mysql://a:b@h/s?ssl=true').ssl).toEqual({
    rejectUnauthorized: true,
    verifyIdentity: true,
  });
  expect(parseMysqlAddress('mysql://a:b@h/s?ssl=skip-verify').ssl).toEqual({ rejectUnauthorized: false });
});

test('TLS is the default to any other machine, and its host name is checked', () => {
  expect(parseMysqlAddress('mysql://a:b@db.example/s').ssl).toEqual({
    rejectUnauthorized: true,
    verifyIdentity: true,
  });
  for (const host of ['localhost', '127.0.0.1', '127.3.2.1', '[::1]'])
    expect(parseMysqlAddress(`mysql://a:b@${host}/s`).ssl, host).toBeUndefined();
  expect(parseMysqlAddress('mysql://a:b@db.example/s?ssl=false').ssl).toBeUndefined();
  expect(() => parseMysqlAddress('mysql://a:b@10.0.0.7/s')).toThrow('an IP');
  expect(parseMysqlAddress('mysql://a:b@10.0.0.7/s?verifyIdentity=false').ssl).toEqual({
    rejectUnauthorized: true,
    verifyIdentity: false,
  });
});

test('a CA file is read, and one that is not there is refused', () => {
  const folder = mkdtempSync(join(tmpdir(), 'stageswap-ca-'));
  try {
    const file = join(folder, 'ca.pem');
    writeFileSync(file, 'certificate');
    expect(parseMysqlAddress(`mysql://a:b@h/s?ssl=${file}`).ssl).toEqual({
      rejectUnauthorized: true,
      verifyIdentity: true,
      ca: 'certificate',
    });
    expect(() => parseMysqlAddress(`mysql://a:b@h/s?ssl=${folder}/none.pem`)).toThrow(AddressError);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('user, password and database are percent-decoded', () => {
  expect(parseMysqlAddress('mysql://a%40b:p%2F%3F%23%25%3A@h/my%20schema')).toMatchObject({
    user: 'a@b',
    password: 'p/?#%:',
    database: 'my schema',
  });
});

test('an IPv6 host loses its brackets', () => {
  expect(parseMysqlAddress('mysql://a:b@[::1]:3307/s')).toMatchObject({ host: '::1', port: 3307 });
});

describe('refused without showing the password', () => {
  const bad: [string, () => unknown][] = [
    ['a connection string', () => parseMssqlAddress('Server=db;Password=hunter2')],
    ['another scheme', () => parseMssqlAddress('mysql://sa:hunter2@db/b')],
    ['no database', () => parseMysqlAddress('mysql://a:hunter2@h')],
    ['two databases', () => parseMysqlAddress('mysql://a:hunter2@h/b/c')],
    ['no user', () => parseMysqlAddress('mysql://h/b')],
    ['a port that is none', () => parseMysqlAddress('mysql://a:hunter2@h:99999/b')],
    ['a / in the password', () => parseMysqlAddress('mysql://a:hunter2/x@h/b')],
    ['a # in the password', () => parseMysqlAddress('mysql://a:hunter2#x@h/b')],
    ['a ? in the password', () => parseMysqlAddress('mysql://a:1?hunter2@h/b')],
    ['a lone % in the password', () => parseMysqlAddress('mysql://a:hunter2%@h/b')],
    ['an unknown option', () => parseMysqlAddress('mysql://a:hunter2@h/b?sssl=true')],
    ['a flag that is none', () => parseMssqlAddress('mssql://a:hunter2@h/b?encrypt=maybe')],
  ];
  test.each(bad)('%s', (_, parse) => {
    let thrown: unknown;
    try {
      parse();
    } catch (error) {
      thrown = error;
    }
    expect(thrown).toBeInstanceOf(AddressError);
    expect((thrown as AddressError).message + (thrown as AddressError).cure).not.toContain('hunter2');
    expect((thrown as AddressError).cure).not.toBe('');
  });
});

test('redact keeps what is needed to recognise an address', () => {
  expect(redact('mysql://app:hunter2@db:3306/s?ssl=true')).toBe('mysql://app:***@db:3306/s');
  expect(redact('nonsense hunter2')).toBe('(address hidden)');
  expect(redact('Server=db;Password=hunter2')).toBe('(address hidden)');
});
