// Writes docs/configuration.md from the schema of the configuration; test/config-reference.test.ts fails where they differ.
// After a change of src/config/schema.ts: npx tsx scripts/config-reference.ts
import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { jsonSchema } from '../src/config/schema.js';

/** What is used of JSON Schema here. */
interface Schema {
  type?: string;
  description?: string;
  default?: unknown;
  const?: unknown;
  enum?: unknown[];
  anyOf?: Schema[];
  items?: Schema;
  properties?: Record<string, Schema>;
  additionalProperties?: Schema | boolean;
  required?: string[];
  pattern?: string;
  minimum?: number;
  exclusiveMinimum?: number;
  maximum?: number;
}

export interface Key {
  /** from the top of the file, such as tables[].columns.*.from */
  path: string;
  type: string;
  /** as JSON; undefined if there is none */
  default: string | undefined;
  required: boolean;
  meaning: string;
}

const BEGINNING = `# Configuration

Every key of \`stageswap.yaml\`. \`stageswap init\` writes the file, and \`stageswap check\` says what is wrong in it, with the line and the cure. A key
that is not listed here is refused. \`dist/stageswap.schema.json\` is the same for editors.

\`\${NAME}\` stands for a variable of the environment, in the addresses (\`url\`) alone; the worker needs all of them, a command those that it uses.
A list has \`[]\` here, and \`*\` stands for the name of a column. What has no default and is not required may be left out.
`;

/** All keys of the configuration, in the order of the schema. */
export function configKeys(): Key[] {
  return keysOf(jsonSchema() as Schema, '');
}

/** The whole page docs/configuration.md. */
export function configurationPage(): string {
  const keys = configKeys();
  const topOf = ({ path }: Key) => path.split(/[.[]/, 1)[0];
  const parts = keys
    .filter((key) => key.path === topOf(key))
    .map((top) => ({ top, inner: keys.filter((key) => key !== top && topOf(key) === top.path) }));
  const sections = parts
    .filter(({ inner }) => inner.length > 0)
    .map(({ top, inner }) => `## ${top.path}\n\n${sentence(top.meaning)}\n\n${table(inner)}`);
  return `${BEGINNING}
## At the top

${table(parts.map(({ top }) => top))}

${sections.join('\n\n')}

Written from src/config/schema.ts by \`npx tsx scripts/config-reference.ts\`; a test fails where they differ.
`;
}

function keysOf(schema: Schema, path: string): Key[] {
  return Object.entries(schema.properties ?? {}).flatMap(([name, value]) => {
    const here = path === '' ? name : `${path}.${name}`;
    const required = schema.required?.includes(name) ?? false;
    return [keyOf(value, here, required), ...within(value, here)];
  });
}

function keyOf(schema: Schema, path: string, required: boolean): Key {
  // an object's default is that of each of its keys
  const hasDefault = schema.default !== undefined && schema.properties === undefined;
  return {
    path,
    type: typeOf(schema),
    default: hasDefault ? JSON.stringify(schema.default) : undefined,
    required,
    meaning: schema.description ?? '',
  };
}

function within(schema: Schema, path: string): Key[] {
  const { items, anyOf, additionalProperties } = schema;
  return [
    ...keysOf(schema, path),
    ...(items ? within(items, `${path}[]`) : []),
    ...(anyOf ?? []).flatMap((one) => within(one, path)),
    ...(typeof additionalProperties === 'object' ? within(additionalProperties, `${path}.*`) : []),
  ];
}

function typeOf(schema: Schema): string {
  if (schema.anyOf) return schema.anyOf.map(typeOf).join(', or ');
  if (schema.const !== undefined) return code(String(schema.const));
  if (schema.enum) return schema.enum.map((value) => code(String(value))).join(', ');
  if (schema.items) return listOf(schema.items);
  if (typeof schema.additionalProperties === 'object')
    return `names, each with: ${typeOf(schema.additionalProperties)}`;
  switch (schema.type) {
    case 'integer':
      return `whole number${range(schema)}`;
    case 'number':
      return `number${range(schema)}`;
    case 'string':
      return schema.pattern ? `text like ${code(schema.pattern)}` : 'text';
    default:
      return 'object';
  }
}

function listOf(items: Schema): string {
  if (items.enum) return `list of ${typeOf(items)}`;
  return items.items
    ? `list of lists of ${typeOf(items.items)}`
    : `list of ${typeOf(items)}s`.replace('texts', 'text');
}

function range({ minimum, exclusiveMinimum, maximum = Number.MAX_SAFE_INTEGER }: Schema): string {
  const from = exclusiveMinimum === undefined ? `from ${minimum}` : `above ${exclusiveMinimum}`;
  const to = exclusiveMinimum === undefined ? ' to' : ', up to';
  return `, ${from}${maximum === Number.MAX_SAFE_INTEGER ? '' : `${to} ${maximum}`}`;
}

function table(keys: Key[]): string {
  const rows = keys.map((key) => {
    const standing = key.required ? 'required' : key.default === undefined ? '' : code(key.default);
    return `| ${code(key.path)} | ${key.type} | ${standing} | ${key.meaning.replaceAll('|', '\\|')} |`;
  });
  return ['| key | type | default | meaning |', '|---|---|---|---|', ...rows].join('\n');
}

const code = (text: string) => `\`${text.replaceAll('|', '\\|')}\``;
const sentence = (text: string) => `${text.charAt(0).toUpperCase()}${text.slice(1)}.`;

if (process.argv[1] === fileURLToPath(import.meta.url))
  writeFileSync(new URL('../docs/configuration.md', import.meta.url), configurationPage());
