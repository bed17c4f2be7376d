/** A growing buffer to write tokens into. */
export class ByteWriter {
  buffer = Buffer.allocUnsafe(1 << 16);
  length = 0;

  /** Makes room for `count` more bytes and returns where they start. */
  reserve(count: number): number {
    const at = this.length;
    const end = at + count;
    if (end > this.buffer.length) {
      const bigger = Buffer.allocUnsafe(Math.max(this.buffer.length * 2, end));
      this.buffer.copy(bigger, 0, 0, at);
      this.buffer = bigger;
    }
    this.length = end;
    return at;
  }
  u8(value: number): void {
    const at = this.reserve(1);
    this.buffer[at] = value;
  }
  u16(value: number): void {
    const at = this.reserve(2);
    this.buffer.writeUInt16LE(value, at);
  }
  u32(value: number): void {
    const at = this.reserve(4);
    this.buffer.writeUInt32LE(value, at);
  }
  i32(value: number): void {
    const at = this.reserve(4);
    this.buffer.writeInt32LE(value, at);
  }
  u64(value: bigint): void {
    const at = this.reserve(8);
    this.buffer.writeBigUInt64LE(value, at);
  }
  bytes(value: Uint8Array): void {
    const at = this.reserve(value.length);
    this.buffer.set(value, at);
  }
  /** UTF-16 text after its length in characters, one byte wide. */
  text8(value: string): void {
    this.u8(value.length);
    const at = this.reserve(value.length * 2);
    this.buffer.write(value, at, 'utf16le');
  }
  /** UTF-16 text after its length in characters, two bytes wide. */
  text16(value: string): void {
    this.u16(value.length);
    const at = this.reserve(value.length * 2);
    this.buffer.write(value, at, 'utf16le');
  }
}
