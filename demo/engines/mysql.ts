import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import mysql from 'mysql2/promise';
import { cached } from './cache.js';
import { Engine, freePort } from './process.js';
import { reasonOf } from './reason.js';

export interface MySqlEngine {
  /** mysql://user:password@host:port/ without a schema */
  url: string;
  version: string;
  /** started by us */
  owned: boolean;
  /** of the process that we started */
  readonly pid: number | undefined;
  /** SIGKILL */
  kill(): Promise<void>;
  /** again, on the same port and data */
  start(): Promise<void>;
  stop(): Promise<void>;
}

const WAYS =
  'Ways to have a MySQL (8.0.13 or later): set MYSQL_URL to one that runs, install mysqld, run docker compose up mysql, or use a Debian machine whose package mirror can be reached.';

interface Program {
  /** before mysqld's own arguments */
  command: string[];
  share: string | undefined;
  plugins: string | undefined;
}

/**
 * MySQL: the address in the environment, mysqld on PATH, or a private copy in the cache.
 *
 * @param options.owned    one that we may kill: the address in the environment is passed over
 * @param options.settings of a server of our own, as name=value; they go over ours
 */
export async function startMySql(
  say: (line: string) => void,
  options: { owned?: boolean; settings?: string[] } = {},
): Promise<MySqlEngine> {
  const given = options.owned ? undefined : process.env.MYSQL_URL;
  if (given) {
    const url = new URL(given);
    url.pathname = '/';
    const version = await versionOf(url.href).catch((error: Error) => {
      throw new Error(`MySQL at ${url.host} (MYSQL_URL) does not answer: ${error.message}\n${WAYS}`, {
        cause: error,
      });
    });
    if (!isRecentMySql(version)) {
      throw new Error(`MYSQL_URL leads to ${version}, which is not MySQL 8.0.13 or later\n${WAYS}`);
    }
    say(`MySQL ${version} at ${url.host} (MYSQL_URL)`);
    const not = async () => {
      throw new Error('MySQL was given by MYSQL_URL: it is not ours to stop');
    };
    return {
      url: url.href,
      version,
      owned: false,
      pid: undefined,
      kill: not,
      start: not,
      stop: async () => {},
    };
  }
  const program = (await onPath(say)) ?? (await privateCopy(say));
  const template = await cached(`mysql-data-${await templateName(program)}`, async (folder) => {
    say('initialising MySQL once');
    await execa(
      program.command[0] ?? '',
      [
        ...program.command.slice(1),
        ...base(program),
        '--initialize-insecure',
        `--datadir=${join(folder, 'data')}`,
      ],
      { all: true },
    );
  });
  // a socket's path may have 107 bytes: some temporary folders are longer than that by themselves
  const data = mkdtempSync(join(tmpdir().length < 80 ? tmpdir() : '/tmp', 'ssw-'));
  cpSync(join(template, 'data'), join(data, 'data'), { recursive: true });
  mkdirSync(join(data, 'binlog'));
  const port = await freePort();
  const command = [
    ...program.command,
    ...base(program),
    `--datadir=${join(data, 'data')}`,
    `--port=${port}`,
    '--bind-address=127.0.0.1',
    `--socket=${join(data, 's')}`,
    `--pid-file=${join(data, 'pid')}`,
    `--log-bin=${join(data, 'binlog', 'b')}`,
    '--log-bin-trust-function-creators=1',
    '--loose-mysqlx=OFF',
    '--performance-schema=ON',
    '--secure-file-priv=',
    '--local-infile=ON',
    '--innodb-buffer-pool-size=1G',
    '--loose-innodb-redo-log-capacity=1G',
    // 9.7 remembers 10,000,000 rows by itself, and `check` says what that costs
    '--loose-binlog-transaction-dependency-history-size=100000',
    '--max-connections=500',
    ...(options.settings ?? []).map((setting) => `--${setting}`),
  ];
  const engine = new Engine('MySQL', command, data);
  const url = `mysql://root@127.0.0.1:${port}/`;
  let version = '';
  const start = () =>
    engine.start(async () => {
      version = await versionOf(url);
      return true;
    });
  try {
    await start();
  } catch (error) {
    await engine.stop('SIGKILL');
    rmSync(data, { recursive: true, force: true });
    throw error;
  }
  say(`MySQL ${version} on port ${port}`);
  return {
    url,
    get version() {
      return version;
    },
    owned: true,
    get pid() {
      return engine.pid;
    },
    kill: () => engine.stop('SIGKILL'),
    start,
    stop: async () => {
      await engine.stop();
      rmSync(data, { recursive: true, force: true });
    },
  };
}

