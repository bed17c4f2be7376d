import type { Connection, RowDataPacket } from 'mysql2/promise';
import { type Conflict, identityOf, type Row, type Value } from '../merge/oracle.js';
import type { Ledger } from './ledger.js';
import { byIdentity, customerKey, METER, type Shape, type TableName, tablesOf } from './shape.js';

/** What MySQL holds, read by plain SQL. */

/** Rows of a table, every value as MySQL prints it. */
export async function readRows(
  connection: Connection,
  shape: Shape,
  name: TableName,
): Promise<Map<string, Row>> {
  const table = shape.tables[name];
  const columns = Object.keys(table.types);
  const [found] = await connection.query({
    sql: `SELECT ${columns.join(', ')} FROM ${name}`,
    rowsAsArray: true,
    typeCast: (field) => field.buffer(),
  });
  const rows = (found as unknown as (Buffer | null)[][]).map((values) =>
    Object.fromEntries(
      columns.map((column, index): [string, Value] => [column, values[index]?.toString() ?? null]),
    ),
  );
  return byIdentity(table, rows);
}

/** Of which of billing's transactions live is: the meter. 0: of none. */
export async function readMeter(connection: Connection, shape: Shape): Promise<number> {
  const [rows] = await connection.query<RowDataPacket[]>(
    'SELECT balance FROM customer WHERE customer_id = ?',
    [customerKey(shape, METER)],
  );
  return Math.trunc(Number((rows[0] as { balance: string } | undefined)?.balance ?? 0));
}

/** Names of tables and triggers in the schema. */
export async function readNames(
  connection: Connection,
): Promise<{ tables: string[]; triggers: { name: string; place: string }[] }> {
  const [tables] = await connection.query<RowDataPacket[]>(
    'SELECT table_name AS name FROM information_schema.tables WHERE table_schema = DATABASE()',
  );
  const [triggers] = await connection.query<RowDataPacket[]>(
    'SELECT trigger_name AS name, event_object_table AS place FROM information_schema.triggers WHERE trigger_schema = DATABASE()',
  );
  return {
    tables: (tables as { name: string }[]).map(({ name }) => name),
    triggers: triggers as { name: string; place: string }[],
  };
}

/** SHOW CREATE TABLE of the group, but for the generation in constraints' names and the counter. */
export async function readDefinitions(connection: Connection, shape: Shape): Promise<Record<string, string>> {
  const definitions: Record<string, string> = {};
  for (const { name } of tablesOf(shape)) {
    const [rows] = await connection.query<RowDataPacket[]>(`SHOW CREATE TABLE ${name}`);
    definitions[name] = String((rows[0] as { 'Create Table': string })['Create Table'])
      .replaceAll(/__ss\d+/g, '')
      .replaceAll(/ AUTO_INCREMENT=\d+/g, '');
  }
  return definitions;
}

/** Conflicts that a run recorded. */
export async function readConflicts(
  connection: Connection,
  shape: Shape,
  generation: number,
): Promise<Conflict[]> {
  const [found] = await connection.query<RowDataPacket[]>(
    'SELECT live, row_key, kind, columns_json, base_json, source_json, live_json FROM _stageswap_conflict WHERE generation = ?',
    [generation],
  );
  return (found as Record<string, unknown>[]).map((row) => {
    const table = shape.tables[row.live as TableName];
    const [base, source, live] = [row.base_json, row.source_json, row.live_json].map(
      (value) => value as Row | null,
    );
    return {
      table: String(row.live),
      key: identityOf(table, row.row_key as Row),
      kind: row.kind as Conflict['kind'],
      columns: row.columns_json as string[],
      base: base ?? null,
      source: source ?? null,
      live: live ?? null,
    };
  });
}

/**
 * Tables and triggers that stand in the schema and should not: of published generations the base of the newest and of the
 * one before, with what they held back; the newest's first touches and its triggers; one backup a table; one marker.
 */
export async function readLeftovers(connection: Connection, ledger: Ledger): Promise<string[]> {
  const { tables, triggers } = await readNames(connection);
  const last = ledger.swaps.at(-1);
  const at = last?.to ?? 0;
  const before = ledger.swaps.findLast(({ kind, to }) => kind === 'publish' && to === at)?.from ?? 0;
  const left: string[] = [];
  const markers = tables.filter((name) => name.startsWith('_ss_at_'));
  const wanted = new RegExp(`^_ss_at_${at}_`);
  // before the first run that began there is none
  if (markers.length > 1 || (last && markers.length === 0) || markers.some((name) => !wanted.test(name)))
    left.push(`markers ${markers.join(', ')} instead of that of generation ${at}`);
  const backups = new Map<string, string[]>();
  for (const name of tables) {
    const found = /^_ss(\d+)([a-z])_(.+)$/.exec(name);
    if (!found) continue;
    const [, generation = '', kind = '', live = ''] = found;
    if (kind === 'o') backups.set(live, [...(backups.get(live) ?? []), name]);
    else {
      const stays =
        kind === 't'
          ? last?.kind === 'publish'
            ? [at]
            : []
          : kind === 'n' || kind === 'h'
            ? [at, before]
            : [];
      if (Number(generation) === 0 || !stays.includes(Number(generation))) left.push(`table ${name}`);
    }
  }
  for (const names of backups.values()) if (names.length > 1) left.push(`backups ${names.join(', ')}`);
  for (const { name, place } of triggers)
    if (!new RegExp(`^_ss${at}t[iud]_${place}$`).test(name)) left.push(`trigger ${name} on ${place}`);
  if (last?.kind === 'publish') {
    const touch = triggers.filter(({ name }) => new RegExp(`^_ss${at}t[iud]_`).test(name));
    if (touch.length !== 3 * tablesOf(ledger.shape).length)
      left.push(`${touch.length} triggers of the rollback window instead of three a table`);
  }
  return left;
}
