import { engineErrorCodes, loadAddon } from '@app/engine';

describe('the list of error codes', () => {
  it('is the same in both languages, in the same order', () => {
    expect(loadAddon().errorCodes()).toEqual([...engineErrorCodes]);
  });
});
