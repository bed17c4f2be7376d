// No Docker engine runs where these tests do: what compose would be given is read, nothing is started.
import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { parse } from 'yaml';

interface Service {
  image?: string;
  build?: string;
  command?: string[];
  environment?: Record<string, string>;
  ports?: string[];
  volumes?: string[];
  depends_on?: Record<string, { condition: string }>;
  healthcheck?: { test: string[]; interval: string; timeout: string; retries: number };
}

const file = (name: string) => fileURLToPath(new URL(`../${name}`, import.meta.url));
const text = readFileSync(file('docker-compose.yml'), 'utf8');
const compose: { services: Record<string, Service>; volumes: Record<string, null> } = parse(text);
const service = (name: string): Service => {
  const found = compose.services[name];
  if (!found) throw new Error(`no service ${name}`);
  return found;
};

/** NAME=value lines; `all` counts those in comments as well */
function variables(all: boolean): Map<string, string> {
  const lines = readFileSync(file('.env.example'), 'utf8').split('\n');
  return new Map(
    lines.flatMap((line) => {
      const [, name, value] = (all ? /^(?:# )?([A-Z_]+)=(.*)$/ : /^([A-Z_]+)=(.*)$/).exec(line) ?? [];
      return name === undefined || value === undefined ? [] : [[name, value] as const];
    }),
  );
}

test('the services are the three engines and a worker', () => {
  expect(Object.keys(compose.services).sort()).toEqual(['mssql', 'mysql', 'temporal', 'worker']);
  expect(service('mssql').image).toMatch(/^mcr\.microsoft\.com\/mssql\/server:2022/);
  expect(service('mysql').image).toBe('mysql:8.4');
  expect(service('temporal').image).toMatch(/^temporalio\/temporal:\d+\.\d+\.\d+$/);
  expect(service('worker').build).toBe('.');
});

test('MySQL is set up as a run needs it', () => {
  expect(service('mysql').command).toEqual(
    expect.arrayContaining(['--local-infile=ON', '--log-bin-trust-function-creators=ON']),
  );
});

test('Temporal has the search attributes of a run, and a file that survives a restart', () => {
  expect(service('temporal').command).toEqual(
    expect.arrayContaining([
      '--search-attribute=StageswapPipeline=Keyword',
      '--search-attribute=StageswapPhase=Keyword',
      '--db-filename=/data/temporal.db',
    ]),
  );
});

test('ports are those of the engines, on the loopback interface only', () => {
  const inside = Object.values(compose.services).flatMap((one) => one.ports ?? []);
  expect(inside.map((port) => port.split(':').at(-1))).toEqual(['1433', '3306', '7233', '8233']);
  for (const port of inside) expect(port).toMatch(/^127\.0\.0\.1:\$\{[A-Z_]+:-\d+\}:\d+$/);
});

test('every service has a health check, and the worker waits for the engines to be healthy', () => {
  for (const [name, one] of Object.entries(compose.services)) {
    expect(one.healthcheck?.test[0], name).toMatch(/^CMD(-SHELL)?$/);
    expect(one.healthcheck?.retries, name).toBeGreaterThan(1);
  }
  for (const engine of ['mssql', 'mysql', 'temporal']) {
    expect(service('worker').depends_on?.[engine]).toEqual({ condition: 'service_healthy' });
  }
  expect(existsSync(file('scripts/worker-health.mjs'))).toBe(true);
});

test('there may be as many workers as are asked for: nothing of one is there only once', () => {
  const worker = service('worker');
  expect(worker).not.toHaveProperty('container_name');
  expect(worker.ports).toBeUndefined();
  expect(worker.volumes?.every((volume) => volume.endsWith(':ro'))).toBe(true);
});

test('every variable used is in .env.example, and every one there is used', () => {
  const used = new Set([...text.matchAll(/(?<!\$)\$\{([A-Z_]+)/g)].map(([, name]) => name));
  expect([...variables(false).keys()].sort()).toEqual([...used].sort());
});

test('a default in the file is the value in .env.example', () => {
  for (const [, name = '', value] of text.matchAll(/\$\{([A-Z_]+):-([^}]*)\}/g)) {
    expect(variables(false).get(name), name).toBe(value);
  }
});

test('the addresses for this machine fit the ports and passwords', () => {
  const all = variables(true);
  const mssql = new URL(all.get('MSSQL_URL') ?? '');
  expect([mssql.password, mssql.port]).toEqual([all.get('MSSQL_SA_PASSWORD'), all.get('MSSQL_PORT')]);
  expect(mssql.pathname).toBe(`/${all.get('MSSQL_DATABASE')}`);
  const mysql = new URL(all.get('MYSQL_URL') ?? '');
  expect([mysql.password, mysql.port]).toEqual([all.get('MYSQL_ROOT_PASSWORD'), all.get('MYSQL_PORT')]);
  expect(mysql.pathname).toBe(`/${all.get('MYSQL_DATABASE')}`);
  expect(all.get('TEMPORAL_ADDRESS')).toBe(`127.0.0.1:${all.get('TEMPORAL_PORT')}`);
});

test('named volumes are declared', () => {
  const named = Object.values(compose.services).flatMap((one) =>
    (one.volumes ?? []).map((volume) => volume.split(':')[0] ?? '').filter((name) => /^\w+$/.test(name)),
  );
  expect(named.sort()).toEqual(Object.keys(compose.volumes).sort());
});

test('what the Dockerfile copies exists and is not ignored', () => {
  const allowed = readFileSync(file('.dockerignore'), 'utf8')
    .split('\n')
    .filter((line) => line.startsWith('!'))
    .map((line) => line.slice(1));
  const copies = readFileSync(file('Dockerfile'), 'utf8')
    .split('\n')
    .filter((line) => line.startsWith('COPY') && !line.includes('--from='));
  const sources = copies.flatMap((line) =>
    line
      .split(/\s+/)
      .slice(1, -1)
      .filter((word) => !word.startsWith('--')),
  );
  expect(sources.length).toBeGreaterThan(5);
  for (const source of sources) {
    expect(existsSync(file(source)), source).toBe(true);
    expect(allowed, source).toContain(source.split('/')[0]);
  }
});
