/** Tokens of a response, but for rows. [MS-TDS] 2.2.7. */
import type { SqlError } from '../errors.js';
import type { OutputColumn } from '../tsql/translate.js';
import type { ByteWriter } from './bytes.js';
import { COLLATION, writeTypeInfo } from './types.js';

const SERVER = 'stand-in';
export const DONE = { final: 0, more: 1, error: 2, count: 0x10, attention: 0x20 } as const;
export const DONE_KIND = { done: 0xfd, proc: 0xfe, inProc: 0xff } as const;

export function writeError(w: ByteWriter, error: SqlError): void {
  writeMessage(w, 0xaa, error.number, error.state, error.severity, error.message);
}
export function writeInfo(w: ByteWriter, number: number, severity: number, text: string): void {
  writeMessage(w, 0xab, number, 1, severity, text);
}

function writeMessage(
  w: ByteWriter,
  token: number,
  number: number,
  state: number,
  severity: number,
  message: string,
): void {
  const text = message.slice(0, 4000);
  w.u8(token);
  w.u16(4 + 1 + 1 + 2 + text.length * 2 + 1 + SERVER.length * 2 + 1 + 4);
  w.u32(number);
  w.u8(state);
  w.u8(severity);
  w.text16(text);
  w.text8(SERVER);
  w.text8('');
  w.u32(1);
}

export function writeDone(w: ByteWriter, kind: number, status: number, rows: bigint): void {
  w.u8(kind);
  w.u16(status);
  w.u16(status & DONE.count ? 0xc1 : 0);
  w.u64(rows);
}

function change(w: ByteWriter, type: number, write: () => void): void {
  w.u8(0xe3);
  const at = w.reserve(2);
  w.u8(type);
  write();
  w.buffer.writeUInt16LE(w.length - at - 2, at);
}
export const writeDatabaseChange = (w: ByteWriter, now: string, before: string): void => {
  change(w, 1, () => {
    w.text8(now);
    w.text8(before);
  });
};
export const writePacketBytesChange = (w: ByteWriter, now: number, before: number): void => {
  change(w, 4, () => {
    w.text8(String(now));
    w.text8(String(before));
  });
};
export const writeCollationChange = (w: ByteWriter): void => {
  change(w, 7, () => {
    w.u8(5);
    w.bytes(COLLATION);
    w.u8(0);
  });
};
/** 8 begin, 9 commit, 10 rollback. */
export const writeTransactionChange = (w: ByteWriter, type: 8 | 9 | 10, descriptor: bigint): void => {
  change(w, type, () => {
    const id = Buffer.alloc(8);
    id.writeBigUInt64LE(descriptor);
    w.u8(type === 8 ? 8 : 0);
    if (type === 8) w.bytes(id);
    w.u8(type === 8 ? 0 : 8);
    if (type !== 8) w.bytes(id);
  });
};
export const writeResetDone = (w: ByteWriter): void => {
  change(w, 18, () => {
    w.u8(0);
    w.u8(0);
  });
};

export function writeLoginAck(w: ByteWriter): void {
  const name = 'Microsoft SQL Server';
  w.u8(0xad);
  w.u16(1 + 4 + 1 + name.length * 2 + 4);
  w.u8(1);
  w.bytes(Buffer.from([0x74, 0, 0, 4]));
  w.text8(name);
  w.bytes(Buffer.from([16, 0, 0x03, 0xe8]));
}

export function writeColumns(w: ByteWriter, columns: readonly (OutputColumn & { name: string })[]): void {
  w.u8(0x81);
  w.u16(columns.length);
  for (const column of columns) {
    w.u32(0);
    w.u16(8 | (column.nullable ? 1 : 0) | (column.identity ? 0x10 : 0));
    writeTypeInfo(w, column.type);
    w.text8(column.name.slice(0, 128));
  }
}

export function writeReturnStatus(w: ByteWriter, status: number): void {
  w.u8(0x79);
  w.i32(status);
}

/** An output parameter of type int. */
export function writeReturnInt(w: ByteWriter, name: string, value: number): void {
  w.u8(0xac);
  w.u16(0);
  w.text8(name);
  w.u8(1);
  w.u32(0);
  w.u16(0);
  w.u8(0x26);
  w.u8(4);
  w.u8(4);
  w.i32(value);
}