function base(program: Program): string[] {
  return [
    '--no-defaults',
    ...(program.share
      ? [
          `--basedir=${join(program.share, '..', '..')}`,
          `--lc-messages-dir=${program.share}`,
          `--character-sets-dir=${join(program.share, 'charsets')}`,
        ]
      : []),
    ...(program.plugins ? [`--plugin-dir=${program.plugins}`] : []),
    ...(process.getuid?.() === 0 ? ['--user=root'] : []),
  ];
}

async function versionOf(url: string): Promise<string> {
  const connection = await mysql.createConnection(url);
  try {
    const [rows] = await connection.query('SELECT VERSION() AS version');
    return (rows as { version: string }[])[0]?.version ?? '';
  } finally {
    await connection.end();
  }
}

/** mysqld on PATH, if it is a MySQL that will do; another one is named, so that nobody wonders why it is not used. */
async function onPath(say: (line: string) => void): Promise<Program | undefined> {
  const found = await execa('mysqld', ['--no-defaults', '--version'], { reject: false });
  if (found.exitCode !== 0) return undefined;
  if (isRecentMySql(found.stdout)) return { command: ['mysqld'], share: undefined, plugins: undefined };
  say(`mysqld on PATH is not MySQL 8.0.13 or later, so it is not used: ${found.stdout.trim()}`);
  return undefined;
}

/** Whether a version, as the server or `mysqld --version` says it, is MySQL 8.0.13 or later (MariaDB is not MySQL). */
export function isRecentMySql(version: string): boolean {
  if (/mariadb/i.test(version)) return false;
  const [, major, minor, patch] = (/(?:^|Ver )(\d+)\.(\d+)\.(\d+)/.exec(version) ?? []).map(Number);
  if (major === undefined || minor === undefined || patch === undefined) return false;
  return major > 8 || (major === 8 && (minor > 0 || patch >= 13));
}

/** A data folder belongs to the version that made it. */
async function templateName(program: Program): Promise<string> {
  const [file, ...rest] = program.command;
  const { stdout } = await execa(file ?? '', [...rest, '--no-defaults', '--version']);
  return /Ver (\S+)/.exec(stdout)?.[1]?.replace(/[^\w.-]/g, '_') ?? 'unknown';
}

/** Debian's mysql-server-core from sid, with its libraries, unpacked into the cache; the system is not changed. */
async function privateCopy(say: (line: string) => void): Promise<Program> {
  const prefix = await cached('mysql-sid-1', async (folder) => {
    say('fetching MySQL from the Debian archive into the cache (60 MB)');
    try {
      await fetchFromSid(folder);
    } catch (error) {
      throw new Error(`MySQL could not be fetched with apt: ${reasonOf(error)}\n${WAYS}`, { cause: error });
    }
  });
  const libraries = readdirSync(join(prefix, 'usr', 'lib')).filter((name) => name.endsWith('-linux-gnu'))[0];
  const loaders = existsSync(join(prefix, 'usr', 'lib', libraries ?? ''))
    ? readdirSync(join(prefix, 'usr', 'lib', libraries ?? '')).filter((name) => name.startsWith('ld-linux'))
    : [];
  const folder = join(prefix, 'usr', 'lib', libraries ?? '');
  if (!libraries || !loaders[0])
    throw new Error(`the private copy of MySQL in the cache is not whole: remove ${prefix} and try again`);
  return {
    command: [
      join(folder, loaders[0]),
      '--library-path',
      [folder, join(folder, 'mysql', 'private')].join(':'),
      join(prefix, 'usr', 'sbin', 'mysqld'),
    ],
    share: join(prefix, 'usr', 'share', 'mysql'),
    plugins: join(prefix, 'usr', 'lib', 'mysql', 'plugin'),
  };
}

