/** tsx demo/sql-server-stand-in/main.ts --port 0 --user sa --password X [--database NAME …] [--no-database-snapshots] [--exit-with-stdin] */
import { parseArgs } from 'node:util';
import { startStandIn } from './server.js';

const { values } = parseArgs({
  options: {
    port: { type: 'string', default: '0' },
    user: { type: 'string', default: 'sa' },
    password: { type: 'string' },
    database: { type: 'string', multiple: true, default: [] },
    'no-database-snapshots': { type: 'boolean', default: false },
    'exit-with-stdin': { type: 'boolean', default: false },
  },
});
if (values.password === undefined) {
  process.stderr.write('--password is missing\n');
  process.exit(2);
}
const { port, stop } = await startStandIn({
  port: Number(values.port),
  user: values.user,
  password: values.password,
  databases: values.database,
  noDatabaseSnapshots: values['no-database-snapshots'],
});
process.stdout.write(`listening on 127.0.0.1:${port}\n`);
const leave = (): void => {
  void stop().finally(() => process.exit(0));
  setTimeout(() => process.exit(0), 2000).unref();
};
process.on('SIGTERM', leave);
process.on('SIGINT', leave);
if (values['exit-with-stdin']) {
  process.stdin.resume();
  process.stdin.on('end', leave);
  process.stdin.on('close', leave);
}
