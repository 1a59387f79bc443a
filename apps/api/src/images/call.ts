import { mediaTypes, type ImageFormat } from '@app/image-processing';
import { ServiceError, type FieldFault } from '@app/inference';
import { createParamDecorator, type ExecutionContext } from '@nestjs/common';
import type { Request } from 'express';
import { clientNameOf } from '../access/client-name.js';
import { keyNameOf } from '../access/key-name.js';
import { nameToShow } from '../fields/names.js';
import { readAccept, type AnswerWish } from './accept.js';
import { readIdempotencyKey } from './idempotency-key.js';
import { prefersAsync } from './prefer.js';

/** What a generation request says beside its body: who asks, and how the answer is wanted. */
export interface Call {
  /** Name of the API key; null when there are none. */
  owner: string | null;
  /** Whose turn it takes. */
  client: string;
  wish: AnswerWish;
  /** The answer is the job, at once. */
  async: boolean;
  idempotencyKey: string | null;
  /** What is wrong with the headers, told together with what is wrong with the fields. */
  faults: readonly FieldFault[];
}

export function readCall(request: Request): Call {
  const { key, fault } = readIdempotencyKey(request);
  return {
    owner: keyNameOf(request) ?? null,
    client: clientNameOf(request),
    wish: readAccept(request.get('accept')),
    async: prefersAsync(request.get('prefer')),
    idempotencyKey: key,
    faults: [...(fault === null ? [] : [{ field: 'Idempotency-Key', message: fault }]), ...queryFaults(request)],
  };
}

/** A field in the URL would be one that is ignored. */
function queryFaults({ originalUrl }: Request): FieldFault[] {
  const at = originalUrl.indexOf('?');
  const [name] = at < 0 ? [] : [...new URLSearchParams(originalUrl.slice(at)).keys()];
  return name === undefined ? [] : [{ field: nameToShow(name), message: 'came in the URL: fields belong in the body' }];
}

/** GenerationFieldsPipe has refused a call with faults before a controller sees it. */
export const SentCall = createParamDecorator((_data: unknown, context: ExecutionContext) =>
  readCall(context.switchToHttp().getRequest<Request>()),
);

/** The format of pictures when the fields name none. */
export function impliedFormat({ wish, async, idempotencyKey }: Call): ImageFormat {
  const isMadeForThisCall = !async && wish.form === 'bytes';
  // What other calls with this key will ask for is not known yet.
  return isMadeForThisCall || idempotencyKey === null ? wish.format : lossless;
}

const lossless: ImageFormat = 'png';

export interface AnswerPlan {
  form: 'json' | 'bytes' | 'job';
  /** Of the pictures in this answer. */
  format: ImageFormat;
  /** Of the job's own pictures. */
  drawnAs: ImageFormat;
}

/**
 * What is answered, once the fields are known to be right. Calls with one Idempotency-Key have one job, and each its own Accept: so
 * a job whose fields name no format is drawn without loss, and every other format is made of the very same pixels.
 * @throws ServiceError NOT_ACCEPTABLE
 */
export function planAnswer(call: Call, outputFormat: ImageFormat | undefined): AnswerPlan {
  const { wish, async, idempotencyKey } = call;
  const format = outputFormat ?? impliedFormat(call);
  const drawnAs = outputFormat ?? (idempotencyKey === null ? format : lossless);
  if (wish.form === null) {
    const can = ['application/json', ...Object.values(mediaTypes)].join(', ');
    throw new ServiceError('NOT_ACCEPTABLE', `Accept allows nothing that can be made here: ${can}`);
  }
  if (async) return { form: 'job', format, drawnAs };
  if (wish.form === 'bytes' && !wish.allowed.includes(format)) {
    throw new ServiceError('NOT_ACCEPTABLE', `output_format is ${format}, and Accept does not allow ${mediaTypes[format]}`);
  }
  return { form: wish.form, format, drawnAs };
}
