// npm run docs: writes what is made from the sources: docs/configuration.md, .env.example and docs/api.md. Specs hold the files equal to them.
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { apiGuide, offlineDocument } from '../dist/apps/api/src/docs/index.js';
import { configurationGuide, environmentExample, loadDefaults } from '../dist/libs/config/src/index.js';

const root = path.resolve(import.meta.dirname, '..');
const { entries } = loadDefaults(root);

const files = {
  'docs/configuration.md': configurationGuide(entries),
  '.env.example': environmentExample(entries),
  'docs/api.md': apiGuide(await offlineDocument(root)),
};
for (const [name, text] of Object.entries(files)) {
  writeFileSync(path.join(root, name), text);
  console.log(name);
}
