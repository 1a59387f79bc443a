import { configTokens, type AppConfig } from '@app/config';
import { InferenceService, ServiceError, type JobView } from '@app/inference';
import { Inject, Injectable } from '@nestjs/common';
import type { Request } from 'express';
import { isToken, sentToken } from '../access/job-token.js';
import { keyNameOf } from '../access/key-name.js';

const uuid = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** Looks jobs up for those who may know of them; to anybody else they do not exist. */
@Injectable()
export class JobAccess {
  private readonly isOpen: boolean;

  constructor(
    private readonly inference: InferenceService,
    @Inject(configTokens.auth) { keys }: AppConfig['auth'],
  ) {
    this.isOpen = keys === null;
  }

  /**
   * For the API key that made it, or for whoever has its token.
   * @throws ServiceError NOT_FOUND
   */
  async read(request: Request, id: string): Promise<JobView> {
    const view = await this.find(id);
    const token = sentToken(request);
    if (view && (this.isOwn(request, view) || (token !== null && isToken(token, view.record.token)))) return view;
    throw noSuchJob();
  }

  /**
   * For the API key that made it.
   * @throws ServiceError NOT_FOUND
   */
  async own(request: Request, id: string): Promise<JobView> {
    const view = await this.find(id);
    if (view && this.isOwn(request, view)) return view;
    throw noSuchJob();
  }

  private find(id: string): Promise<JobView | null> {
    return uuid.test(id) ? this.inference.view(id) : Promise.resolve(null);
  }

  /** A job of the time when the service was open is nobody's since it has keys, and the other way round. */
  private isOwn(request: Request, { record }: JobView): boolean {
    const { owner } = record.order;
    return this.isOpen ? owner === null : owner !== null && owner === keyNameOf(request);
  }
}

export function noSuchJob(): ServiceError {
  return new ServiceError('NOT_FOUND', 'there is no such job');
}
