-- What stageswap needs in SQL Server: to read. Replace billing by the database and dbo by the schema; run as an administrator.

USE [master];
CREATE LOGIN [stageswap] WITH PASSWORD = N'Change-me-2022';

USE [billing];
CREATE USER [stageswap] FOR LOGIN [stageswap];
GRANT SELECT ON SCHEMA::[dbo] TO [stageswap];
-- Keys and foreign keys, which `stageswap init` reads, are seen with the right to SELECT. Nothing is ever written here.

-- One moment of the source, by the first of these that you allow:
-- 1. A database snapshot, made and dropped by each run: parallel, resumable, and nothing for others to wait for. Not in Azure SQL.
USE [master];
GRANT CREATE ANY DATABASE TO [stageswap];
-- 2. Or one SNAPSHOT transaction: a crash or a pause starts the ingest again, and the version store grows meanwhile.
-- ALTER DATABASE [billing] SET ALLOW_SNAPSHOT_ISOLATION ON;
-- 3. Or neither, with `moment: fuzzy` in the configuration: not one moment, and reader and writers wait for each other's locks unless the
--    database has READ_COMMITTED_SNAPSHOT.
