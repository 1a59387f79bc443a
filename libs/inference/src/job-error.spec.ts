import { EngineError } from '@app/engine';
import { toJobError } from './job-error.js';

describe(toJobError, () => {
  it.each(['INTERNAL', 'INVALID_MODEL', 'DEVICE_LOST'] as const)('tells nothing of what the engine says with %s', (code) => {
    expect(toJobError(new EngineError(code, '/models/secret: a fault'))).toEqual({
      code: 'INTERNAL',
      message: 'an internal error; the log has it under this request id',
      param: null,
      faults: [],
      retryAfterS: null,
    });
  });

  it('tells what concerns the request, with its field', () => {
    expect(toJobError(new EngineError('INVALID_ARGUMENT', 'holds a special token', { field: 'prompt' }))).toMatchObject({
      code: 'INVALID_ARGUMENT',
      message: 'prompt: holds a special token',
      param: 'prompt',
    });
  });
});
