import { configTokens, type LimitsConfig } from '@app/config';
import { ServiceError } from '@app/inference';
import { Inject, Injectable, type CallHandler, type ExecutionContext, type NestInterceptor } from '@nestjs/common';
import type { Request, Response } from 'express';
import type { Observable } from 'rxjs';
import { formLimits, maxBodyBytes, type FormLimits } from '../uploads/form-limits.js';
import { readForm } from '../uploads/read-form.js';
import { UploadBudget, type UploadShare } from '../uploads/upload-budget.js';

/** Takes a multipart body in, when there is room for it. What it holds of the budget comes back when its job is stored, or its answer has ended. */
@Injectable()
export class UploadInterceptor implements NestInterceptor {
  private readonly limits: FormLimits;
  private readonly maxBytes: number;

  constructor(
    private readonly budget: UploadBudget,
    @Inject(configTokens.limits) limits: Pick<LimitsConfig, 'maxUploadBytes'>,
  ) {
    this.limits = formLimits(limits);
    this.maxBytes = Math.min(maxBodyBytes(this.limits), budget.total);
  }

  async intercept(context: ExecutionContext, next: CallHandler): Promise<Observable<unknown>> {
    const http = context.switchToHttp();
    const [request, response] = [http.getRequest<Request>(), http.getResponse<Response>()];
    refuseOtherTypes(request);
    if (response.closed) throw new ServiceError('CANCELLED', 'the client has gone');
    const share = this.budget.open(request);
    response.once('close', () => this.budget.release(request));
    await readForm(request, response, this.limits, this.takeFor(request, share));
    return next.handle();
  }

  /**
   * Takes the bytes of a body from the budget. A body that tells its length has all of them at once: a refusal reads nothing of
   * it. One that does not (chunked) has what has come so far: the largest that it might become would keep others out for
   * bytes that never come, and most such bodies are as small as the others.
   */
  private takeFor(request: Request, share: UploadShare): (bytes: number) => void {
    const length = request.headers['content-length'];
    if (length !== undefined) {
      this.assertFits(Number(length));
      share.grow(Number(length));
      return () => {};
    }
    let came = 0;
    return (bytes) => {
      came += bytes;
      this.assertFits(came);
      share.grow(bytes);
    };
  }

  private assertFits(bytes: number): void {
    if (bytes > this.maxBytes) {
      throw new ServiceError('PAYLOAD_TOO_LARGE', `the body has more bytes than a form may have here (${this.maxBytes})`);
    }
  }
}

/** null of `is`: there is no body, which the fields' own rules tell better. */
function refuseOtherTypes(request: Request): void {
  if (request.is('multipart/form-data') === false) {
    throw new ServiceError('UNSUPPORTED_MEDIA_TYPE', 'the body must be multipart/form-data');
  }
  const encoding = request.get('content-encoding') ?? 'identity';
  if (encoding.toLowerCase() !== 'identity') {
    throw new ServiceError('UNSUPPORTED_MEDIA_TYPE', `a form must come without Content-Encoding, got ${encoding}`);
  }
}
