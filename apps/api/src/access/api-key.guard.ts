import { configTokens, type AppConfig, type ServerConfig } from '@app/config';
import { ServiceError } from '@app/inference';
import { extendContext } from '@app/observability';
import { Inject, Injectable, type CanActivate, type ExecutionContext } from '@nestjs/common';
import type { Request } from 'express';
import { setKeyName } from './key-name.js';
import { KeyRing } from './key-ring.js';
import { sentToken } from './job-token.js';
import { isLoopback } from './loopback.js';
import { isAdminPath, isJobPath, neededScope } from './needed-scope.js';
import { sentKey } from './sent-key.js';

/** Stands before every route of a controller, and before its body is read. Without configured keys everybody is let in. */
@Injectable()
export class ApiKeyGuard implements CanActivate {
  private readonly ring: KeyRing | null;

  constructor(
    @Inject(configTokens.auth) { keys }: AppConfig['auth'],
    @Inject(configTokens.server) private readonly server: Pick<ServerConfig, 'host'>,
  ) {
    this.ring = keys && new KeyRing(keys);
  }

  canActivate(context: ExecutionContext): boolean {
    const request = context.switchToHttp().getRequest<Request>();
    const { path } = request.route as { path: string };
    const scope = neededScope(path);
    if (!this.ring && isAdminPath(path) && !isLoopback(this.server.host)) {
      throw new ServiceError('FORBIDDEN', 'a server that other machines reach has /admin only with auth.keys');
    }
    if (!this.ring || scope === null) return true;

    const secret = sentKey(request);
    // Whether the token is the job's, whoever looks the job up sees: JobAccess.
    if (secret === null && isJobPath(path) && sentToken(request) !== null) return true;
    if (secret === null) {
      throw new ServiceError('UNAUTHENTICATED', 'an API key is needed: Authorization: Bearer KEY, or X-API-Key: KEY');
    }
    const key = this.ring.find(secret);
    if (!key) throw new ServiceError('UNAUTHENTICATED', 'the API key is not known');
    setKeyName(request, key.name);
    extendContext({ apiKey: key.name });
    if (!key.scopes.includes(scope)) throw new ServiceError('FORBIDDEN', `the key ${key.name} lacks the scope ${scope}`);
    return true;
  }
}