async function fetchFromSid(prefix: string): Promise<void> {
  const work = mkdtempSync(join(tmpdir(), 'ssw-apt-'));
  try {
    mkdirSync(join(work, 'lists', 'partial'), { recursive: true });
    mkdirSync(join(work, 'archives', 'partial'), { recursive: true });
    writeFileSync(join(work, 'status'), '');
    const mirror = debianMirror();
    writeFileSync(join(work, 'sources.list'), `deb ${mirror.options}${mirror.uri} sid main\n`);
    const options = [
      `Dir::Etc::sourcelist=${join(work, 'sources.list')}`,
      'Dir::Etc::sourceparts=-',
      `Dir::State::lists=${join(work, 'lists')}`,
      `Dir::State::status=${join(work, 'status')}`,
      `Dir::Cache=${work}`,
      `Dir::Cache::archives=${join(work, 'archives')}`,
      'APT::Install-Recommends=0',
      'Acquire::Languages=none',
      'Acquire::Retries=3',
      'Acquire::http::Timeout=20',
      'Acquire::https::Timeout=20',
      ...(process.getuid?.() === 0 ? ['APT::Sandbox::User=root'] : []),
    ].flatMap((option) => ['-o', option]);
    await execa('apt-get', [...options, 'update', '--error-on=any']);
    await execa('apt-get', [...options, '-y', '--download-only', 'install', 'mysql-server-core']);
    for (const name of readdirSync(join(work, 'archives')).filter((file) => file.endsWith('.deb'))) {
      await execa('dpkg-deb', ['-x', join(work, 'archives', name), prefix]);
    }
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

/** The mirror from which the machine's own apt sources take its Debian release. */
function debianMirror(): { uri: string; options: string } {
  const keyring = '/usr/share/keyrings/debian-archive-keyring.gpg';
  const options = existsSync(keyring) ? `[signed-by=${keyring}] ` : '';
  const release = existsSync('/etc/os-release') ? readFileSync('/etc/os-release', 'utf8') : '';
  const codename = /^VERSION_CODENAME=(\w+)$/m.exec(release)?.[1] ?? 'sid';
  if (!/^ID=debian$/m.test(release)) throw new Error('this is not a Debian machine');
  const folder = '/etc/apt/sources.list.d';
  const files = [
    '/etc/apt/sources.list',
    ...(existsSync(folder) ? readdirSync(folder).map((name) => join(folder, name)) : []),
  ];
  for (const file of files.filter((name) => existsSync(name))) {
    const uri = mirrorIn(readFileSync(file, 'utf8'), [codename, 'stable', 'testing', 'unstable', 'sid']);
    if (uri) return { uri, options };
  }
  throw new Error(`the machine has no apt source for Debian ${codename}`);
}

/** The first address in a list of apt sources, of either form, that offers one of the suites. */
export function mirrorIn(sources: string, suites: string[]): string | undefined {
  const lines = sources.split('\n').filter((line) => !/^\s*#/.test(line));
  for (const line of lines) {
    const [, uri, suite] = /^deb\s+(?:\[[^\]]*\]\s+)?(\S+)\s+(\S+)\s/.exec(line) ?? [];
    if (uri && suite && suites.includes(suite)) return uri;
  }
  for (const stanza of lines.join('\n').split(/\n\s*\n/)) {
    const uri = /^URIs:\s*(\S+)/im.exec(stanza)?.[1];
    const offered = /^Suites:(.*)$/im.exec(stanza)?.[1]?.trim().split(/\s+/) ?? [];
    if (uri && offered.some((suite) => suites.includes(suite))) return uri;
  }
  return undefined;
}
