/** The program of docs/api.md that uses a generated client; a test compiles and runs it as it is printed there. */
export const typedClient = `import { writeFileSync } from 'node:fs';
import createClient from 'openapi-fetch';
import type { paths } from './api.js';

const client = createClient<paths>({ baseUrl: 'http://localhost:3000' });
const { data, error } = await client.POST('/text-to-image', {
  body: { prompt: 'a red circle on a blue background', seed: 1, width: 64, height: 64, num_inference_steps: 4 },
});
if (error) throw new Error(\`\${error.error.code}: \${error.error.message}\`);
// Others ask for bytes, by Accept, or for a job, by Prefer.
if (typeof data === 'string' || !('model' in data)) throw new Error('no images came');
for (const [index, image] of data.images.entries()) {
  writeFileSync(\`picture-\${index}.\${image.format}\`, Buffer.from(image.b64_json, 'base64'));
}`;
