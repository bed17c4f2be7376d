import { describe, expect, test } from 'vitest';
import { scrubSecrets, scrubValues } from '../src/model/scrub.js';

/** What engines quote of rows in their messages, and what an operator still has to read in them. */
describe('a message of an engine', () => {
  test.each([
    [
      "Duplicate entry 'ada@example.org' for key 'customer.email'",
      "Duplicate entry '…' for key 'customer.email'",
    ],
    ["Duplicate entry 'O'Brien-17' for key 'customer.name'", "Duplicate entry '…' for key 'customer.name'"],
    [
      "Incorrect integer value: 'it's me' for column 'age' at row 1",
      "Incorrect integer value: '…' for column 'age' at row 1",
    ],
    [
      "Incorrect string value: '\\xF0\\x9F' for column `s`.`t`.`name` at row 2",
      "Incorrect string value: '…' for column `s`.`t`.`name` at row 2",
    ],
    ["Truncated incorrect DOUBLE value: 'ada'", "Truncated incorrect DOUBLE value: '…'"],
    [
      "You have an error in your SQL syntax; check the manual for the right syntax to use near 'ada@example.org' WHERE id = 1' at line 1",
      "You have an error in your SQL syntax; check the manual for the right syntax to use near '…' at line 1",
    ],
    ["Data truncated for column 'email' at row 1", "Data truncated for column 'email' at row 1"],
    ["Unknown column 'emial' in 'field list'", "Unknown column 'emial' in 'field list'"],
    ["Table 'invoices.customer' doesn't exist", "Table 'invoices.customer' doesn't exist"],
    [
      "Access denied for user 'app'@'10.0.0.1' (using password: YES)",
      "Access denied for user 'app'@'10.0.0.1' (using password: YES)",
    ],
    [
      "Conversion failed when converting the nvarchar value 'ada' to data type int.",
      "Conversion failed when converting the nvarchar value '…' to data type int.",
    ],
    [
      "Violation of PRIMARY KEY constraint 'pk'. Cannot insert duplicate key in object 'dbo.C'. The duplicate key value is (ada, 1).",
      "Violation of PRIMARY KEY constraint 'pk'. Cannot insert duplicate key in object 'dbo.C'. The duplicate key value is (…).",
    ],
  ])('%s', (message, clean) => {
    expect(scrubValues(message)).toBe(clean);
  });

  test('a value in quotes that no known message explains is taken out', () => {
    expect(scrubValues("the trigger refuses 'ada@example.org'")).toBe("the trigger refuses '…'");
  });
});

test('passwords of addresses and named secrets are taken out', () => {
  expect(scrubSecrets('mysql://app:s3cret@db:3306/x and s3cret again', ['s3cret'])).toBe(
    'mysql://app:***@db:3306/x and *** again',
  );
});
