import { writeFileSync } from 'node:fs';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { parseMssqlAddress, parseMysqlAddress } from '../config/address.js';
import { parseConfig } from '../config/load.js';
import type { Side } from '../config/schema.js';
import { sourceTableName } from '../config/source-table.js';
import { InitError, type InitResult, writeConfig } from '../init.js';
import { EXIT, type ExitCode } from '../model/exit-code.js';
import { type Session, withSession } from '../mysql/connection.js';
import { readLiveTableNames, readLiveTables } from '../mysql/schema.js';
import { id, sql } from '../sql/text.js';
import { jsonOption } from './config-option.js';
import { examples } from './examples.js';
import { CommandError } from './failure.js';
import { note, print, printJson } from './output.js';

interface InitOptions {
  sourceEnv: string;
  targetEnv: string;
  map: Mapping[];
  firstRun?: Side;
  pipeline?: string;
  out: string;
  force: boolean;
  json: boolean;
}

interface Mapping {
  source: { schema: string; table: string };
  live: string;
}

export function addInit(program: Command, end: (code: ExitCode) => void): void {
  program
    .command('init')
    .description('read both schemas and write a configuration that runs as it is')
    .requiredOption('--source-env <variable>', "environment variable with the source's address")
    .requiredOption('--target-env <variable>', "environment variable with the target's address")
    .option('--map <pair...>', 'pair of tables that names do not give: dbo.Customer=customer', mapping, [])
    .addOption(
      new Option('--first-run <side>', 'who is right where both sides differ at first').choices([
        'source',
        'live',
      ]),
    )
    .option('--pipeline <name>', "name of the pipeline (default: the target schema's)")
    .requiredOption('--out <file>', 'file to write')
    .option('--force', 'overwrite the file', false)
    .addOption(jsonOption())
    .addHelpText(
      'after',
      examples(
        'stageswap init --source-env MSSQL_URL --target-env MYSQL_URL --first-run source --out stageswap.yaml',
        'stageswap init --source-env MSSQL_URL --target-env MYSQL_URL --map dbo.Customer=customer --out stageswap.yaml',
      ),
    )
    .action(async (options: InitOptions) => {
      const result = await init(options);
      if (options.json) printJson({ file: options.out, tables: result.tables, leftOut: result.leftOut });
      else {
        for (const line of result.leftOut) note(`not published: ${line}`);
        print(
          `${options.out} publishes ${result.tables.join(', ')}. Next: stageswap check --config ${options.out}`,
        );
      }
      end(EXIT.done);
    });
}

async function init(options: InitOptions): Promise<InitResult> {
  const source = parseMssqlAddress(variable(options.sourceEnv));
  const target = parseMysqlAddress(variable(options.targetEnv));
  const pipeline = options.pipeline ?? pipelineName(target.database);
  // loaded here only, as in check
  const { withSource } = await import('../sql-server/connection.js');
  const { readSourceTables } = await import('../sql-server/schema.js');
  const sourceTables = await withSource(source, (pool) => readSourceTables(pool));
  return withSession(target, async (session) => {
    const names = await readLiveTableNames(session.connection, target.database);
    const liveTables = await readLiveTables(session.connection, target.database, names);
    const write = (firstRun: Side) => {
      const { sourceEnv, targetEnv, map } = options;
      return writeConfig({ pipeline, sourceTables, liveTables, map, firstRun, sourceEnv, targetEnv });
    };
    let result: InitResult;
    try {
      // with empty live tables both sides mean the same
      result = write(options.firstRun ?? 'source');
    } catch (error) {
      if (error instanceof InitError) throw new CommandError(EXIT.refused, error.message, error.cure);
      throw error;
    }
    if (options.firstRun === undefined) await refuseUnlessEmpty(session, result.tables);
    parseConfig(result.text, options.out); // what is written loads
    save(options, result.text);
    return result;
  });
}

async function refuseUnlessEmpty(session: Session, tables: string[]): Promise<void> {
  for (const table of tables) {
    if ((await session.rows(sql`SELECT 1 AS found FROM ${id(table)} LIMIT 1`)).length === 0) continue;
    throw new CommandError(
      EXIT.usage,
      `${table} has rows, so it must be said who is right where source and live differ`,
      '--first-run source overwrites live where they differ, --first-run live leaves it as it is',
    );
  }
}

function save(options: InitOptions, text: string): void {
  try {
    writeFileSync(options.out, text, { flag: options.force ? 'w' : 'wx' });
  } catch (error) {
    const exists = (error as NodeJS.ErrnoException).code === 'EEXIST';
    throw new CommandError(
      EXIT.usage,
      exists ? `${options.out} exists` : `${options.out} cannot be written: ${(error as Error).message}`,
      exists ? 'write to another file, or add --force' : 'name a file in a folder that can be written to',
      { cause: error },
    );
  }
}

function variable(name: string): string {
  const value = process.env[name];
  if (value) return value;
  throw new CommandError(EXIT.usage, `the environment variable ${name} is not set`, `export ${name}=…`);
}

/** A pipeline's name from a schema's. */
export function pipelineName(schema: string): string {
  const name = schema
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .replace(/^[^a-z]+|-+$/g, '')
    .slice(0, 40);
  return name === '' ? 'pipeline' : name;
}

/** SCHEMA.TABLE=LIVE, once for each time the option is given. */
export function mapping(text: string, earlier: Mapping[]): Mapping[] {
  const at = text.lastIndexOf('=');
  if (at < 1 || at === text.length - 1) throw new InvalidArgumentError('write it as dbo.Customer=customer.');
  return [...earlier, { source: sourceTableName(text.slice(0, at)), live: text.slice(at + 1) }];
}
