import { UploadBudget } from './upload-budget.js';
import type { Request } from 'express';

describe(UploadBudget.name, () => {
  it('gives until nothing is left, and again what was given back', () => {
    const budget = new UploadBudget({ uploadBytesInFlight: 100 });
    const [first, second] = [budget.open({} as Request), budget.open({} as Request)];
    first.grow(60);
    second.grow(40);
    expect(() => second.grow(1)).toThrow(expect.objectContaining({ code: 'QUEUE_FULL', retryAfterS: 5 }));
    first.release();
    second.grow(60);
    second.release();
    budget.open({} as Request).grow(100);
  });

  it('takes nothing when it refuses', () => {
    const budget = new UploadBudget({ uploadBytesInFlight: 100 });
    expect(() => budget.open({} as Request).grow(101)).toThrow('uploads hold 0 bytes, at most 100 may be in memory at one time');
    budget.open({} as Request).grow(100);
  });

  it('gets a share back once, and gives nothing to one that was released', () => {
    const budget = new UploadBudget({ uploadBytesInFlight: 100 });
    const [share, other] = [budget.open({} as Request), budget.open({} as Request)];
    share.grow(60);
    other.grow(40);
    share.release();
    share.release();
    share.grow(100);
    other.grow(60);
    expect(() => other.grow(1)).toThrow();
  });

  it('takes back what a request brought', () => {
    const budget = new UploadBudget({ uploadBytesInFlight: 100 });
    const request = {} as Request;
    budget.open(request).grow(100);
    budget.release(request);
    budget.release(request);
    budget.release({} as Request);
    expect(() => budget.open({} as Request).grow(100)).not.toThrow();
  });
});
