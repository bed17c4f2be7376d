import { afterEach, beforeEach, describe, expect, inject, it } from 'vitest';
import { control } from '../src/model/names.js';
import type { RunSpec } from '../src/model/spec.js';
import { id, sql } from '../src/sql/text.js';
import { ByHand, sourceTable } from './support/by-hand.js';

/** A run that begins again, and the rehearsal before its cut-over, on MySQL. */
const CUSTOMER = 'CREATE TABLE customer (id INT PRIMARY KEY, email VARCHAR(40))';
const TABLES = '  - { source: dbo.Customer, live: customer, key: [id], columns: { id: Id, email: Email } }\n';
const SOURCE = [sourceTable('Customer', { Id: 'int', Email: 'nvarchar' }, ['Id'])];

let pipeline: ByHand;
let spec: RunSpec;
beforeEach(async () => {
  pipeline = await ByHand.open(inject('mysqlUrl'), 'stageswap_test_renew', [CUSTOMER], TABLES, SOURCE);
  await pipeline.publish({ customer: [[1, 'first@x']] });
  spec = await pipeline.beforeCutOver({ customer: [[1, 'second@x']] });
});
afterEach(() => pipeline?.close());

const madeBy = async (generation: number) => {
  const rows = await pipeline.session.rows<{ name: string }>(
    sql`SELECT table_name AS name FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name LIKE ${`\\_ss${generation}%`}`,
  );
  return rows.map(({ name }) => name);
};
const owner = async () => {
  const rows = await pipeline.session.rows<{ generation: string }>(
    sql`SELECT generation FROM ${id(control.pipeline)} WHERE pipeline = 'hand'`,
  );
  return Number(rows[0]?.generation);
};
const definition = async () => {
  const [rows] = await pipeline.application.query('SHOW CREATE TABLE customer');
  return rows;
};

describe('a run that begins again', () => {
  it('has a new generation, one however often it is asked for, with what was frozen', async () => {
    await pipeline.again('undo', spec.generation);
    const first = await pipeline.renew(spec);
    expect(await pipeline.renew(spec)).toEqual(first);
    expect(first).toMatchObject({ generation: await owner(), runId: spec.runId });
    const runs = await pipeline.session.rows<{ generation: string; spec: RunSpec }>(
      sql`SELECT generation, spec FROM ${id(control.run)} WHERE run_id = ${spec.runId}`,
    );
    expect(runs.map((run) => Number(run.generation))).toEqual([first.generation]);
    const frozen = runs[0]?.spec;
    expect(typeof frozen === 'string' ? JSON.parse(frozen) : frozen).toMatchObject({
      generation: first.generation,
      baseGeneration: spec.baseGeneration,
      tables: [{ live: 'customer' }],
    });
  });

  it('shuts out the generation before: what still works for it changes nothing', async () => {
    await pipeline.again('undo', spec.generation);
    const { generation } = await pipeline.renew(spec);
    await pipeline.again('prepare', generation);
    await expect(pipeline.again('prepare', spec.generation)).rejects.toThrow(/not known|newer run/);
    await expect(pipeline.again('cutOver', spec.generation)).rejects.toThrow(/not known|newer run/);
    expect(await madeBy(spec.generation)).toEqual([]);
    expect(await madeBy(generation)).not.toEqual([]);
  });

  it('does not where another run has begun meanwhile', async () => {
    await pipeline.again('undo', spec.generation);
    await pipeline.session.run(sql`UPDATE ${id(control.pipeline)} SET generation = generation + 1`);
    const before = await owner();
    await expect(pipeline.renew(spec)).rejects.toThrow('another run of hand owns its tables');
    expect(await owner()).toBe(before);
  });

  it('does not where live was changed by a migration', async () => {
    await pipeline.again('undo', spec.generation);
    const before = await owner();
    await pipeline.application.query('ALTER TABLE customer ADD COLUMN phone VARCHAR(20)');
    await expect(pipeline.renew(spec)).rejects.toThrow('the definition of customer changed');
    expect(await owner()).toBe(before);
  });
});

describe('a rehearsal of the cut-over', () => {
  const rehearsed = async () =>
    (await madeBy(spec.generation)).filter((name) => /^_ss\d+r._/.test(name)).sort();

  it('takes its milliseconds on empty tables, leaves nothing behind, and live as it is', async () => {
    const before = await definition();
    expect(await pipeline.rehearse(spec)).toBeGreaterThan(0);
    expect(await rehearsed()).toEqual([]);
    expect(await definition()).toEqual(before);
  });

  it('clears away what one has left whose worker died', async () => {
    const { generation } = spec;
    for (const name of [`_ss${generation}rs_customer`, `_ss${generation}rb_customer`])
      await pipeline.application.query(`CREATE TABLE ${name} (id INT)`);
    await pipeline.rehearse(spec);
    expect(await rehearsed()).toEqual([]);
  });

  it('is cleared away, too, when the run is taken back', async () => {
    const { generation } = spec;
    for (const name of [`_ss${generation}rl_customer`, `_ss${generation}ra_customer`])
      await pipeline.application.query(`CREATE TABLE ${name} (id INT)`);
    await pipeline.again('undo', generation);
    expect(await madeBy(generation)).toEqual([]);
  });
});
