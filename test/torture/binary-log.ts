import type { Connection, RowDataPacket } from 'mysql2/promise';

/**
 * MySQL's binary log as the witness: which statements were committed, and in which order, the swap among them. It knows
 * also of those whose sender was never answered.
 */

/** One statement that took effect, or one definition that changed. */
export interface Logged {
  text: string;
  kind: 'statement' | 'definition';
  /** tables of the schema of which it changed rows, by triggers as well */
  tables: string[];
}
/** What was committed together; a definition stands alone. */
export type Commit = Logged[];

export interface Place {
  file: string;
  position: number;
}

/** Where the binary log ends now. */
export async function endOfBinaryLog(connection: Connection): Promise<Place> {
  const [rows] = await connection.query<RowDataPacket[]>('SHOW BINARY LOGS');
  const last = rows.at(-1) as { Log_name: string; File_size: number | string };
  return { file: last.Log_name, position: Number(last.File_size) };
}

interface Event {
  Event_type: string;
  Info: string;
  End_log_pos: number;
}

/** Everything that was committed in one schema from a place on. The server must log the statements' texts. */
export async function readBinaryLog(
  connection: Connection,
  schema: string,
  from: Place,
): Promise<{ commits: Commit[]; end: Place }> {
  const end = await endOfBinaryLog(connection);
  const [files] = await connection.query<RowDataPacket[]>('SHOW BINARY LOGS');
  const names = (files as { Log_name: string }[]).map(({ Log_name }) => Log_name);
  const commits: Commit[] = [];
  const reader = new EventReader(schema, commits);
  for (const name of names.slice(names.indexOf(from.file))) {
    const start = name === from.file ? ` FROM ${from.position}` : '';
    const [events] = await connection.query<RowDataPacket[]>(`SHOW BINLOG EVENTS IN '${name}'${start}`);
    for (const event of events as Event[]) {
      if (name === end.file && Number(event.End_log_pos) > end.position) break;
      reader.take(event);
    }
    reader.endOfFile();
  }
  return { commits, end };
}

class EventReader {
  #open: Commit | undefined;
  #statement: Logged | undefined;
  readonly #announced = new Map<string, string>();

  constructor(
    readonly schema: string,
    readonly commits: Commit[],
  ) {}

  take({ Event_type: type, Info: info }: Event): void {
    if (type === 'Query') this.#query(info);
    else if (type === 'Rows_query') {
      this.#statement = { text: info.replace(/^# /, ''), kind: 'statement', tables: [] };
      this.#open?.push(this.#statement);
    } else if (type === 'Table_map') {
      // all tables that are locked for writing are announced, whether a row of them changes or not
      const [, id = '', schema = '', table = ''] = /^table_id: (\d+) \(([^.]+)\.(.+)\)$/.exec(info) ?? [];
      if (schema === this.schema) this.#announced.set(id, table);
    } else if (/_rows/i.test(type)) {
      const table = this.#announced.get(/table_id: (\d+)/.exec(info)?.[1] ?? '');
      if (table !== undefined) this.#statement?.tables.push(table);
    } else if (type === 'Xid') this.#close();
  }

  /** A server that was killed leaves no half transaction behind: what is open at the end of a file was not committed. */
  endOfFile(): void {
    this.#open = undefined;
  }

  #query(info: string): void {
    if (info === 'BEGIN') {
      this.#open = [];
      return;
    }
    if (info === 'COMMIT') this.#close();
    if (info === 'ROLLBACK') this.#open = undefined;
    const text = info.replace(/^use `([^`]+)`; /, '');
    if (text === info || !info.startsWith(`use \`${this.schema}\`; `)) return;
    this.commits.push([{ text: text.replace(/ \/\* xid=\d+ \*\/$/, ''), kind: 'definition', tables: [] }]);
  }

  #close(): void {
    const ours = this.#open?.filter(({ tables }) => tables.length > 0) ?? [];
    if (ours.length > 0) this.commits.push(ours);
    this.#open = undefined;
    this.#statement = undefined;
  }
}
