import type { OpenAPIObject } from '@nestjs/swagger';
import { isJobPath, neededScope } from '../access/needed-scope.js';
import { operationsOf } from './operations.js';

/** Says which operations need a key and with which scope, and that it may come in either header. */
export function describeKeys(document: OpenAPIObject, withKeys: boolean): void {
  // Where an operation says nothing of its own, this holds: nobody has to show anything.
  document.security = [];
  if (!withKeys) return;
  const components = (document.components ??= {});
  components.securitySchemes = {
    bearer: { type: 'http', scheme: 'bearer', description: 'an API key: `Authorization: Bearer KEY`' },
    apiKey: { type: 'apiKey', in: 'header', name: 'X-API-Key', description: 'the same key, in a header of its own' },
    jobToken: { type: 'apiKey', in: 'query', name: 'token', description: 'of this job: it is in the links of the job' },
  };
  for (const { path, method, operation } of operationsOf(document)) {
    const scope = neededScope(path);
    if (scope === null) continue;
    const byToken = method === 'get' && isJobPath(path) ? [{ jobToken: [] }] : [];
    // OpenAPI 3.1 has the names of roles here for schemes that are not OAuth's.
    operation.security = [{ bearer: [scope] }, { apiKey: [scope] }, ...byToken];
  }
}
