-- What stageswap needs in MySQL, and nothing more. Replace `invoices` by the application's schema and change the password; run
-- as an administrator. test/grants.e2e.test.ts runs publishes, edits and a rollback as exactly this user.

CREATE USER 'stageswap'@'%' IDENTIFIED BY 'change-me' REQUIRE SSL;

-- SELECT, INSERT, UPDATE, DELETE: stage, base, log and control tables, and edits that are handed in.
-- CREATE, DROP, ALTER: the tables of a run, and the RENAME, which moves live as well. LOCK TABLES: the cut-over.
-- TRIGGER: capture. REFERENCES: only where live has foreign keys.
GRANT SELECT, INSERT, UPDATE, DELETE, CREATE, DROP, ALTER, LOCK TABLES, TRIGGER, REFERENCES ON `invoices`.* TO 'stageswap'@'%';

-- Optional, and advised. With it the cut-over waits until no open transaction holds a table of the group, and says who does.
GRANT SELECT ON performance_schema.metadata_locks TO 'stageswap'@'%';
GRANT SELECT ON performance_schema.threads TO 'stageswap'@'%';

-- Optional. Where a table has a full-text index or ROW_FORMAT=COMPRESSED, the cut-over waits for short transactions that repeat their reads.
GRANT SELECT ON performance_schema.events_transactions_current TO 'stageswap'@'%';

-- Optional, and advised. Without it a cut-over takes the slower way under its lock: it cannot see whether an old snapshot is open.
GRANT PROCESS ON *.* TO 'stageswap'@'%';

-- Only where the application has triggers on its tables that another user defined: each next version of a table gets them in that
-- user's name. SET_USER_ID before MySQL 8.2. SYSTEM_USER beside it where that user has it, like root, and ALLOW_NONEXISTENT_DEFINER
-- where that user is gone: stageswap check names what is missing. A trigger made anew with another DEFINER needs neither.
--   GRANT SET_ANY_DEFINER ON *.* TO 'stageswap'@'%';

-- Only with cutOver.killBlockersAfterMs, which ends sessions that keep the cut-over from its lock.
--   GRANT CONNECTION_ADMIN ON *.* TO 'stageswap'@'%';

-- Settings of the server, once:
--   SET PERSIST local_infile = ON;                        LOAD DATA LOCAL, by which rows come in
--   SET PERSIST log_bin_trust_function_creators = ON;     CREATE TRIGGER while the binary log is on, without SUPER
-- Triggers run with the rights of the user who made them: do not drop this user while a run works or a backup is kept.

-- An application that hands edits in by stageswap/client needs, beside SELECT and UPDATE on its tables, this one, for the edits' ids (a first run makes the table):
--   GRANT SELECT, INSERT ON `invoices`.`_stageswap_edit` TO 'application'@'%';
