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

export interface MySqlEngine {
  /** mysql://user:password@host:port/ without a schema */
  url: string;
  version: string;
  /** started by us */
  owned: boolean;
  /** SIGKILL */
  kill(): Promise<void>;
  /** again, on the same port and data */
  start(): Promise<void>;
  stop(): Promise<void>;
}

const WAYS =
  'Ways to have a MySQL (8.0.13 or later): set MYSQL_URL to one that runs, install mysqld, run docker compose up mysql, or use a Debian-based machine whose package mirror can be reached.';

interface Program {
  /** before mysqld's own arguments */
  command: string[];
  share: string | undefined;
  plugins: string | undefined;
}

/** MySQL: the address in the environment, mysqld on PATH, or a private copy in the cache. */
export async function startMySql(say: (line: string) => void): Promise<MySqlEngine> {
  const given = process.env.MYSQL_URL;
  if (given) {
    const url = new URL(given);
    url.pathname = '/';
    const version = await versionOf(url.href);
    say(`MySQL ${version} at ${url.host} (MYSQL_URL)`);
    const not = async () => {
      throw new Error('MySQL was given by MYSQL_URL: it is not ours to stop');
    };
    return { url: url.href, version, owned: false, kill: not, start: not, stop: async () => {} };
  }
  const program = (await onPath()) ?? (await privateCopy(say));
  const data = mkdtempSync(join(tmpdir(), 'ssw-'));
  const template = await cached('mysql-data-1', async (folder) => {
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
  cpSync(join(template, 'data'), join(data, 'data'), { recursive: true });
  mkdirSync(join(data, 'binlog'));
  const port = await freePort();
  const engine = new Engine('MySQL', [
    ...program.command,
    ...base(program),
    `--datadir=${join(data, 'data')}`,
    `--port=${port}`,
    '--bind-address=127.0.0.1',
    `--socket=${join(data, 's')}`,
    `--pid-file=${join(data, 'pid')}`,
    `--log-bin=${join(data, 'binlog', 'b')}`,
    '--log-bin-trust-function-creators=1',
    '--mysqlx=OFF',
    '--secure-file-priv=',
    '--local-infile=ON',
    '--innodb-buffer-pool-size=1G',
    '--innodb-redo-log-capacity=1G',
    '--max-connections=500',
  ]);
  const url = `mysql://root@127.0.0.1:${port}/`;
  let version = '';
  const start = async () => {
    engine.spawn();
    await engine.until(async () => {
      version = await versionOf(url);
      return true;
    });
  };
  await start();
  say(`MySQL ${version} on port ${port}`);
  return {
    url,
    get version() {
      return version;
    },
    owned: true,
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

async function onPath(): Promise<Program | undefined> {
  const found = await execa('mysqld', ['--no-defaults', '--version'], { reject: false });
  if (found.exitCode !== 0 || /mariadb/i.test(found.stdout)) return undefined;
  return { command: ['mysqld'], share: undefined, plugins: undefined };
}

/** Debian's mysql-server-core from sid, with its libraries, unpacked into the cache; the system is not changed. */
async function privateCopy(say: (line: string) => void): Promise<Program> {
  const prefix = await cached('mysql-sid-1', async (folder) => {
    say('fetching MySQL from the Debian archive into the cache (60 MB)');
    try {
      await fetchFromSid(folder);
    } catch (error) {
      const reason =
        (error as { stderr?: string; message: string }).stderr?.slice(-500) ?? (error as Error).message;
      throw new Error(`MySQL could not be fetched with apt: ${reason}\n${WAYS}`, { cause: error });
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
      ...(process.getuid?.() === 0 ? ['APT::Sandbox::User=root'] : []),
    ].flatMap((option) => ['-o', option]);
    await execa('apt-get', [...options, 'update']);
    await execa('apt-get', [...options, '-y', '--download-only', 'install', 'mysql-server-core']);
    for (const name of readdirSync(join(work, 'archives')).filter((file) => file.endsWith('.deb'))) {
      await execa('dpkg-deb', ['-x', join(work, 'archives', name), prefix]);
    }
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

/** The mirror that the machine's own apt sources name for Debian. */
function debianMirror(): { uri: string; options: string } {
  const keyring = '/usr/share/keyrings/debian-archive-keyring.gpg';
  const options = existsSync(keyring) ? `[signed-by=${keyring}] ` : '';
  const folder = '/etc/apt/sources.list.d';
  const files = [
    '/etc/apt/sources.list',
    ...(existsSync(folder) ? readdirSync(folder).map((name) => join(folder, name)) : []),
  ];
  for (const file of files.filter((name) => existsSync(name))) {
    for (const line of readFileSync(file, 'utf8').split('\n')) {
      const uri =
        /^URIs:\s*(\S*\/debian)\/?\s*$/.exec(line)?.[1] ??
        /^deb\s+(?:\[[^\]]*\]\s+)?(\S*\/debian)\/?\s/.exec(line)?.[1];
      if (uri) return { uri, options };
    }
  }
  throw new Error('the machine has no apt source for Debian');
}
