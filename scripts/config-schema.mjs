// Writes dist/stageswap.schema.json from the built schema: part of `npm run build`.
import { writeFileSync } from 'node:fs';
import { jsonSchema } from '../dist/src/config/schema.js';

const file = new URL('../dist/stageswap.schema.json', import.meta.url);
writeFileSync(file, `${JSON.stringify(jsonSchema(), null, 2)}\n`);
